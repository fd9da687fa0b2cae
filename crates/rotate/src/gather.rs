use coffre_ambient::Wall;
use coffre_rotation::machine::{Draw, Heard, Memory, Neighbour, Seen};
use coffre_rotation::{
    Ack, ConsumerId, Facts, Record, RotPolicy, RotationId, Soak, Target as Name, WireDocument, paths,
};
use futures_util::{StreamExt as _, stream};

use crate::store::{Held, Store};
use crate::switch::{Enabled, Freeze};
use crate::{Document, Failure, FailureKind, Rotating};

/// More acknowledgements than this are not read; the gate stays shut and says so.
const MOST_ACKS: usize = 5_000;

/// Everything that a decision about one target follows from, as it was read.
pub(crate) struct Gathered {
    pub(crate) record: Held<Record>,
    pub(crate) document: Held<Document>,
    pub(crate) facts: Option<Facts>,
    pub(crate) acks: Vec<Heard>,
    pub(crate) policy: RotPolicy,
    pub(crate) freeze: Option<String>,
    pub(crate) neighbours: Vec<Neighbour>,
    pub(crate) soak: Option<Soak>,
    pub(crate) enabled: bool,
    pub(crate) draw: Draw,
}

impl Gathered {
    /// What the machine looks at. `None`: there is no record yet.
    pub(crate) fn seen<'a>(
        &'a self,
        settings: &'a coffre_rotation::Settings,
        holder: &'a str,
        memory: Memory,
        now: Wall,
    ) -> Option<Seen<'a>> {
        Some(Seen {
            record: self.record.value.as_ref()?,
            document: self.facts.as_ref(),
            acks: &self.acks,
            settings,
            policy: &self.policy,
            freeze: self.freeze.as_deref(),
            neighbours: &self.neighbours,
            soak: self.soak.as_ref(),
            holder,
            now,
            memory,
            draw: &self.draw,
        })
    }
}

/// Reads what surrounds a target. The document before the record, the neighbours after it: see
/// [`machine`](coffre_rotation::machine).
pub(crate) async fn gather(
    store: &Store,
    environment: &str,
    target: &Rotating,
    all: &[Rotating],
) -> Result<Gathered, Failure> {
    let policy: Held<RotPolicy> = store.read(&paths::policy(environment)).await?;
    let freeze: Held<Freeze> = store.read(&paths::freeze(environment)).await?;
    let enabled: Held<Enabled> = store.read(&paths::enabled(environment)).await?;
    let document = store.read_document(&paths::document(environment, &target.name)).await?;
    let record: Held<Record> = store.read(&paths::record(environment, &target.name)).await?;
    if record.version > 0 && record.value.is_none() {
        let what = format!("the state record of {} was deleted", target.name);
        return Err(Failure::config(what)
            .advise("Take the deletion back (`kv undelete`); it is the memory of the rotation."));
    }
    if record.value.as_ref().is_some_and(|record| record.target != target.name) {
        return Err(Failure::config(format!(
            "the state record of {} is that of another target",
            target.name
        )));
    }
    let facts = match &document.value {
        // EXPOSE: only numbers and states are taken.
        Some(document) => Some(Facts::parse(document.text().expose().as_bytes())?),
        None => None,
    };
    let acks = acks(store, environment, &target.name).await?;
    let neighbours = neighbours(store, environment, target, all).await?;
    let freeze = freeze.value.filter(|freeze| freeze.frozen).map(|freeze| match freeze.why.as_str() {
        "" => "somebody froze the environment".to_owned(),
        why => why.to_owned(),
    });
    Ok(Gathered {
        record,
        document,
        facts,
        acks,
        policy: policy.value.unwrap_or_default(),
        freeze,
        neighbours,
        soak: match &target.before {
            Some(before) => soak(store, before, &target.name).await?,
            None => None,
        },
        enabled: enabled.value.unwrap_or_default().targets.contains_key(&target.name),
        draw: draw(store)?,
    })
}

/// How well it rotates in the environment before ours. What may not be read is not known.
async fn soak(store: &Store, before: &str, name: &Name) -> Result<Option<Soak>, Failure> {
    match store.read::<Soak>(&paths::soak(before, name)).await {
        Ok(held) => Ok(held.value.filter(|soak| soak.target == *name)),
        Err(failure) if matches!(failure.kind(), FailureKind::Denied | FailureKind::Config) => {
            tracing::warn!(%name, before, %failure, "how well it rotates there is not known");
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

fn draw(store: &Store) -> Result<Draw, Failure> {
    let mut jitter = [0_u8; 8];
    store.entropy().fill(&mut jitter)?;
    let rotation = RotationId::draw(store.now(), store.entropy())?;
    Ok(Draw { rotation, jitter: u64::from_le_bytes(jitter) })
}

/// What consumers say of a target. A name that is none, or a document that is none, is no consumer's: it is left out
/// and logged. One that cannot be read now fails the whole: a gate must not open for want of an answer.
pub(crate) async fn acks(store: &Store, environment: &str, target: &Name) -> Result<Vec<Heard>, Failure> {
    let folder = paths::acks(environment, target);
    let names = store.kv().list(&folder).await?;
    let ids: Vec<ConsumerId> = names.iter().filter_map(|name| ConsumerId::parse(name)).collect();
    if ids.len() > MOST_ACKS {
        let what =
            format!("{} consumers of {target} have acknowledged; {MOST_ACKS} are read at most", ids.len());
        return Err(Failure::config(what).advise("Remove the acknowledgements of instances that are gone."));
    }
    let reads = ids.into_iter().map(|id| ack(store, environment, target, id));
    let mut heard = Vec::new();
    let mut answers = stream::iter(reads).buffer_unordered(16);
    while let Some(answer) = answers.next().await {
        heard.extend(answer?);
    }
    heard.sort_by(|a, b| a.ack.consumer.cmp(&b.ack.consumer));
    Ok(heard)
}

pub(crate) async fn ack(
    store: &Store,
    environment: &str,
    target: &Name,
    id: ConsumerId,
) -> Result<Option<Heard>, Failure> {
    let path = paths::ack(environment, target, &id);
    let Some(version) = store.kv().read(&path, None).await? else { return Ok(None) };
    let Some(text) = version.document else { return Ok(None) };
    // EXPOSE: an acknowledgement holds no secret.
    let ack = match Ack::parse(text.expose().as_bytes()) {
        Ok(ack) if ack.consumer == id => ack,
        Ok(_) => {
            tracing::warn!(%target, consumer = %id, "an acknowledgement names another consumer than its path; it is left out");
            return Ok(None);
        }
        Err(error) => {
            tracing::warn!(%target, consumer = %id, %error, "an acknowledgement cannot be read; it is left out");
            return Ok(None);
        }
    };
    let written = version.created.unwrap_or_else(|| store.now());
    Ok(Some(Heard { ack, written }))
}

async fn neighbours(
    store: &Store,
    environment: &str,
    target: &Rotating,
    all: &[Rotating],
) -> Result<Vec<Neighbour>, Failure> {
    let mut found = Vec::new();
    for other in all.iter().filter(|other| other.name != target.name) {
        let record = match store.read::<Record>(&paths::record(environment, &other.name)).await {
            Ok(held) => held.value,
            // A record that is not sound is that target's own failure.
            Err(failure) if failure.kind() == FailureKind::Config => None,
            Err(failure) => return Err(failure),
        };
        found.extend(record.map(|record| Neighbour::of(&record, other.settings.group.clone())));
    }
    Ok(found)
}
