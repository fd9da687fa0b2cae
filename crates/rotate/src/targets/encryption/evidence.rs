//! Six conditions before an old encryption key is destroyed, as one pure function.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use coffre_ambient::Wall;

/// What was seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Evidence {
    /// The key's name.
    pub kid: String,
    /// The present.
    pub now: Wall,
    /// When the key became one for decrypting alone.
    pub retired: Wall,
    /// When the first complete scan without a use of the key ended; `None`: there was none, or uses were found since.
    pub first_scan: Option<Wall>,
    /// The second scan, which is made now: how many uses it found, and the longest open transaction in seconds.
    pub second_scan: Option<(u64, u64)>,
    /// Columns with encrypted texts that nobody registered.
    pub unregistered: Vec<String>,
    /// Decryptions, as consumers count them.
    pub meter: Meter,
    /// Consumers that say that they still use the generation.
    pub in_use: Vec<String>,
    /// Places that empty themselves, and when each has.
    pub drains: Vec<(String, Wall)>,
    /// An escrow copy.
    pub escrow: Option<Escrow>,
    /// The entities of the people who consent.
    pub approvals: Vec<String>,
}

/// Decryptions under the key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Meter {
    /// No consumer counts: the quiet time is measured from the first clean scan.
    Uncounted,
    /// The last one, if there ever was one since the key was retired.
    Last(Option<Wall>),
}

/// A copy of the key that only the offline recovery key opens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Escrow {
    /// The fingerprint of the recovery key.
    pub recipient: String,
}

/// What must hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// `S + 2K`, to which the longest transaction is added: between the two scans.
    pub settled: Duration,
    /// How long no decryption may have been counted.
    pub quiet: Duration,
    /// How long backups are kept. `None`: nobody said, so only an escrow copy will do.
    pub backup_retention: Option<Duration>,
    /// Whether an escrow copy may take the place of waiting.
    pub escrow: bool,
    /// How many people must agree.
    pub approvals: u8,
}

impl Default for Rules {
    /// An hour of staleness, seven quiet days, unknown backups, nobody's agreement.
    fn default() -> Self {
        Self {
            settled: Duration::from_secs(62 * 60),
            quiet: Duration::from_secs(7 * 86_400),
            backup_retention: None,
            escrow: false,
            approvals: 0,
        }
    }
}

/// A condition that does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "each sentence says what it is")]
pub enum Missing {
    NoScan,
    SecondScan { kid: String, until: Wall },
    Uses { kid: String, uses: u64 },
    Unregistered { columns: Vec<String> },
    Decrypts { kid: String, until: Wall },
    InUse { consumers: Vec<String> },
    Drain { place: String, until: Wall },
    Backups { until: Wall },
    UnknownBackups,
    Approvals { have: u8, need: u8 },
}

impl Missing {
    /// When it may hold by itself.
    #[must_use]
    pub const fn until(&self) -> Option<Wall> {
        match self {
            Self::SecondScan { until, .. }
            | Self::Decrypts { until, .. }
            | Self::Drain { until, .. }
            | Self::Backups { until } => Some(*until),
            _ => None,
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoScan => f.write_str("no complete scan without a use of the key was made yet"),
            Self::SecondScan { kid, until } => {
                write!(f, "a second scan for texts under {kid} is due from {} on", until.rfc3339())
            }
            Self::Uses { kid, uses } => write!(f, "{uses} texts still stand under {kid}"),
            Self::Unregistered { columns } => {
                write!(
                    f,
                    "encrypted texts stand in columns that the manifest does not name as holders: {}",
                    columns.join(", ")
                )
            }
            Self::Decrypts { kid, until } => {
                write!(
                    f,
                    "{kid} may still decrypt something: no decryption may be counted until {}",
                    until.rfc3339()
                )
            }
            Self::InUse { consumers } => write!(f, "still in use by {}", consumers.join(", ")),
            Self::Drain { place, until } => {
                write!(f, "{place} may hold texts under it until {}", until.rfc3339())
            }
            Self::Backups { until } => write!(f, "backups that need it are kept until {}", until.rfc3339()),
            Self::UnknownBackups => f.write_str(
                "nobody said how long backups are kept: set backup_retention, or make an escrow copy",
            ),
            Self::Approvals { have, need } => {
                write!(f, "{have} of {need} people have consented (`coffre rotate approve`)")
            }
        }
    }
}

/// That all conditions held, and what was seen; it goes into the history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    evidence: Evidence,
}

impl Certificate {
    /// Names and numbers, no material.
    #[must_use]
    pub fn facts(&self) -> BTreeMap<String, String> {
        let seen = &self.evidence;
        let time = |at: Option<Wall>| at.map_or_else(|| "never".to_owned(), Wall::rfc3339);
        let meter = match seen.meter {
            Meter::Uncounted => "no consumer counts decryptions; quiet since the first scan".to_owned(),
            Meter::Last(last) => time(last),
        };
        let backups = seen.escrow.as_ref().map(|escrow| format!("escrow copy for {}", escrow.recipient));
        let facts = [
            ("kid", seen.kid.clone()),
            ("first_scan", time(seen.first_scan)),
            ("second_scan", time(Some(seen.now))),
            ("last_decrypt", meter),
            ("drains", seen.drains.iter().map(|(place, _)| place.as_str()).collect::<Vec<_>>().join(", ")),
            ("backups", backups.unwrap_or_else(|| "retention is over".to_owned())),
            ("approvals", seen.approvals.join(", ")),
            ("residual", "copies of the server's storage hold the key as long as they are kept".to_owned()),
        ];
        facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// Whether a key may be destroyed for good: all six conditions, or everything that is missing.
pub fn may_destroy(seen: &Evidence, rules: &Rules) -> Result<Certificate, Vec<Missing>> {
    let mut missing = Vec::new();
    scans(seen, rules, &mut missing);
    quiet(seen, rules, &mut missing);
    if !seen.in_use.is_empty() {
        missing.push(Missing::InUse { consumers: seen.in_use.clone() });
    }
    let undrained = seen.drains.iter().filter(|(_, until)| seen.now < *until);
    missing.extend(undrained.map(|(place, until)| Missing::Drain { place: place.clone(), until: *until }));
    backups(seen, rules, &mut missing);
    let have = u8::try_from(seen.approvals.len()).unwrap_or(u8::MAX);
    if have < rules.approvals {
        missing.push(Missing::Approvals { have, need: rules.approvals });
    }
    if missing.is_empty() { Ok(Certificate { evidence: seen.clone() }) } else { Err(missing) }
}

/// (1) Two complete scans without a use, far enough from each other, and nobody else who holds such texts.
fn scans(seen: &Evidence, rules: &Rules, missing: &mut Vec<Missing>) {
    let kid = || seen.kid.clone();
    if !seen.unregistered.is_empty() {
        missing.push(Missing::Unregistered { columns: seen.unregistered.clone() });
    }
    match seen.second_scan {
        Some((uses, _)) if uses > 0 => return missing.push(Missing::Uses { kid: kid(), uses }),
        _ => {}
    }
    let Some(first) = seen.first_scan else { return missing.push(Missing::NoScan) };
    let longest = seen.second_scan.map_or(0, |(_, seconds)| seconds);
    let from = first.plus(rules.settled).plus(Duration::from_secs(longest));
    if seen.second_scan.is_none() || seen.now < from {
        missing.push(Missing::SecondScan { kid: kid(), until: from });
    }
}

/// (2) No decryption for a while.
fn quiet(seen: &Evidence, rules: &Rules, missing: &mut Vec<Missing>) {
    let since = match seen.meter {
        Meter::Uncounted => seen.first_scan.unwrap_or(seen.now),
        Meter::Last(last) => last.map_or(seen.retired, |last| last.max(seen.retired)),
    };
    let until = since.plus(rules.quiet);
    if seen.now < until {
        missing.push(Missing::Decrypts { kid: seen.kid.clone(), until });
    }
}

/// (5) No backup needs the key, or it can be had without us.
fn backups(seen: &Evidence, rules: &Rules, missing: &mut Vec<Missing>) {
    if rules.escrow && seen.escrow.is_some() {
        return;
    }
    match (rules.backup_retention, seen.first_scan) {
        (None, _) => missing.push(Missing::UnknownBackups),
        (Some(_), None) => {}
        (Some(retention), Some(first)) => {
            let until = first.plus(retention);
            if seen.now < until {
                missing.push(Missing::Backups { until });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: u64) -> Wall {
        Wall::from_secs(1_790_000_000 + hours * 3_600)
    }

    /// Everything holds.
    fn whole() -> (Evidence, Rules) {
        let evidence = Evidence {
            kid: "ab12cd34".to_owned(),
            now: at(1_000),
            retired: at(0),
            first_scan: Some(at(2)),
            second_scan: Some((0, 30)),
            unregistered: Vec::new(),
            meter: Meter::Last(Some(at(1))),
            in_use: Vec::new(),
            drains: vec![("celery queue".to_owned(), at(26))],
            escrow: None,
            approvals: vec!["e-anna".to_owned(), "e-ben".to_owned()],
        };
        let rules = Rules {
            backup_retention: Some(Duration::from_hours(720)),
            escrow: true,
            approvals: 2,
            ..Rules::default()
        };
        (evidence, rules)
    }

    fn missing(change: impl FnOnce(&mut Evidence)) -> Vec<Missing> {
        let (mut evidence, rules) = whole();
        change(&mut evidence);
        may_destroy(&evidence, &rules).unwrap_err()
    }

    #[test]
    fn all_six_give_a_certificate() {
        let (evidence, rules) = whole();
        let facts = may_destroy(&evidence, &rules).unwrap().facts();
        assert_eq!(facts["kid"], "ab12cd34");
        assert_eq!(facts["backups"], "retention is over");
        assert!(facts["residual"].contains("storage"));
    }

    #[test]
    fn first_condition_alone_missing() {
        let kid = || "ab12cd34".to_owned();
        assert!(missing(|seen| seen.first_scan = None).contains(&Missing::NoScan));
        assert_eq!(missing(|seen| seen.second_scan = Some((3, 0))), [Missing::Uses { kid: kid(), uses: 3 }]);
        let columns = vec!["public.audit.body".to_owned()];
        let found = missing(|seen| seen.unregistered.clone_from(&columns));
        assert_eq!(found, [Missing::Unregistered { columns }]);
        let until = at(2).plus(Rules::default().settled).plus(Duration::from_secs(30));
        let late = missing(|seen| seen.second_scan = None);
        assert_eq!(late, [Missing::SecondScan { kid: kid(), until: at(2).plus(Rules::default().settled) }]);
        let (mut seen, mut rules) = whole();
        (rules.quiet, rules.backup_retention) = (Duration::ZERO, Some(Duration::ZERO));
        seen.drains.clear();
        seen.now = Wall::from_nanos(until.nanos() - 1);
        assert_eq!(may_destroy(&seen, &rules).unwrap_err(), [Missing::SecondScan { kid: kid(), until }]);
        seen.now = until;
        assert!(may_destroy(&seen, &rules).is_ok(), "on the moment");
    }

    #[test]
    fn second_condition_alone_missing() {
        let last = at(990);
        let until = last.plus(Duration::from_hours(168));
        let found = missing(|seen| seen.meter = Meter::Last(Some(last)));
        assert_eq!(found, [Missing::Decrypts { kid: "ab12cd34".to_owned(), until }]);
        let (mut seen, mut rules) = whole();
        seen.meter = Meter::Uncounted;
        rules.quiet = Duration::from_hours(999);
        assert_eq!(may_destroy(&seen, &rules).unwrap_err().len(), 1, "measured from the first scan");
    }

    #[test]
    fn third_condition_alone_missing() {
        let consumers = vec!["api.web.b.1".to_owned()];
        assert_eq!(missing(|seen| seen.in_use.clone_from(&consumers)), [Missing::InUse { consumers }]);
    }

    #[test]
    fn fourth_condition_alone_missing() {
        let found = missing(|seen| seen.drains.push(("redis cache".to_owned(), at(1_001))));
        assert_eq!(found, [Missing::Drain { place: "redis cache".to_owned(), until: at(1_001) }]);
    }

    #[test]
    fn fifth_condition_alone_missing_unless_there_is_an_escrow_copy() {
        let (mut seen, mut rules) = whole();
        rules.backup_retention = Some(Duration::from_hours(2_000));
        assert_eq!(may_destroy(&seen, &rules).unwrap_err(), [Missing::Backups { until: at(2_002) }]);
        rules.backup_retention = None;
        assert_eq!(may_destroy(&seen, &rules).unwrap_err(), [Missing::UnknownBackups]);
        seen.escrow = Some(Escrow { recipient: "F00D".to_owned() });
        assert!(may_destroy(&seen, &rules).is_ok());
        rules.escrow = false;
        assert_eq!(may_destroy(&seen, &rules).unwrap_err(), [Missing::UnknownBackups], "nobody chose it");
    }

    #[test]
    fn sixth_condition_alone_missing() {
        assert_eq!(missing(|seen| seen.approvals.truncate(1)), [Missing::Approvals { have: 1, need: 2 }]);
    }

    #[test]
    fn sentences_say_when_and_who() {
        let text = Missing::Backups { until: at(0) }.to_string();
        assert!(text.contains("2026-09-21T"), "{text}");
        assert_eq!(Missing::InUse { consumers: vec!["a".to_owned()] }.until(), None);
    }
}
