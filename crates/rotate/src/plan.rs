use std::time::Duration;

use coffre_ambient::Wall;
use coffre_rotation::machine::Heard;
use coffre_rotation::schedule::{Begin, begin};
use coffre_rotation::{GateMode, Kind, Phase, Record, RotPolicy, Settings};
use serde::Serialize;

use crate::gather::Gathered;

/// One line of a plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Planned {
    /// Which phase.
    pub phase: String,
    /// When it begins at the earliest, RFC 3339; `None`: when somebody asks for the rotation.
    pub at: Option<String>,
    /// So many seconds after the rotation begins; `None` of what is left of one that was promoted.
    pub after: Option<u64>,
    /// What happens, and what may hold it up.
    pub note: String,
}

/// What is left of generations on their way out; then the phases of the rotation under way that are still to come, or of
/// the next one. Every wait of the rules is in the times.
pub(crate) fn plan(settings: &Settings, read: &Gathered, record: &Record, now: Wall) -> Vec<Planned> {
    let mut lines = leaving(settings, record, now);
    let course = Course::of(settings, &read.policy);
    let start = if record.phase.is_before_promotion() {
        Some(record.phase_since)
    } else {
        begins(settings, &read.policy, record, now)
    };
    let ahead = Ahead { settings, read, record, course, start, now };
    ahead.say(&mut lines);
    lines
}

/// When the schedule begins the next one: not in a blackout, inside the window, and not before there is room for it.
fn begins(settings: &Settings, policy: &RotPolicy, record: &Record, now: Wall) -> Option<Wall> {
    if !settings.automatic && settings.kind != Kind::External {
        return None;
    }
    let due = record.schedule.next_due?.max(now);
    let at = match begin(settings, policy, &record.schedule, &record.target, due) {
        Begin::Now => due,
        Begin::At(at) => at,
        Begin::Never => return None,
    };
    let ring = matches!(settings.kind, Kind::SigningKey | Kind::EncryptionKey);
    let room = record.retiring.first().map(|old| old.earliest_retire).filter(|_| !ring);
    Some(room.map_or(at, |room| at.max(room)))
}

/// Lengths of time from the beginning of a rotation.
#[derive(Clone, Copy)]
struct Course {
    promote: Duration,
    retire: Duration,
    destroy: Duration,
}

impl Course {
    fn of(settings: &Settings, policy: &RotPolicy) -> Self {
        let ring = matches!(settings.kind, Kind::SigningKey | Kind::EncryptionKey);
        let promote = if ring { settings.settled(policy) } else { Duration::ZERO };
        let retire = promote.saturating_add(settings.retire_after(policy));
        Self { promote, retire, destroy: retire.saturating_add(settings.destroy_hold) }
    }
}

struct Ahead<'a> {
    settings: &'a Settings,
    read: &'a Gathered,
    record: &'a Record,
    course: Course,
    start: Option<Wall>,
    now: Wall,
}

impl Ahead<'_> {
    fn say(&self, lines: &mut Vec<Planned>) {
        let kind = self.settings.kind;
        let done = |phase: Phase| self.record.phase.is_before_promotion() && self.record.phase > phase;
        let ring = matches!(kind, Kind::SigningKey | Kind::EncryptionKey);
        let limits = &self.read.policy.limits;
        let mut put = |phase: Phase, after: Duration, note: String| {
            if !done(phase) {
                lines.push(self.line(phase, after, note));
            }
        };
        let drawn = match kind {
            Kind::External => "a person brings the new key: coffre rotate provide".to_owned(),
            _ => format!(
                "new material is drawn and kept in the record; at most {} at once, {} promotions an hour",
                limits.at_once, limits.promotions_per_hour
            ),
        };
        put(Phase::Prepare, Duration::ZERO, drawn);
        if matches!(kind, Kind::PgAlternating | Kind::RedisTwoPassword) {
            put(Phase::Apply, Duration::ZERO, "the server gets it, beside the one in use".to_owned());
        }
        put(Phase::Verify, Duration::ZERO, "it is tried on the consumer's own path".to_owned());
        if ring {
            put(Phase::Publish, Duration::ZERO, self.gate("nobody uses it before all accept it"));
        }
        put(Phase::Promote, self.course.promote, "it is the active one from here on".to_owned());
        put(Phase::Drain, self.course.promote, self.gate("the one before stays accepted"));
        put(Phase::Retire, self.course.retire, self.retirement());
        if kind == Kind::EncryptionKey {
            let note = "what is under the old key is encrypted anew, in batches";
            put(Phase::Reencrypt, self.course.retire, note.to_owned());
            let note =
                "the old key goes when the evidence is complete: two clean scans, queues and backups gone";
            put(Phase::Destroy, self.course.retire, note.to_owned());
        } else if ring {
            put(Phase::Destroy, self.course.destroy, "every stored copy of the old key goes".to_owned());
        }
    }

    fn line(&self, phase: Phase, after: Duration, note: String) -> Planned {
        let gate = self.record.gate.as_ref().filter(|gate| gate.mode == GateMode::Time);
        let opens = gate.filter(|_| phase >= Phase::Promote).map(|gate| gate.until);
        let under_way = self.record.phase.is_before_promotion();
        let planned = match opens {
            // What is left of the waiting stands in the record.
            Some(opens) => Some(opens.plus(after.saturating_sub(self.course.promote))),
            None => self.start.map(|start| start.plus(after)),
        };
        let at = planned.map(|at| if under_way { at.max(self.now) } else { at });
        Planned { phase: phase.to_string(), at: at.map(Wall::rfc3339), after: Some(after.as_secs()), note }
    }

    fn retirement(&self) -> String {
        match self.settings.kind {
            Kind::External => {
                "a person revokes the old key where it was issued, then: coffre rotate confirm-revoked"
            }
            Kind::PgAlternating => "the other user is closed; its sessions are ended after their grace",
            _ => "the one before is accepted no longer",
        }
        .to_owned()
    }

    /// What a gate waits for, with who is registered now.
    fn gate(&self, what: &str) -> String {
        let registered = self.read.acks.iter().filter(|heard| self.counts(heard)).count();
        let by_time = !self.settings.all_acknowledge || registered == 0;
        match (registered, by_time) {
            (0, _) => format!("{what}: until no copy can be older"),
            (count, true) => {
                format!("{what}: until no copy can be older, and {count} registered have acknowledged")
            }
            (count, false) => format!("{what}: until {count} registered have acknowledged"),
        }
    }

    fn counts(&self, heard: &Heard) -> bool {
        self.now < heard.ack.expires
    }
}

/// Generations that were promoted away, oldest first.
fn leaving(settings: &Settings, record: &Record, now: Wall) -> Vec<Planned> {
    let mut lines = Vec::new();
    for old in &record.retiring {
        let mut put = |phase: Phase, at: Wall, note: &str| {
            if phase >= old.phase {
                let note = format!("generation {} {note}", old.gen_no);
                let at = Some(at.max(now).rfc3339());
                lines.push(Planned { phase: phase.to_string(), at, after: None, note });
            }
        };
        let gate = old.gate.as_ref().map_or(now, |gate| gate.until);
        let retire = old.earliest_retire.max(gate);
        put(
            Phase::Drain,
            old.phase_since.unwrap_or(old.since),
            "is still accepted, until nothing depends on it",
        );
        put(Phase::Retire, retire, "is accepted no longer");
        match settings.kind {
            Kind::EncryptionKey => {
                put(Phase::Reencrypt, retire, "is replaced wherever something stands under it");
                put(Phase::Destroy, retire, "goes when the evidence is complete");
            }
            Kind::SigningKey => {
                let from =
                    if old.phase == Phase::Destroy { old.phase_since.unwrap_or(retire) } else { retire };
                put(Phase::Destroy, from.plus(settings.destroy_hold), "goes with every stored copy");
            }
            _ => {}
        }
    }
    lines
}
