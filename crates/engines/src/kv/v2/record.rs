//! A secret as it is stored under `k/<path>`, and what can happen to it. Pure.
//!
//! Layout: `format (1 byte) ‖ length (u32) ‖ head ‖ length (u32) ‖ rest ‖ data`, numbers big-endian. The head
//! (JSON) is all that an answer about the latest version needs, the rest (JSON) is everything else that is
//! known, the data is the JSON text of the latest version, empty if it was destroyed or there is no version.

use std::collections::BTreeMap;
use std::time::Duration;

use coffre_ambient::Wall;
use coffre_api::kv2::{DeleteAfter, VersionMetadata, VersionState};
use coffre_api::{RawJson, Refusal};
use coffre_secret::SecretVec;
use serde::{Deserialize, Serialize};

use super::model::Config;

const FORMAT: u8 = 1;

/// What is known of one version. Times are nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    created: u64,
    /// When it was or will be deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deletion: Option<u64>,
    #[serde(default)]
    pub(super) destroyed: bool,
}

impl State {
    fn new(created: Wall, deletion: Option<Wall>) -> Self {
        Self { created: created.nanos(), deletion: deletion.map(Wall::nanos), destroyed: false }
    }

    /// Whether its data may be read.
    pub(super) fn is_readable(&self, now: Wall) -> bool {
        !self.destroyed && !self.is_deleted(now)
    }

    fn is_deleted(&self, now: Wall) -> bool {
        self.deletion.is_some_and(|at| at <= now.nanos())
    }

    /// Marks it as deleted; what was deleted before keeps its time. Says whether that changed anything.
    pub(super) fn delete(&mut self, now: Wall) -> bool {
        let changes = self.is_readable(now);
        if changes {
            self.deletion = Some(now.nanos());
        }
        changes
    }

    /// Takes a deletion back, also one ahead; what was destroyed stays so. Says whether that changed anything.
    pub(super) fn undelete(&mut self) -> bool {
        !self.destroyed && self.deletion.take().is_some()
    }

    fn created_time(&self) -> String {
        Wall::from_nanos(self.created).rfc3339()
    }

    fn deletion_time(&self) -> String {
        self.deletion.map(|at| Wall::from_nanos(at).rfc3339()).unwrap_or_default()
    }

    /// For the list of versions.
    pub(super) fn shown(&self) -> VersionState {
        VersionState {
            created_time: self.created_time(),
            deletion_time: self.deletion_time(),
            destroyed: self.destroyed,
        }
    }
}

/// What an answer about the latest version needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// The latest version's number; 0 if there never was one.
    pub(super) version: u64,
    #[serde(default)]
    pub(super) state: State,
    /// The caller's notes on the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) notes: Option<BTreeMap<String, String>>,
}

impl Head {
    /// What is known of the latest version.
    pub(super) fn metadata(&self) -> VersionMetadata {
        self.metadata_of(self.version, &self.state)
    }

    /// What is known of any version.
    pub(super) fn metadata_of(&self, version: u64, state: &State) -> VersionMetadata {
        VersionMetadata {
            created_time: state.created_time(),
            custom_metadata: self.notes.clone(),
            deletion_time: state.deletion_time(),
            destroyed: state.destroyed,
            version,
        }
    }
}

/// Everything else that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rest {
    created: u64,
    updated: u64,
    /// The oldest version kept; 0 until one was given up.
    #[serde(default)]
    pub(super) oldest: u64,
    /// 0 leaves it to the mount.
    #[serde(default)]
    pub(super) max_versions: u32,
    #[serde(default)]
    pub(super) cas_required: bool,
    /// Seconds; 0 leaves it to the mount.
    #[serde(default)]
    delete_after: i64,
    /// The versions before the latest.
    #[serde(default)]
    past: BTreeMap<u64, State>,
}

/// A secret.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) head: Head,
    pub(super) rest: Rest,
    /// Of the latest version.
    pub(super) data: Option<RawJson>,
}

/// What a new version means for the records of the older ones.
#[derive(Debug, Default)]
pub(super) struct Displaced {
    /// The version that was the latest so far, with its data, if it is kept and has any.
    pub(super) kept: Option<(u64, RawJson)>,
    /// Versions that are given up.
    pub(super) dropped: Vec<u64>,
}

impl Record {
    /// A secret without a version.
    pub(super) fn new(now: Wall) -> Self {
        let rest = Rest { created: now.nanos(), updated: now.nanos(), ..Rest::default() };
        Self { rest, ..Self::default() }
    }

    pub(super) fn created_time(&self) -> String {
        Wall::from_nanos(self.rest.created).rfc3339()
    }

    pub(super) fn updated_time(&self) -> String {
        Wall::from_nanos(self.rest.updated).rfc3339()
    }

    pub(super) fn touch(&mut self, now: Wall) {
        self.rest.updated = now.nanos();
    }

    pub(super) fn delete_after(&self) -> DeleteAfter {
        DeleteAfter::from_secs(self.rest.delete_after)
    }

    pub(super) fn set_delete_after(&mut self, after: DeleteAfter) {
        self.rest.delete_after = after.to_secs();
    }

    /// All versions by number.
    pub(super) fn versions(&self) -> impl Iterator<Item = (u64, &State)> {
        let latest = (self.head.version > 0).then_some((self.head.version, &self.head.state));
        self.rest.past.iter().map(|(number, state)| (*number, state)).chain(latest)
    }

    /// One version; 0 is none.
    pub(super) fn version(&self, number: u64) -> Option<&State> {
        if number == 0 {
            None
        } else if number == self.head.version {
            Some(&self.head.state)
        } else {
            self.rest.past.get(&number)
        }
    }

    /// One version, to be changed.
    pub(super) fn version_mut(&mut self, number: u64) -> Option<&mut State> {
        if number == 0 {
            None
        } else if number == self.head.version {
            Some(&mut self.head.state)
        } else {
            self.rest.past.get_mut(&number)
        }
    }

    /// Makes a version of `data`, and gives up the oldest ones beyond what is kept.
    pub(super) fn add(&mut self, data: RawJson, now: Wall, config: &Config) -> Displaced {
        let mut displaced = Displaced::default();
        let last = self.head.version;
        if last > 0 {
            self.rest.past.insert(last, self.head.state);
            displaced.kept = self.data.take().map(|data| (last, data));
        }
        self.head.version = last.saturating_add(1);
        self.head.state = State::new(now, self.deletion(now, config));
        self.data = Some(data);
        self.rest.updated = now.nanos();
        let keep = u64::from(self.keeps(config));
        if self.head.version.saturating_sub(self.rest.oldest) >= keep {
            self.rest.oldest = self.head.version.saturating_sub(keep).saturating_add(1);
            let kept = self.rest.past.split_off(&self.rest.oldest);
            displaced.dropped = std::mem::replace(&mut self.rest.past, kept).into_keys().collect();
        }
        if displaced.kept.as_ref().is_some_and(|(number, _)| *number < self.rest.oldest) {
            displaced.kept = None;
        }
        displaced
    }

    /// How many versions are kept: at least one.
    fn keeps(&self, config: &Config) -> u32 {
        [self.rest.max_versions, config.max_versions, Config::DEFAULT_MAX_VERSIONS]
            .into_iter()
            .find(|max| *max > 0)
            .unwrap_or(Config::DEFAULT_MAX_VERSIONS)
    }

    /// When a version that is written now will be deleted: the shorter time of mount and secret counts, and a mount
    /// that says never wins.
    fn deletion(&self, now: Wall, config: &Config) -> Option<Wall> {
        let after = match (config.delete_after(), self.delete_after()) {
            (DeleteAfter::Never, _) => None,
            (DeleteAfter::Secs(mount), DeleteAfter::Secs(own)) => Some(mount.min(own)),
            (DeleteAfter::Secs(secs), _) | (DeleteAfter::Unset, DeleteAfter::Secs(secs)) => Some(secs),
            (DeleteAfter::Unset, DeleteAfter::Unset | DeleteAfter::Never) => None,
        };
        after.map(|secs| now.plus(Duration::from_secs(secs)))
    }

    /// The bytes to store.
    pub(super) fn encode(&self) -> Result<SecretVec, Refusal> {
        let head = serde_json::to_vec(&self.head).map_err(Refusal::bug)?;
        let rest = serde_json::to_vec(&self.rest).map_err(Refusal::bug)?;
        // EXPOSE: on its way to the barrier.
        let data = self.data.as_ref().map(RawJson::expose).unwrap_or_default().as_bytes();
        let mut out = Vec::with_capacity(1 + 4 + head.len() + 4 + rest.len() + data.len());
        out.push(FORMAT);
        for part in [&head, &rest] {
            let length = u32::try_from(part.len()).map_err(Refusal::bug)?;
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(part);
        }
        out.extend_from_slice(data);
        Ok(SecretVec::new(out))
    }

    /// Reads the whole record.
    pub(super) fn decode(bytes: &SecretVec) -> Result<Self, Refusal> {
        let parts = split(bytes)?;
        Ok(Self {
            head: serde_json::from_slice(parts.head).map_err(Refusal::bug)?,
            rest: serde_json::from_slice(parts.rest).map_err(Refusal::bug)?,
            data: data(parts.data)?,
        })
    }
}

/// Reads what an answer about the latest version needs, and no more.
pub(super) fn decode_latest(bytes: &SecretVec) -> Result<(Head, Option<RawJson>), Refusal> {
    let parts = split(bytes)?;
    Ok((serde_json::from_slice(parts.head).map_err(Refusal::bug)?, data(parts.data)?))
}

struct Parts<'a> {
    head: &'a [u8],
    rest: &'a [u8],
    data: &'a [u8],
}

fn split(bytes: &SecretVec) -> Result<Parts<'_>, Refusal> {
    // EXPOSE: taken apart here; the data goes into another value that wipes itself.
    let (&format, bytes) = bytes.expose().split_first().ok_or_else(damaged)?;
    if format != FORMAT {
        return Err(damaged());
    }
    let (head, bytes) = part(bytes).ok_or_else(damaged)?;
    let (rest, data) = part(bytes).ok_or_else(damaged)?;
    Ok(Parts { head, rest, data })
}

fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, bytes) = bytes.split_first_chunk::<4>()?;
    bytes.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

fn data(bytes: &[u8]) -> Result<Option<RawJson>, Refusal> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(bytes).map_err(Refusal::bug)?;
    RawJson::parse(text.to_owned()).map(Some).map_err(|_| damaged())
}

fn damaged() -> Refusal {
    Refusal::bug("the record of a secret has not the form of this version of the server")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> RawJson {
        RawJson::parse(text.into()).unwrap()
    }

    fn written(times: u64, config: &Config) -> Record {
        let mut record = Record::new(Wall::from_secs(1));
        for number in 1..=times {
            record.add(json(&format!("{{\"n\":{number}}}")), Wall::from_secs(number), config);
        }
        record
    }

    #[test]
    fn bytes_come_back() {
        let mut record = written(3, &Config::default());
        record.head.notes = Some(BTreeMap::from([("owner".into(), "é".into())]));
        record.rest.max_versions = 7;
        record.set_delete_after(DeleteAfter::Secs(60));
        record.version_mut(2).unwrap().delete(Wall::from_secs(9));
        let bytes = record.encode().unwrap();
        let back = Record::decode(&bytes).unwrap();
        assert_eq!((&back.head, &back.rest), (&record.head, &record.rest));
        assert_eq!(back.data.unwrap().expose(), "{\"n\":3}");
        let (head, data) = decode_latest(&bytes).unwrap();
        assert_eq!(head, record.head);
        assert_eq!(data.unwrap().expose(), "{\"n\":3}");
    }

    #[test]
    fn cut_or_changed_bytes_are_refused_and_never_panic() {
        let bytes = written(2, &Config::default()).encode().unwrap();
        let bytes = bytes.expose();
        let data = "{\"n\":2}".len();
        for end in 0..bytes.len() {
            let cut = SecretVec::new(bytes[..end].to_vec());
            // Without its data it looks like a destroyed version; the barrier's tag is what forbids that.
            assert_eq!(Record::decode(&cut).is_ok(), end == bytes.len() - data, "{end}");
        }
        for at in 0..bytes.len() {
            for value in [0, 0x7f, 0xff] {
                let mut changed = bytes.to_vec();
                changed[at] = value;
                let _ = Record::decode(&SecretVec::new(changed));
            }
        }
    }

    #[test]
    fn ten_versions_are_kept_unless_told_otherwise() {
        let config = Config::default();
        assert_eq!(written(9, &config).rest.oldest, 0);
        let record = written(12, &config);
        assert_eq!(record.rest.oldest, 3);
        assert_eq!(record.versions().map(|(n, _)| n).collect::<Vec<_>>(), (3..=12).collect::<Vec<_>>());

        let mount = Config { max_versions: 2, ..Config::default() };
        let mut record = written(5, &mount);
        assert_eq!(record.versions().map(|(n, _)| n).collect::<Vec<_>>(), [4, 5]);
        record.rest.max_versions = 4;
        record.add(json("{}"), Wall::from_secs(6), &mount);
        record.add(json("{}"), Wall::from_secs(7), &mount);
        assert_eq!(record.versions().map(|(n, _)| n).collect::<Vec<_>>(), [4, 5, 6, 7]);
        record.rest.max_versions = 1;
        let displaced = record.add(json("{}"), Wall::from_secs(8), &mount);
        assert!(displaced.kept.is_none());
        assert_eq!(displaced.dropped, [4, 5, 6, 7]);
        assert_eq!(record.versions().map(|(n, _)| n).collect::<Vec<_>>(), [8]);
        assert_eq!(record.rest.oldest, 8);
    }

    #[test]
    fn the_shorter_lifetime_counts() {
        use DeleteAfter::{Never, Secs, Unset};
        let cases = [
            (Unset, Unset, None),
            (Unset, Never, None),
            (Unset, Secs(5), Some(5)),
            (Secs(9), Unset, Some(9)),
            (Secs(9), Never, Some(9)),
            (Secs(9), Secs(5), Some(5)),
            (Secs(3), Secs(5), Some(3)),
            (Never, Secs(5), None),
            (Never, Unset, None),
        ];
        for (mount, own, expected) in cases {
            let mut config = Config::default();
            config.set_delete_after(mount);
            let mut record = Record::new(Wall::from_secs(0));
            record.set_delete_after(own);
            let expected = expected.map(Wall::from_secs);
            assert_eq!(record.deletion(Wall::from_secs(0), &config), expected, "{mount:?} {own:?}");
        }
    }

    #[test]
    fn deletion_and_its_taking_back() {
        let now = Wall::from_secs(100);
        let mut state = State::new(now, Some(Wall::from_secs(200)));
        assert!(state.is_readable(now) && !state.is_readable(Wall::from_secs(200)));
        assert!(state.delete(now) && !state.delete(Wall::from_secs(150)));
        assert_eq!(state.deletion, Some(now.nanos()));
        assert!(state.undelete() && !state.undelete());
        assert!(state.is_readable(Wall::from_secs(1_000)));
        state.destroyed = true;
        assert!(!state.undelete() && !state.delete(now) && !state.is_readable(now));
    }
}
