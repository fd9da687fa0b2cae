//! A run from its plan to its end.

use std::time::Duration;

use coffre_ambient::Wall;
use coffre_rotation::machine::{Command, Draw, Memory, Refused, Seen, command};
use coffre_rotation::schedule::When;
use coffre_rotation::{Kind, Pending, Phase, Record, RotationId, Settings};
use coffre_secret::SecretText;

use super::consumers::{self, Consumer};
use super::destruction;
use super::rotator::Rotator;
use super::target::Effect;
use super::world::{Answer, LIFETIME, PERIOD, World};

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) kind: Kind,
    /// Consumers acknowledge, and gates open by it.
    pub(crate) acks: bool,
    pub(crate) consumers: usize,
    pub(crate) frozen: bool,
    /// Promotions after which the run ends, as soon as nothing is on its way any more.
    pub(crate) promotions: u64,
    pub(crate) rotators: usize,
}

impl Plan {
    pub(crate) const fn of(kind: Kind, seed: u64) -> Self {
        Self { seed, kind, acks: true, consumers: 3, frozen: false, promotions: 2, rotators: 1 }
    }

    pub(crate) fn settings(&self) -> Settings {
        let mut settings = Settings::of(self.kind);
        settings.automatic = true;
        settings.when = Some(When::Every(PERIOD));
        settings.grace = Duration::from_secs(300);
        settings.gate_deadline = Duration::from_secs(4 * 3_600);
        settings.all_acknowledge = self.acks;
        if self.kind == Kind::SigningKey {
            settings.token_lifetime = Some(LIFETIME);
        }
        settings
    }

    pub(crate) fn world(&self) -> World {
        let mut world = World::new(self.kind, self.seed, self.settings());
        let frozen = self.frozen.then(|| Duration::from_secs(900));
        world.consumers =
            (0..self.consumers).map(|at| Consumer::new(at, self.acks, frozen.filter(|_| at == 0))).collect();
        world
    }
}

/// How a run ended.
pub(crate) struct Ended {
    pub(crate) world: World,
    pub(crate) promotions: u64,
    pub(crate) polls: u64,
    /// It did not come to an end in a month.
    pub(crate) stuck: bool,
}

/// Runs until the plan is fulfilled.
pub(crate) fn run(plan: &Plan) -> Ended {
    go(plan, plan.world(), |_, _| {})
}

/// The same, with something that happens before each step.
pub(crate) fn go(
    plan: &Plan,
    mut world: World,
    mut meddle: impl FnMut(&mut World, &mut Vec<Rotator>),
) -> Ended {
    let mut rotators: Vec<Rotator> =
        (0..plan.rotators).map(|at| Rotator::new(&format!("r{at}"), world.now)).collect();
    let (mut ticks, mut polls, mut born) = (world.now, 0, 0);
    let end = world.now.plus(Duration::from_secs(60 * 86_400));
    loop {
        meddle(&mut world, &mut rotators);
        let (at, wakes) = soonest(&rotators);
        if ticks <= wakes {
            world.now = world.now.max(ticks);
            ticks = world.now.plus(Duration::from_secs(60));
            consumers::tick(&mut world);
            destruction::tick(&mut world);
            person(&mut world);
        } else {
            world.now = world.now.max(wakes);
            polls += 1;
            if !rotators[at].poll(&mut world) {
                born += 1;
                let careless = rotators[at].careless;
                rotators[at] = Rotator::new(&format!("again{born}"), world.now.plus(Duration::from_secs(2)));
                rotators[at].careless = careless;
            }
        }
        consumers::always(&mut world);
        let record = world.record();
        let promotions = record.active.saturating_sub(1);
        let settled = record.phase == Phase::Idle && record.retiring.is_empty() && record.repair.is_none();
        let done = settled && promotions >= plan.promotions;
        let stuck = world.now > end || polls > 200_000;
        if done || stuck || world.stop || !world.violations.is_empty() {
            return Ended { promotions, polls, stuck: stuck && !done && !world.stop, world };
        }
    }
}

fn soonest(rotators: &[Rotator]) -> (usize, Wall) {
    let all = rotators.iter().enumerate().map(|(at, rotator)| (at, rotator.wakes));
    all.min_by_key(|(_, wakes)| *wakes).unwrap()
}

/// A person's wish, written as the command line would.
pub(crate) fn wish(world: &mut World, wish: Command) -> Result<(), Refused> {
    let record = world.record().duplicate();
    let memory =
        Memory { max_epoch: world.docs.iter().map(|doc| doc.epoch).max().unwrap_or(0), ..Memory::default() };
    let facts = world.doc().facts(world.is_ring());
    let rotation = RotationId::draw(world.now, &world.dice).unwrap();
    let draw = Draw { rotation, jitter: world.dice.next_u64() };
    let changed = {
        let seen = Seen {
            record: &record,
            document: Some(&facts),
            acks: &world.acks,
            settings: &world.settings,
            policy: &world.policy,
            freeze: None,
            soak: None,
            neighbours: &[],
            holder: "person",
            now: world.now,
            memory,
            draw: &draw,
        };
        command(&seen, wish)?
    };
    let fault = world.fault.take();
    let answer = world.write_record(world.record.0, &changed);
    world.fault = fault;
    world.writes.pop();
    assert_eq!(answer, Answer::Landed);
    Ok(())
}

/// Whoever looks after an external key: brings a new one when asked, revokes the old one when told.
fn person(world: &mut World) {
    if world.kind != Kind::External || world.dice.below(30) != 0 {
        return;
    }
    let record: Record = world.record().duplicate();
    if record.phase == Phase::Prepare && record.pending.is_none() {
        world.materials += 1;
        let material = world.materials;
        world.outside.take(Effect::Add(material), u64::MAX >> 1);
        world.outside.fence = 0;
        let material = SecretText::from(format!("material-{material}"));
        let pending = Pending { gen_no: 0, principal: None, material, created: world.now };
        wish(world, Command::Provide(pending)).unwrap();
    }
    let waiting = record.retiring.iter().find(|old| old.phase == Phase::Retire && !old.confirmed);
    if let Some(old) = waiting {
        let key = world.docs.iter().rev().find_map(|doc| doc.key(old.gen_no)).unwrap().material;
        world.outside.take(Effect::Remove(key), u64::MAX >> 1);
        world.outside.fence = 0;
        wish(world, Command::ConfirmRevoked).unwrap();
    }
}
