//! Processes that use a credential: caches with a soft and a hard bound, acknowledgements, work.

use std::time::Duration;

use coffre_ambient::Wall;
use coffre_rotation::machine::Heard;
use coffre_rotation::{Ack, ConsumerId, Kind, Usable};

use super::world::{Doc, SOFT, STALE, World};

/// A process that uses the credential, with a cache as real ones have it.
pub(crate) struct Consumer {
    id: ConsumerId,
    snapshot: Option<Doc>,
    validated: Wall,
    next: Wall,
    /// It reads when it starts, and is started anew so long after it should have followed.
    frozen: Option<Duration>,
    acknowledges: bool,
    /// It does not reach the store until then.
    pub(crate) away: Wall,
    /// What it has signed: material, generation, end.
    tokens: Vec<(u64, u64, Wall)>,
}

impl Consumer {
    pub(crate) fn new(number: usize, acknowledges: bool, frozen: Option<Duration>) -> Self {
        Self {
            id: ConsumerId::of("api", "web", "boot", &number.to_string()),
            snapshot: None,
            validated: Wall::default(),
            next: Wall::default(),
            frozen,
            acknowledges,
            away: Wall::default(),
            tokens: Vec::new(),
        }
    }

    /// The material that it encrypts, signs or logs in with now.
    pub(crate) fn uses(&self, now: Wall, stale: Duration) -> Option<u64> {
        self.value(now, stale).map(|held| held.active().material)
    }

    fn value(&self, now: Wall, stale: Duration) -> Option<&Doc> {
        let fresh = self.frozen.is_some() || now.since(self.validated) < stale;
        self.snapshot.as_ref().filter(|_| fresh)
    }
}

/// Lets every consumer follow and work for a moment, and checks that nothing valid is refused.
pub(crate) fn tick(world: &mut World) {
    let mut consumers = std::mem::take(&mut world.consumers);
    for consumer in &mut consumers {
        follow(world, consumer);
    }
    for at in 0..consumers.len() {
        work(world, &mut consumers, at);
    }
    world.consumers = consumers;
}

fn follow(world: &mut World, consumer: &mut Consumer) {
    let now = world.now;
    if now < consumer.next || now < consumer.away {
        return;
    }
    let newest = world.doc().clone();
    let restart = consumer.frozen.is_some_and(|after| {
        consumer.snapshot.as_ref().is_none_or(|held| held.epoch != newest.epoch)
            && now.since(consumer.validated) >= after
    });
    if consumer.frozen.is_none() || restart {
        let falls = consumer.snapshot.as_ref().is_some_and(|held| held.epoch > newest.epoch);
        if falls && !world.restored {
            world.violated("a consumer sees the epoch fall".to_owned());
        }
        // A consumer that has seen more keeps what it has, until that is too old.
        if !falls {
            consumer.snapshot = Some(newest);
            consumer.validated = now;
        }
    }
    let jitter = world.dice.below(SOFT.as_secs() / 5);
    consumer.next = now.plus(SOFT.saturating_sub(Duration::from_secs(jitter)));
    let Some(held) = consumer.snapshot.as_ref().filter(|_| consumer.acknowledges) else { return };
    // A frozen process uses what it has for as long as it lives; a live one stops.
    let lives = if consumer.frozen.is_some() { Duration::from_secs(86_400) } else { STALE };
    let expires = now.plus(lives + Duration::from_secs(120));
    let mut ack = Ack::new(consumer.id.clone(), held.epoch, held.active().number, expires);
    ack.frozen = consumer.frozen.is_some();
    world.acks.retain(|heard| heard.ack.consumer != ack.consumer);
    world.acks.push(Heard { ack, written: now });
}

fn work(world: &mut World, consumers: &mut [Consumer], at: usize) {
    let now = world.now;
    let Some(held) = consumers[at].value(now, world.stale).cloned() else { return };
    let active = held.active().clone();
    match world.kind {
        Kind::SigningKey => {
            let lifetime = Duration::from_secs(world.dice.below(world.lifetime.as_secs()) + 1);
            let kept = world.dice.below(4) == 0;
            consumers[at].tokens.retain(|token| token.2 > now);
            if kept || consumers[at].tokens.len() < 3 {
                consumers[at].tokens.push((active.material, active.number, now.plus(lifetime)));
            }
            let issuer = usize::try_from(world.dice.below(consumers.len() as u64)).unwrap();
            for (material, number, _) in consumers[issuer].tokens.iter().filter(|token| token.2 > now) {
                world.checks += 1;
                let accepted = held.keys.iter().any(|key| key.material == *material);
                let rushed = world.rushed.iter().any(|(known, until)| known == material && now < *until);
                if !accepted && !rushed && !world.compromised.contains(material) {
                    world.violated(format!("a valid token of generation {number} is refused"));
                }
            }
        }
        Kind::EncryptionKey => {
            if world.outside.rows.len() < 40 {
                world.outside.rows.push(active.material);
            } else if world.dice.below(4) == 0 {
                let row = usize::try_from(world.dice.below(40)).unwrap();
                world.outside.rows[row] = active.material;
            }
            let row = usize::try_from(world.dice.below(world.outside.rows.len() as u64)).unwrap();
            let material = world.outside.rows[row];
            world.checks += 1;
            world.around.used(now, active.material, material);
            if !held.keys.iter().any(|key| key.material == material) {
                world.violated(format!("a row cannot be decrypted; epoch {}", held.epoch));
            }
        }
        _ => {
            world.checks += 1;
            let known = world.compromised.contains(&active.material);
            if !known && !world.outside.accepts(active.principal, active.material) {
                world.violated(format!(
                    "generation {} is refused, which epoch {} names",
                    active.number, held.epoch
                ));
            }
        }
    }
}

/// What must hold at every moment.
pub(crate) fn always(world: &mut World) {
    let active = world.doc().active().clone();
    world.checks += 1;
    // Between the loss of a compromised credential and the next document nobody can promise anything.
    let known = world.compromised.contains(&active.material);
    if active.usable != Usable::Active || !known && !world.outside.accepts(active.principal, active.material)
    {
        world.violated(format!("no working credential is readable: generation {}", active.number));
    }
    // How many keys a person leaves valid at an issuer is theirs to say.
    if world.outside.living() > 2 && world.kind != Kind::External {
        world.violated(format!("{} credentials are live", world.outside.living()));
    }
}
