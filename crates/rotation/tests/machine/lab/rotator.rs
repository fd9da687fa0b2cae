//! A process that drives the machine, one input or output at a time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use coffre_ambient::Wall;
use coffre_rotation::machine::{Action, Draw, FailureKind, Heard, Memory, Next, Outcome, Seen, finish, next};
use coffre_rotation::{Facts, Kind, Pending, Phase, Record, RotationId, Usable};
use coffre_secret::SecretText;

use super::destruction;
use super::target::Effect;
use super::world::{Answer, Doc, Key, World};

/// A process that drives the machine: one input or output with each call of [`poll`](Rotator::poll).
pub(crate) struct Rotator {
    pub(crate) holder: String,
    pub(crate) wakes: Wall,
    memory: Memory,
    stage: Stage,
    /// Reads the document after the record, against the rules (a test shows what happens then).
    pub(crate) careless: bool,
    /// How far its idea of the server's time is ahead.
    pub(crate) ahead: Duration,
    /// Ends of its sleep that were no use: to find a machine that runs in circles.
    pub(crate) polls: u64,
}

enum Stage {
    Document,
    Record(Held),
    Careless(Box<Bundle>),
    Write(Box<Bundle>, Box<Record>),
    Act(Box<Bundle>, Action, VecDeque<Effect>),
    Put(Box<Bundle>, Action, Doc),
}

struct Held {
    facts: Facts,
    doc: Doc,
    version: usize,
}

/// What one decision follows from.
struct Bundle {
    held: Held,
    record: Record,
    version: u64,
    acks: Vec<Heard>,
    draw: Draw,
    /// When the record was read.
    at: Wall,
}

impl Rotator {
    pub(crate) fn new(name: &str, wakes: Wall) -> Self {
        Self {
            holder: format!("host/boot/{name}"),
            wakes,
            memory: Memory::default(),
            stage: Stage::Document,
            careless: false,
            ahead: Duration::ZERO,
            polls: 0,
        }
    }

    /// Whether it has decided to do something outside of the record, and has not done it yet.
    pub(crate) fn is_about_to_act(&self, world: &World) -> bool {
        let claimed =
            |bundle: &Bundle| bundle.record.claim.as_ref().is_some_and(|claim| claim.holder == self.holder);
        match &self.stage {
            Stage::Act(..) | Stage::Put(..) => true,
            Stage::Careless(bundle) => claimed(bundle) && world.record().phase != Phase::Idle,
            _ => false,
        }
    }

    /// One input or output. `false`: it was killed.
    pub(crate) fn poll(&mut self, world: &mut World) -> bool {
        self.polls += 1;
        self.wakes = world.now.plus(Duration::from_millis(200));
        match std::mem::replace(&mut self.stage, Stage::Document) {
            Stage::Document => self.stage = Stage::Record(read(world)),
            Stage::Record(held) => {
                let bundle = Box::new(Bundle::read(world, held));
                match self.careless {
                    true => self.stage = Stage::Careless(bundle),
                    false => self.decide(world, bundle),
                }
            }
            // The document is read again, after the record.
            Stage::Careless(mut bundle) => {
                bundle.held = read(world);
                self.decide(world, bundle);
            }
            Stage::Write(bundle, record) => match world.write_record(bundle.version, &record) {
                Answer::Killed => return false,
                Answer::Landed => self.memory.refused_fence = None,
                _ => {}
            },
            Stage::Act(bundle, action, effects) => return self.act(world, bundle, action, effects),
            Stage::Put(bundle, action, doc) => return self.put(world, bundle, action, doc),
        }
        true
    }

    fn decide(&mut self, world: &mut World, bundle: Box<Bundle>) {
        self.memory.max_epoch = self.memory.max_epoch.max(bundle.held.facts.epoch);
        let decision = next(&bundle.seen(world, self));
        self.follow(world, bundle, decision);
    }

    fn follow(&mut self, world: &mut World, bundle: Box<Bundle>, decision: Next) {
        match decision {
            Next::Write(record) => self.stage = Stage::Write(bundle, record),
            Next::Act(action) => {
                let effects = effects(world, &bundle, &action);
                self.stage = Stage::Act(bundle, action, effects);
            }
            Next::Wait(waiting) => {
                // Acknowledgements come at any time, so it looks now and then.
                let often = world.now.plus(Duration::from_secs(120));
                let until = waiting.until.map_or(often, |until| until.min(often));
                self.wakes = until.max(world.now.plus(Duration::from_secs(1)));
            }
            Next::Reread => {}
        }
    }

    fn done(&mut self, world: &mut World, bundle: Box<Bundle>, action: &Action, outcome: Outcome) -> bool {
        let decision = finish(&bundle.seen(world, self), action, outcome);
        self.follow(world, bundle, decision);
        true
    }

    fn act(
        &mut self,
        world: &mut World,
        bundle: Box<Bundle>,
        action: Action,
        mut effects: VecDeque<Effect>,
    ) -> bool {
        if let Some(effect) = effects.pop_front() {
            if let Effect::SetPassword(_, material) | Effect::Add(material) = effect {
                let durable = world.record.1.contains(&format!("material-{material}\""));
                let earlier =
                    world.docs.iter().any(|doc| doc.keys.iter().any(|key| key.material == material));
                // A late call of somebody who lost the claim is refused by the fence, not by this.
                if !durable && !earlier && bundle.record.fence >= world.outside.fence {
                    world.violated(format!("G1: material {material} is applied before it is durable"));
                }
            }
            let (lands, answer) = world.hit("effect");
            let taken = !lands || world.outside.take(effect, bundle.record.fence);
            match answer.unwrap_or(if taken { Answer::Landed } else { Answer::Fenced }) {
                Answer::Killed => return false,
                Answer::Unknown => {
                    let failed = Outcome::Failed(FailureKind::Transient, "no answer".to_owned());
                    return self.done(world, bundle, &action, failed);
                }
                Answer::Fenced => {
                    self.memory.refused_fence = Some(bundle.record.fence);
                    let failed = Outcome::Failed(FailureKind::Fenced, "a higher fence".to_owned());
                    return self.done(world, bundle, &action, failed);
                }
                _ => {
                    self.stage = Stage::Act(bundle, action, effects);
                    return true;
                }
            }
        }
        if !proven(world, &bundle, &action) {
            let failed = Outcome::Failed(FailureKind::Transient, "the target has forgotten it".to_owned());
            return self.done(world, bundle, &action, failed);
        }
        match result(world, &bundle, &action) {
            Ok(doc) => self.stage = Stage::Put(bundle, action, doc),
            Err(outcome) => return self.done(world, bundle, &action, outcome),
        }
        true
    }

    fn put(&mut self, world: &mut World, bundle: Box<Bundle>, action: Action, doc: Doc) -> bool {
        let epoch = doc.epoch;
        let mut outcome = match world.write_doc(bundle.held.version, doc) {
            Answer::Killed => return false,
            Answer::Unknown => Outcome::Failed(FailureKind::Transient, "no answer".to_owned()),
            Answer::Landed => {
                self.memory.max_epoch = self.memory.max_epoch.max(epoch);
                Outcome::Written(epoch)
            }
            _ => Outcome::Failed(FailureKind::Conflict, "somebody else wrote".to_owned()),
        };
        if let (Action::Destroy { gen_no, .. }, Outcome::Written(_)) = (&action, &outcome) {
            purge(world, *gen_no);
            outcome = Outcome::Destroyed { epoch, gone: BTreeMap::new() };
        }
        self.done(world, bundle, &action, outcome)
    }
}

fn read(world: &World) -> Held {
    let doc = world.doc().clone();
    Held { facts: doc.facts(world.is_ring()), doc, version: world.docs.len() }
}

impl Bundle {
    fn read(world: &World, held: Held) -> Self {
        let rotation = RotationId::draw(world.now, &world.dice).unwrap();
        let draw = Draw { rotation, jitter: world.dice.next_u64() };
        Self {
            held,
            record: world.record().duplicate(),
            version: world.record.0,
            acks: world.acks.clone(),
            draw,
            at: world.now,
        }
    }

    fn seen<'a>(&'a self, world: &'a World, rotator: &'a Rotator) -> Seen<'a> {
        Seen {
            record: &self.record,
            document: Some(&self.held.facts),
            acks: &self.acks,
            settings: &world.settings,
            policy: &world.policy,
            freeze: world.freeze.then_some("for the test"),
            soak: None,
            neighbours: &[],
            holder: &rotator.holder,
            // The moment of the decision, or, as bad, that of reading.
            now: if rotator.careless { self.at } else { world.now }.plus(rotator.ahead),
            memory: rotator.memory,
            draw: &self.draw,
        }
    }

    fn pending_material(&self) -> u64 {
        material_of(self.record.pending.as_ref().unwrap())
    }

    /// Material and principal of an old generation, from the versions of the document.
    fn old(&self, world: &World, number: u64) -> (usize, u64) {
        let key = world.docs.iter().rev().find_map(|doc| doc.key(number));
        key.map_or((0, 0), |key| (key.principal, key.material))
    }
}

/// A target looks whether its effect is there: a restart in between may have undone a part (R3).
fn proven(world: &World, bundle: &Bundle, action: &Action) -> bool {
    if world.kind != Kind::RedisTwoPassword {
        return true;
    }
    let lives = |material: u64| world.outside.live.contains(&material);
    match action {
        Action::Apply => lives(bundle.pending_material()),
        Action::Undo { .. } => bundle.record.pending.is_none() || !lives(bundle.pending_material()),
        Action::Retire { gen_no, .. } => !lives(bundle.old(world, *gen_no).1),
        _ => true,
    }
}

fn material_of(pending: &Pending) -> u64 {
    pending.material.expose().trim_start_matches("material-").parse().unwrap()
}

fn principal_of(pending: &Pending) -> usize {
    pending.principal.as_deref().map_or(0, |name| name.parse().unwrap())
}

/// What an action does at the target, one effect after the other.
fn effects(world: &World, bundle: &Bundle, action: &Action) -> VecDeque<Effect> {
    let pg = world.kind == Kind::PgAlternating;
    let set = matches!(world.kind, Kind::RedisTwoPassword | Kind::Dynamic);
    let list = match action {
        Action::Apply if pg => {
            let principal = principal_of(bundle.record.pending.as_ref().unwrap());
            vec![Effect::SetPassword(principal, bundle.pending_material())]
        }
        Action::Apply if set => vec![Effect::Add(bundle.pending_material()), Effect::Persist],
        Action::Undo { .. } if pg && bundle.record.pending.is_some() => {
            vec![Effect::NoLogin(principal_of(bundle.record.pending.as_ref().unwrap()))]
        }
        Action::Undo { .. } if set && bundle.record.pending.is_some() => {
            vec![Effect::Remove(bundle.pending_material()), Effect::Persist]
        }
        Action::Retire { gen_no, .. } if pg => vec![Effect::NoLogin(bundle.old(world, *gen_no).0)],
        Action::Retire { gen_no, .. } if set => {
            vec![Effect::Remove(bundle.old(world, *gen_no).1), Effect::Persist]
        }
        _ => Vec::new(),
    };
    list.into()
}

/// The document that an action writes, or how it ended without one.
fn result(world: &mut World, bundle: &Bundle, action: &Action) -> Result<Doc, Outcome> {
    let mut doc = bundle.held.doc.clone();
    doc.plain = false;
    let ring = world.is_ring();
    match action {
        Action::Prepare { gen_no } => return Err(Outcome::Prepared(draw(world, bundle, *gen_no))),
        Action::Apply => return Err(Outcome::Done),
        Action::Verify => return Err(verified(world, bundle)),
        Action::Drained { .. } => return Err(Outcome::Drained),
        Action::Revoked { gen_no } => {
            let (principal, material) = bundle.old(world, *gen_no);
            return Err(Outcome::Revoked(!world.outside.accepts(principal, material)));
        }
        Action::Reencrypt { gen_no, .. } => return Err(batch(world, bundle, *gen_no)),
        Action::MayDestroy { gen_no } => {
            let old = bundle.old(world, *gen_no).1;
            if doc.key(*gen_no).is_none() {
                // It was taken out already: what was decided then stands.
                return Err(decided(bundle, *gen_no));
            }
            return Err(destruction::evidence(world, &bundle.record, *gen_no, old));
        }
        Action::Publish { epoch } => {
            doc.epoch = *epoch;
            doc.keys.push(key(bundle, Usable::Accept));
        }
        Action::Promote { epoch, drop_old } => {
            doc.epoch = *epoch;
            promote(&mut doc, key(bundle, Usable::Active), ring, *drop_old);
        }
        Action::Repair { gen_no, epoch } => {
            doc.epoch = *epoch;
            let old = world.docs.iter().rev().find_map(|doc| doc.key(*gen_no)).cloned();
            if let Some(old) = old {
                promote(&mut doc, Key { usable: Usable::Active, ..old }, ring, false);
            }
        }
        Action::Retire { gen_no, epoch, .. } => {
            if !ring {
                return Err(Outcome::Done);
            }
            doc.epoch = *epoch;
            match world.kind {
                Kind::EncryptionKey => doc
                    .keys
                    .iter_mut()
                    .filter(|key| key.number == *gen_no)
                    .for_each(|key| key.usable = Usable::DecryptOnly),
                _ => doc.keys.retain(|key| key.number != *gen_no),
            }
        }
        Action::Destroy { gen_no, epoch } => {
            if doc.key(*gen_no).is_none() {
                purge(world, *gen_no);
                return Err(Outcome::Destroyed { epoch: 0, gone: BTreeMap::new() });
            }
            doc.epoch = *epoch;
            doc.keys.retain(|key| key.number != *gen_no);
        }
        Action::Undo { epoch, touch } => {
            let pending = bundle.record.pending.as_ref().map(|pending| pending.gen_no);
            if !touch {
                return Err(Outcome::Done);
            }
            doc.epoch = *epoch;
            doc.keys.retain(|key| Some(key.number) != pending);
        }
    }
    Ok(doc)
}

fn promote(doc: &mut Doc, new: Key, ring: bool, drop_old: bool) {
    if ring {
        doc.keys.retain(|key| key.number != new.number && (!drop_old || key.usable != Usable::Active));
        doc.keys
            .iter_mut()
            .filter(|key| key.usable == Usable::Active)
            .for_each(|key| key.usable = Usable::Accept);
        doc.keys.push(new);
    } else {
        doc.keys = vec![new];
    }
}

fn key(bundle: &Bundle, usable: Usable) -> Key {
    let pending = bundle.record.pending.as_ref().unwrap();
    Key { number: pending.gen_no, usable, material: material_of(pending), principal: principal_of(pending) }
}

fn draw(world: &mut World, bundle: &Bundle, number: u64) -> Pending {
    world.materials += 1;
    let principal = 1 - bundle.held.doc.active().principal;
    Pending {
        gen_no: number,
        principal: (world.kind == Kind::PgAlternating).then(|| principal.to_string()),
        material: SecretText::from(format!("material-{}", world.materials)),
        created: world.now,
    }
}

fn verified(world: &mut World, bundle: &Bundle) -> Outcome {
    let pending = bundle.record.pending.as_ref().unwrap();
    let material = material_of(pending);
    if let Some(kind) = world.refuses {
        return Outcome::Failed(kind, "the target says no".to_owned());
    }
    if world.outside.accepts(principal_of(pending), material) {
        world.probed.push(material);
        Outcome::Done
    } else {
        Outcome::Failed(FailureKind::Transient, "refused".to_owned())
    }
}

fn batch(world: &mut World, bundle: &Bundle, number: u64) -> Outcome {
    let old = bundle.old(world, number).1;
    let active = bundle.held.doc.active().material;
    let rows = world.outside.rows.iter_mut().filter(|row| **row == old);
    rows.take(5).for_each(|row| *row = active);
    let left = world.outside.rows.iter().filter(|row| **row == old).count();
    let counts = BTreeMap::from([(format!("k-{number}"), left as u64)]);
    Outcome::Progress { cursor: (left > 0).then(|| left.to_string()), done: left == 0, counts }
}

fn decided(bundle: &Bundle, number: u64) -> Outcome {
    let old = bundle.record.retiring_gen(number).unwrap();
    let (notes, certificate) = (old.notes.clone(), old.certificate.clone());
    Outcome::Evidence { missing: Vec::new(), ask: None, notes, certificate }
}

/// Every version that holds the generation is destroyed.
fn purge(world: &mut World, number: u64) {
    let newest = world.docs.len() - 1;
    for doc in world.docs.iter_mut().take(newest) {
        doc.keys.retain(|key| key.number != number || key.usable == Usable::Active);
    }
}
