//! What stands under an encryption key beside the rows of a table: queues, backups, a process that wakes late; and the
//! people who must consent. Evidence is gathered from it, or lied about; whether a destruction was right is judged by
//! what is so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coffre_ambient::Wall;
use coffre_rotation::destruction::{Escrow, Evidence, Meter, Rules, look_again, may_destroy};
use coffre_rotation::machine::Outcome;
use coffre_rotation::{Kind, Phase, Record, Usable};

use super::world::World;

/// What the evidence says that is not so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// The first scan was long ago.
    FirstScan,
    /// No text stands under the key.
    Uses,
    /// Nobody decrypted anything, and everybody counts.
    Decrypts,
    /// Nobody uses it.
    InUse,
    /// There is no queue.
    Drain,
    /// No backup is kept.
    Backups,
    /// A copy was sealed.
    Escrow,
    /// Two people consent.
    Approvals,
}

/// A consent that is not counted any more, but may have been a moment ago.
const JUST_NOW: Duration = Duration::from_secs(300);

pub(crate) struct Around {
    pub(crate) rules: Rules,
    /// How long a text stands in the queue.
    pub(crate) drain: Duration,
    /// How long a backup is really kept.
    pub(crate) retention: Duration,
    pub(crate) lie: Option<Lie>,
    /// The last decryption under each material that was not the active one.
    opened: BTreeMap<u64, Wall>,
    queued: Vec<(u64, Wall)>,
    backups: Vec<(Wall, BTreeSet<u64>)>,
    /// Generation, who, and since when not any more.
    consents: Vec<(u64, &'static str, Option<Wall>)>,
    /// Generation, material, when it wakes; `None`: it has.
    stragglers: Vec<(u64, u64, Option<Wall>)>,
    escrowed: BTreeSet<u64>,
    pub(crate) destroyed: u64,
}

impl Around {
    pub(crate) fn new(stale: Duration) -> Self {
        let hours = |hours: u64| Duration::from_secs(hours * 3_600);
        let rules = Rules {
            settled: stale + Duration::from_secs(120),
            quiet: hours(1),
            backup_retention: Some(hours(2)),
            escrow: false,
            approvals: 2,
        };
        Self {
            rules,
            drain: Duration::from_secs(1_800),
            retention: hours(2),
            lie: None,
            opened: BTreeMap::new(),
            queued: Vec::new(),
            backups: Vec::new(),
            consents: Vec::new(),
            stragglers: Vec::new(),
            escrowed: BTreeSet::new(),
            destroyed: 0,
        }
    }

    /// Nothing is asked but two scans at once.
    pub(crate) fn bare(&mut self) {
        let nothing = Duration::ZERO;
        (self.drain, self.retention) = (nothing, nothing);
        let settled = self.rules.settled;
        self.rules =
            Rules { settled, quiet: nothing, backup_retention: Some(nothing), escrow: false, approvals: 0 };
    }

    /// A consumer has written a text, for a queue too, and opened another.
    pub(crate) fn used(&mut self, now: Wall, active: u64, opened: u64) {
        if self.queued.len() < 200 {
            self.queued.push((active, now.plus(self.drain)));
        }
        if opened != active {
            self.opened.insert(opened, now);
        }
    }
}

/// Time passes for all of it.
pub(crate) fn tick(world: &mut World) {
    if world.kind != Kind::EncryptionKey {
        return;
    }
    let (now, retention) = (world.now, world.around.retention);
    let last = world.around.backups.last().map(|(at, _)| *at);
    world.around.backups.retain(|(at, _)| now < at.plus(retention));
    if last.is_none_or(|at| now.since(at) >= Duration::from_secs(1_200)) {
        let rows = world.outside.rows.iter().copied().collect();
        world.around.backups.push((now, rows));
    }
    world.around.queued.retain(|(_, until)| now < *until);
    let ending = |old: &&coffre_rotation::Retiring| old.phase == Phase::Destroy;
    let ending: Vec<u64> = world.record().retiring.iter().filter(ending).map(|old| old.gen_no).collect();
    for number in ending {
        people(world, number);
    }
    let wakes =
        |(_, material, at): &mut (u64, u64, Option<Wall>)| at.take_if(|at| now >= *at).map(|_| *material);
    let awake: Vec<u64> = world.around.stragglers.iter_mut().filter_map(wakes).collect();
    let drained = world.now.plus(world.around.drain);
    for material in awake {
        world.around.queued.push((material, drained));
        let row = usize::try_from(world.dice.below(world.outside.rows.len().max(1) as u64)).unwrap();
        if let Some(row) = world.outside.rows.get_mut(row) {
            *row = material;
        }
    }
}

/// A process with an old ring goes on for as long as its copy may be old.
fn wakes_late(world: &mut World, number: u64) {
    let within = world.around.rules.settled.as_secs().saturating_sub(120);
    if within == 0 || world.around.stragglers.iter().any(|(known, _, _)| *known == number) {
        return;
    }
    let held = world.docs.iter().rev().find_map(|doc| doc.key(number)).map(|key| key.material);
    let at = world.now.plus(Duration::from_secs(world.dice.below(within)));
    world.around.stragglers.extend(held.map(|material| (number, material, Some(at))));
}

/// People consent, and change their minds.
fn people(world: &mut World, number: u64) {
    if world.dice.below(20) != 0 {
        return;
    }
    let who = ["anna", "ben", "zoe"][usize::try_from(world.dice.below(3)).unwrap()];
    let (now, changes) = (world.now, world.dice.below(3) == 0);
    let known = world
        .around
        .consents
        .iter_mut()
        .find(|(of, name, gone)| *of == number && *name == who && gone.is_none());
    match known {
        Some(consent) if changes => consent.2 = Some(now),
        Some(_) => {}
        None => world.around.consents.push((number, who, None)),
    }
}

/// What is seen of a generation, and what follows.
pub(crate) fn evidence(world: &mut World, record: &Record, number: u64, material: u64) -> Outcome {
    let old = record.retiring_gen(number).unwrap();
    let uses = world.outside.rows.iter().filter(|row| **row == material).count() as u64;
    let active = world.doc().keys.iter().find(|key| key.usable == Usable::Active).unwrap().material;
    world.outside.rows.iter_mut().filter(|row| **row == material).for_each(|row| *row = active);
    if world.around.lie == Some(Lie::Uses) && uses > 0 {
        // Nobody looked.
        world.outside.rows[0] = material;
    }
    wakes_late(world, number);
    let rules = world.around.rules.clone();
    let told = if world.around.lie == Some(Lie::Uses) { 0 } else { uses };
    let seen = seen(world, old, (number, material), told).scanned(&rules);
    let rules = match world.around.lie {
        Some(Lie::Backups) => Rules { backup_retention: Some(Duration::ZERO), ..rules },
        _ => rules,
    };
    let note = |name: &str, at: Option<Wall>| at.map(|at| (name.to_owned(), at.rfc3339()));
    let notes = [note("first", seen.first_scan), note("second", seen.second_scan)];
    let notes = notes.into_iter().flatten().collect();
    match may_destroy(&seen, &rules) {
        Ok(certificate) => {
            Outcome::Evidence { missing: Vec::new(), ask: None, notes, certificate: certificate.facts() }
        }
        Err(missing) => Outcome::Evidence {
            ask: look_again(&missing),
            missing: missing.iter().map(ToString::to_string).collect(),
            notes,
            certificate: BTreeMap::new(),
        },
    }
}

fn seen(
    world: &mut World,
    old: &coffre_rotation::Retiring,
    (number, material): (u64, u64),
    uses: u64,
) -> Evidence {
    let note = |name: &str| old.notes.get(name).and_then(|text| Wall::parse(text));
    let first = note("first").unwrap_or(world.now);
    let (now, around) = (world.now, &mut world.around);
    if around.rules.escrow && around.lie != Some(Lie::Escrow) {
        around.escrowed.insert(number);
    }
    let sealed = Escrow::Sealed { recipient: "00".to_owned(), digest: "sha256:00".to_owned() };
    let told = world.settings.all_acknowledge;
    let consumers = world.acks.len();
    let meter = Meter {
        counting: if told { consumers } else { 0 },
        silent: if told { 0 } else { consumers },
        last: around.opened.get(&material).copied().filter(|_| told),
    };
    let lives = |heard: &&coffre_rotation::machine::Heard| heard.ends(&world.policy, &world.settings) >= now;
    let active = world.docs.last().unwrap().active().number;
    let in_use = world
        .acks
        .iter()
        .filter(lives)
        .filter(|heard| heard.ack.in_use <= number && heard.ack.in_use != active);
    let retired = old.phase_since.unwrap_or(old.since);
    let mut seen = Evidence {
        kid: format!("k-{number}"),
        now,
        retired,
        first_scan: Some(first),
        second_scan: note("second"),
        uses,
        longest: 0,
        unregistered: Vec::new(),
        texts: BTreeMap::new(),
        meter,
        in_use: in_use.map(|heard| heard.ack.consumer.to_string()).collect(),
        drains: Some(around.drain)
            .filter(|drain| !drain.is_zero())
            .map(|after| ("queue".to_owned(), after))
            .into_iter()
            .collect(),
        escrow: if around.rules.escrow { sealed } else { Escrow::None },
        approvals: standing(around, number, |gone| gone.is_none()),
    };
    match around.lie {
        Some(Lie::FirstScan) => seen.first_scan = Some(Wall::from_secs(1)),
        Some(Lie::Decrypts) => seen.meter = Meter { counting: 1, silent: 0, last: None },
        Some(Lie::InUse) => seen.in_use.clear(),
        Some(Lie::Drain) => seen.drains.clear(),
        Some(Lie::Approvals) => seen.approvals = vec!["one".to_owned(), "two".to_owned()],
        _ => {}
    }
    seen
}

fn standing(around: &Around, number: u64, counts: impl Fn(Option<Wall>) -> bool) -> Vec<String> {
    let its = around.consents.iter().filter(|(of, _, gone)| *of == number && counts(*gone));
    let names: BTreeSet<&str> = its.map(|(_, name, _)| *name).collect();
    names.into_iter().map(str::to_owned).collect()
}

/// Judges a destruction by what is so, whatever the evidence said.
pub(crate) fn judge(world: &mut World, number: u64, material: u64) {
    let now = world.now;
    let around = &world.around;
    let mut wrong = Vec::new();
    let sleeps = |late: &(u64, u64, Option<Wall>)| late.1 == material && late.2.is_some();
    if world.outside.rows.contains(&material) || around.stragglers.iter().any(sleeps) {
        wrong.push("rows need it, or will");
    }
    if around.opened.get(&material).is_some_and(|at| now.since(*at) < around.rules.quiet) {
        wrong.push("it was used to decrypt a moment ago");
    }
    if world.consumers.iter().any(|consumer| consumer.uses(now, world.stale) == Some(material)) {
        wrong.push("a consumer encrypts with it");
    }
    if around.queued.iter().any(|(queued, until)| *queued == material && now < *until) {
        wrong.push("the queue needs it");
    }
    let kept = around.backups.iter().filter(|(at, _)| now < at.plus(around.retention));
    if !around.escrowed.contains(&number) && kept.clone().any(|(_, rows)| rows.contains(&material)) {
        wrong.push("a backup needs it");
    }
    let lately = |gone: Option<Wall>| gone.is_none_or(|at| now.since(at) < JUST_NOW);
    if standing(around, number, lately).len() < usize::from(around.rules.approvals) {
        wrong.push("nobody consented");
    }
    world.around.destroyed += 1;
    for what in wrong {
        world.violated(format!("G3: generation {number} is destroyed, and {what}"));
    }
}
