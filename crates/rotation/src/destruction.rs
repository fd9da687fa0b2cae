//! Six conditions before an old encryption key is destroyed, as one pure function, and the certificate that they held.

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
    /// When the second one ended, far enough from the first; `None`: there was none, or uses were found since.
    pub second_scan: Option<Wall>,
    /// The scan that is made now: how many uses it found.
    pub uses: u64,
    /// The longest open transaction, in seconds.
    pub longest: u64,
    /// Columns with encrypted texts that nobody registered.
    pub unregistered: Vec<String>,
    /// Texts that the re-encryption met, by what they were, as it counts them.
    pub texts: BTreeMap<String, u64>,
    /// Decryptions, as consumers count them.
    pub meter: Meter,
    /// Consumers that say that they still use the generation.
    pub in_use: Vec<String>,
    /// Places that empty themselves, and after how long none of their texts is left.
    pub drains: Vec<(String, Duration)>,
    /// An escrow copy, if one is wanted.
    pub escrow: Escrow,
    /// The entities of the people who consent.
    pub approvals: Vec<String>,
}

/// Decryptions under the key, as far as consumers count them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Meter {
    /// Consumers within the quiet time that count.
    pub counting: usize,
    /// Consumers within the quiet time that do not: what they decrypted nobody knows.
    pub silent: usize,
    /// The last decryption that any consumer told of.
    pub last: Option<Wall>,
}

/// A copy of the key that only the offline recovery key opens.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Escrow {
    /// Nobody asked for one.
    #[default]
    None,
    /// There is one.
    Sealed {
        /// The fingerprint of the recovery key.
        recipient: String,
        /// `sha256:` and the digest of the sealed copy.
        digest: String,
    },
    /// One is wanted, and could not be made: why.
    Failed(String),
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
    /// Whether an escrow copy is wanted. It takes the place of waiting for backups; without it nothing is destroyed.
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
    Escrow { why: String },
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
            Self::Escrow { why } => write!(f, "no copy was sealed to the recovery key: {why}"),
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
    /// How long backups are kept.
    retention: String,
}

impl Certificate {
    /// Names and numbers, no material.
    #[must_use]
    pub fn facts(&self) -> BTreeMap<String, String> {
        let seen = &self.evidence;
        let time = |at: Option<Wall>| at.map_or_else(|| "never".to_owned(), Wall::rfc3339);
        let backups = match &seen.escrow {
            Escrow::Sealed { recipient, digest } => format!("escrow copy {digest} for {recipient}"),
            _ => format!("{} since the second scan are over", self.retention),
        };
        let listed = |list: Vec<String>| if list.is_empty() { "none".to_owned() } else { list.join(", ") };
        let facts = [
            ("kid", seen.kid.clone()),
            ("first_scan", format!("{}: 0 uses", time(seen.first_scan))),
            ("second_scan", format!("{}: 0 uses", time(seen.second_scan))),
            ("last_scan", format!("{}: 0 uses", time(Some(seen.now)))),
            ("texts", listed(seen.texts.iter().map(|(name, count)| format!("{name} {count}")).collect())),
            ("decryptions", seen.meter.told()),
            ("in_use", "by nobody who acknowledges".to_owned()),
            ("drains", listed(seen.drains.iter().map(|(place, _)| place.clone()).collect())),
            ("backups", backups),
            ("approvals", listed(seen.approvals.clone())),
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
    // A process with an old copy of the ring may have put texts there until then.
    let last = seen.retired.plus(rules.settled);
    let undrained = seen.drains.iter().filter(|(_, after)| seen.now < last.plus(*after));
    missing.extend(
        undrained.map(|(place, after)| Missing::Drain { place: place.clone(), until: last.plus(*after) }),
    );
    backups(seen, rules, &mut missing);
    let have = u8::try_from(seen.approvals.len()).unwrap_or(u8::MAX);
    if have < rules.approvals {
        missing.push(Missing::Approvals { have, need: rules.approvals });
    }
    if !missing.is_empty() {
        return Err(missing);
    }
    let retention = rules.backup_retention.unwrap_or_default().as_secs();
    Ok(Certificate { evidence: seen.clone(), retention: format!("{retention} s") })
}

/// (1) Two complete scans without a use, far enough from each other, and nobody else who holds such texts.
fn scans(seen: &Evidence, rules: &Rules, missing: &mut Vec<Missing>) {
    let kid = || seen.kid.clone();
    if !seen.unregistered.is_empty() {
        missing.push(Missing::Unregistered { columns: seen.unregistered.clone() });
    }
    if seen.uses > 0 {
        return missing.push(Missing::Uses { kid: kid(), uses: seen.uses });
    }
    let Some(first) = seen.first_scan else { return missing.push(Missing::NoScan) };
    if seen.second_scan.is_none() {
        missing.push(Missing::SecondScan { kid: kid(), until: seen.settled(first, rules) });
    }
}

/// (2) No decryption for a while. What nobody counts cannot be known: then the time runs from the second scan.
fn quiet(seen: &Evidence, rules: &Rules, missing: &mut Vec<Missing>) {
    let from = if seen.meter.is_whole() { seen.retired } else { seen.second_scan.unwrap_or(seen.now) };
    let until = seen.meter.last.map_or(from, |last| last.max(from)).plus(rules.quiet);
    if seen.now < until {
        missing.push(Missing::Decrypts { kid: seen.kid.clone(), until });
    }
}

impl Evidence {
    /// With the scan that is made now as the second one, if it finds nothing and is far enough from the first. It is to be
    /// made as soon as it may be: what comes and goes after the first scan is seen by no later one, and may be in a backup.
    #[must_use]
    pub fn scanned(mut self, rules: &Rules) -> Self {
        if self.uses > 0 {
            (self.first_scan, self.second_scan) = (None, None);
        }
        let due = self.first_scan.map(|first| self.settled(first, rules));
        if self.second_scan.is_none() && due.is_some_and(|due| self.now >= due) {
            self.second_scan = Some(self.now);
        }
        self
    }

    /// From when on nobody writes under the key any more: the second scan may be made then.
    fn settled(&self, first: Wall, rules: &Rules) -> Wall {
        first.plus(rules.settled).plus(Duration::from_secs(self.longest))
    }
}

/// When it is worth looking again: for the second scan as soon as it may be, else when all may hold.
#[must_use]
pub fn look_again(missing: &[Missing]) -> Option<Wall> {
    let scan = missing.iter().find(|one| matches!(one, Missing::SecondScan { .. })).and_then(Missing::until);
    scan.or_else(|| missing.iter().filter_map(Missing::until).max())
}

impl Meter {
    /// Whether everybody counts.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.counting > 0 && self.silent == 0
    }

    /// What is known, and what is not.
    fn told(&self) -> String {
        let last = self.last.map_or_else(|| "none".to_owned(), |last| format!("the last {}", last.rfc3339()));
        match (self.counting, self.silent) {
            (0, _) => "not known: nobody counts them; so long since the second scan".to_owned(),
            (counting, 0) => format!("{last}, counted by all {counting} consumers"),
            (counting, silent) => {
                format!("{last}, counted by {counting} consumers; not known of {silent} others")
            }
        }
    }
}

/// (5) No backup needs the key, or it can be had without us. Who wants a copy does not go without one.
fn backups(seen: &Evidence, rules: &Rules, missing: &mut Vec<Missing>) {
    match &seen.escrow {
        Escrow::Sealed { .. } if rules.escrow => return,
        Escrow::Failed(why) if rules.escrow => return missing.push(Missing::Escrow { why: why.clone() }),
        _ if rules.escrow => {
            return missing.push(Missing::Escrow { why: "it was not made yet".to_owned() });
        }
        _ => {}
    }
    match (rules.backup_retention, seen.second_scan) {
        (None, _) => missing.push(Missing::UnknownBackups),
        (Some(_), None) => {}
        (Some(retention), Some(second)) => {
            // Not from the first: a text that stood between the two may be in a backup.
            let until = second.plus(retention);
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
            second_scan: Some(at(4)),
            uses: 0,
            longest: 30,
            unregistered: Vec::new(),
            texts: BTreeMap::from([("rewritten-ab12cd34".to_owned(), 1_200)]),
            meter: Meter { counting: 3, silent: 0, last: Some(at(1)) },
            in_use: Vec::new(),
            drains: vec![("celery queue".to_owned(), Duration::from_hours(24))],
            escrow: Escrow::None,
            approvals: vec!["e-anna".to_owned(), "e-ben".to_owned()],
        };
        let rules =
            Rules { backup_retention: Some(Duration::from_hours(720)), approvals: 2, ..Rules::default() };
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
        assert_eq!(facts["backups"], "2592000 s since the second scan are over");
        assert_eq!(facts["approvals"], "e-anna, e-ben");
        assert_eq!(facts["texts"], "rewritten-ab12cd34 1200");
        assert_eq!(facts["second_scan"], format!("{}: 0 uses", at(4).rfc3339()));
        assert!(facts["residual"].contains("storage"));
    }

    #[test]
    fn first_condition_alone_missing() {
        let kid = || "ab12cd34".to_owned();
        assert!(missing(|seen| seen.first_scan = None).contains(&Missing::NoScan));
        assert_eq!(missing(|seen| seen.uses = 3), [Missing::Uses { kid: kid(), uses: 3 }]);
        let columns = vec!["public.audit.body".to_owned()];
        let found = missing(|seen| seen.unregistered.clone_from(&columns));
        assert_eq!(found, [Missing::Unregistered { columns }]);
        let until = at(2).plus(Rules::default().settled).plus(Duration::from_secs(30));
        let late = missing(|seen| seen.second_scan = None);
        assert_eq!(late, [Missing::SecondScan { kid: kid(), until }]);
        assert_eq!(look_again(&late), Some(until));
    }

    #[test]
    fn the_second_scan_is_the_first_one_that_is_far_enough() {
        let (seen, rules) = whole();
        let due = at(2).plus(rules.settled).plus(Duration::from_secs(30));
        let scan = |now: Wall, second_scan: Option<Wall>, uses: u64| {
            let seen = Evidence { now, second_scan, uses, ..seen.clone() }.scanned(&rules);
            (seen.first_scan.is_some(), seen.second_scan)
        };
        assert_eq!(scan(Wall::from_nanos(due.nanos() - 1), None, 0), (true, None));
        assert_eq!(scan(due, None, 0), (true, Some(due)), "on the moment");
        assert_eq!(scan(at(900), Some(due), 0), (true, Some(due)), "it stays the one");
        assert_eq!(scan(at(900), Some(due), 1), (false, None), "from the beginning");
        let both =
            [Missing::Backups { until: at(9) }, Missing::SecondScan { kid: String::new(), until: at(3) }];
        assert_eq!((look_again(&both), look_again(&both[..1])), (Some(at(3)), Some(at(9))));
    }

    #[test]
    fn second_condition_alone_missing() {
        let last = at(990);
        let until = last.plus(Duration::from_hours(168));
        let found = missing(|seen| seen.meter.last = Some(last));
        assert_eq!(found, [Missing::Decrypts { kid: "ab12cd34".to_owned(), until }]);
        let (mut seen, mut rules) = whole();
        rules.quiet = Duration::from_hours(999);
        assert!(may_destroy(&seen, &rules).is_ok(), "measured from its retirement, or the last decryption");
        for meter in [(0, 0), (0, 2), (3, 1)] {
            let meter = Meter { counting: meter.0, silent: meter.1, last: Some(at(1)) };
            seen.meter = meter;
            assert_eq!(may_destroy(&seen, &rules).unwrap_err().len(), 1, "measured from the second scan");
        }
        seen.meter = Meter { counting: 3, silent: 1, last: Some(at(900)) };
        rules.quiet = Duration::from_hours(101);
        assert_eq!(may_destroy(&seen, &rules).unwrap_err().len(), 1, "what is told counts in any case");
    }

    #[test]
    fn the_certificate_claims_nothing_that_nobody_knows() {
        let (mut seen, rules) = whole();
        let mut told = |counting, silent| {
            seen.meter = Meter { counting, silent, last: None };
            may_destroy(&seen, &rules).unwrap().facts()["decryptions"].clone()
        };
        assert!(told(0, 0).starts_with("not known") && told(0, 4).starts_with("not known"));
        assert_eq!(told(3, 0), "none, counted by all 3 consumers");
        assert_eq!(told(3, 1), "none, counted by 3 consumers; not known of 1 others");
    }

    #[test]
    fn third_condition_alone_missing() {
        let consumers = vec!["api.web.b.1".to_owned()];
        assert_eq!(missing(|seen| seen.in_use.clone_from(&consumers)), [Missing::InUse { consumers }]);
    }

    #[test]
    fn fourth_condition_alone_missing() {
        let found = missing(|seen| seen.drains.push(("redis cache".to_owned(), Duration::from_hours(1_000))));
        let until = at(1_000).plus(Rules::default().settled);
        assert_eq!(found, [Missing::Drain { place: "redis cache".to_owned(), until }]);
    }

    #[test]
    fn fifth_condition_alone_missing_unless_there_is_an_escrow_copy() {
        let (mut seen, mut rules) = whole();
        rules.backup_retention = Some(Duration::from_hours(2_000));
        assert_eq!(may_destroy(&seen, &rules).unwrap_err(), [Missing::Backups { until: at(2_004) }]);
        rules.backup_retention = None;
        assert_eq!(may_destroy(&seen, &rules).unwrap_err(), [Missing::UnknownBackups]);
        let sealed = Escrow::Sealed { recipient: "f00d".to_owned(), digest: "sha256:00".to_owned() };
        seen.escrow = sealed.clone();
        assert_eq!(may_destroy(&seen, &rules).unwrap_err(), [Missing::UnknownBackups], "nobody chose it");
        rules.escrow = true;
        let facts = may_destroy(&seen, &rules).unwrap().facts();
        assert_eq!(facts["backups"], "escrow copy sha256:00 for f00d");
        for escrow in [Escrow::None, Escrow::Failed("the key has expired".to_owned())] {
            seen.escrow = escrow;
            for retention in [None, Some(Duration::ZERO)] {
                rules.backup_retention = retention;
                let found = may_destroy(&seen, &rules).unwrap_err();
                assert!(matches!(found.as_slice(), [Missing::Escrow { .. }]), "{found:?}");
            }
        }
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
