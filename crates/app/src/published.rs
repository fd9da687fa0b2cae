//! What readers see: an immutable table, replaced as a whole whenever something changes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coffre_cache::{Mark, Outcome, Revision, Shown, Withdrawn};
use coffre_secret::SecretText;
use coffre_source::resolve::What;

use crate::address::Address;
use crate::document::Contents;
use crate::recipe::{Key, Recipe, Recipes, Variable};
use crate::value::Shards;

/// The table. The cache's only references to values are in here: what is not in the newest table is wiped.
#[derive(Default)]
pub(crate) struct Published {
    pub(crate) shelves: HashMap<Key, Arc<Shelf>>,
    pub(crate) slots: HashMap<Arc<str>, Arc<Slot>>,
    pub(crate) closed: bool,
}

/// One document.
pub(crate) struct Shelf {
    pub(crate) state: ShelfState,
    /// Whether a reader has already said that it is time to ask again.
    touched: AtomicBool,
}

/// What is known of a document.
#[derive(Clone)]
pub(crate) enum ShelfState {
    /// To be shown, until when.
    Shown(Arc<Contents>, Shown),
    /// Not to be shown, and why; `validated_at` is from when it was shown last.
    Withdrawn { why: Withdrawn, validated_at: Option<Duration> },
}

impl Shelf {
    pub(crate) const fn new(state: ShelfState) -> Self {
        Self { state, touched: AtomicBool::new(false) }
    }

    /// True once.
    pub(crate) fn touch(&self) -> bool {
        !self.touched.load(Ordering::Relaxed) && !self.touched.swap(true, Ordering::Relaxed)
    }

    /// The document, if it may be shown at this time since boot.
    pub(crate) fn contents(&self, now: Duration) -> Option<(&Arc<Contents>, &Shown)> {
        match &self.state {
            ShelfState::Shown(contents, shown) if now < shown.hard_until => Some((contents, shown)),
            _ => None,
        }
    }

    /// The name of its state, as the machine would tell it.
    pub(crate) fn state_name(&self, now: Duration) -> &'static str {
        match &self.state {
            ShelfState::Shown(_, shown) if now >= shown.hard_until => "expired",
            ShelfState::Shown(_, shown) => match shown.mark {
                Mark::Degraded => "degraded",
                Mark::Corrupt => "corrupt",
                Mark::Confirmed if now < shown.fresh_until => "fresh",
                Mark::Confirmed => "stale",
            },
            ShelfState::Withdrawn { why, .. } => match why {
                Withdrawn::Expired => "expired",
                Withdrawn::Denied => "denied",
                Withdrawn::Gone => "gone",
                Withdrawn::Absent => "absent",
                Withdrawn::Removed | Withdrawn::Closed => "empty",
            },
        }
    }

    pub(crate) fn validated_at(&self) -> Option<Duration> {
        match &self.state {
            ShelfState::Shown(_, shown) => Some(shown.validated_at),
            ShelfState::Withdrawn { validated_at, .. } => *validated_at,
        }
    }
}

/// One variable.
pub(crate) struct Slot {
    pub(crate) made: Result<Shards, Missing>,
    pub(crate) times: Times,
    /// What it was made of, in the order of its needs.
    pub(crate) parts: Vec<(Key, Option<Arc<Shelf>>)>,
    /// Values that no server gave: line of `.env`, if it is from there.
    pub(crate) place: Place,
}

/// Where a value came from, apart from documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The server's documents.
    Server,
    /// `.env`, and the line (from 1) there, if it stands there as it is.
    Dotenv(Option<usize>),
    /// The process environment.
    Environment,
    /// Composed of others.
    Composed,
}

/// Until when, as nanoseconds since boot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) fresh_until: u64,
    pub(crate) revalidate_at: u64,
    pub(crate) hard_until: u64,
    pub(crate) mark: Mark,
}

impl Times {
    pub(crate) const ENDLESS: Self =
        Self { fresh_until: u64::MAX, revalidate_at: u64::MAX, hard_until: u64::MAX, mark: Mark::Confirmed };

    pub(crate) fn of(shown: &Shown) -> Self {
        Self {
            fresh_until: nanos(shown.fresh_until),
            revalidate_at: nanos(shown.revalidate_at),
            hard_until: nanos(shown.hard_until),
            mark: shown.mark,
        }
    }

    /// The stricter of both.
    fn and(self, other: Self) -> Self {
        Self {
            fresh_until: self.fresh_until.min(other.fresh_until),
            revalidate_at: self.revalidate_at.min(other.revalidate_at),
            hard_until: self.hard_until.min(other.hard_until),
            mark: if self.mark == Mark::Confirmed { other.mark } else { self.mark },
        }
    }
}

/// Why a variable has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// A document is not there (yet).
    Document(Key),
    /// The document has no such field.
    Field(Key, Arc<str>),
    /// It is composed of something that has no value.
    Part(Arc<str>),
    /// The document holds no address to put a credential into.
    NoAddress(Key),
    /// It is set neither in `.env` nor in the process environment.
    Unset(Arc<str>),
}

impl Missing {
    /// As a start tells it; `absent` says what is wrong with a document that is not there.
    pub(crate) fn as_problem(&self, absent: impl Fn(&Key) -> What) -> What {
        match self {
            Self::Document(key) => absent(key),
            Self::Field(key, field) => What::NoField(field.to_string(), key.to_string()),
            Self::Part(part) => What::NoPart(part.to_string()),
            Self::NoAddress(key) => What::NoPart(format!("the address in {key}")),
            Self::Unset(name) => What::NoPart(name.to_string()),
        }
    }
}

/// Documents as a start has read them.
pub(crate) fn shelves_of(outcomes: &HashMap<Key, Outcome<Arc<Contents>>>) -> HashMap<Key, Arc<Shelf>> {
    let endless = Shown {
        validated_at: Duration::ZERO,
        fresh_until: Duration::MAX,
        revalidate_at: Duration::MAX,
        hard_until: Duration::MAX,
        mark: Mark::Confirmed,
        epoch: None,
        revision: Revision::default(),
    };
    let fetched = outcomes.iter().filter_map(|(key, outcome)| match outcome {
        Outcome::Fetched(fetched) => {
            let state = ShelfState::Shown(Arc::clone(&fetched.value), endless);
            Some((key.clone(), Arc::new(Shelf::new(state))))
        }
        _ => None,
    });
    fetched.collect()
}

/// Whole nanoseconds; the end of time if there are too many.
#[inline]
pub(crate) const fn nanos(time: Duration) -> u64 {
    // No 128 bit arithmetic: this is on the way of every reader.
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(time.subsec_nanos() as u64)
}

/// Values that do not change: settings and, in development, what stays in `.env`.
#[derive(Default)]
pub(crate) struct Fixed {
    /// Settings that templates may name.
    pub(crate) settings: HashMap<Box<str>, SecretText>,
    /// Variables with their places.
    pub(crate) locals: HashMap<Arc<str>, Arc<Slot>>,
}

impl Slot {
    /// A value that never changes.
    pub(crate) fn fixed(value: SecretText, place: Place) -> Self {
        Self { made: Ok(Shards::of(value)), times: Times::ENDLESS, parts: vec![], place }
    }
}

impl Published {
    /// The next table: `changed` are the documents that differ, `shelves` all of them. What depends on none of them is
    /// taken over.
    pub(crate) fn next(
        &self,
        recipes: &Recipes,
        fixed: &Fixed,
        shelves: &HashMap<Key, Arc<Shelf>>,
        changed: &HashSet<Key>,
    ) -> Self {
        let kitchen = Kitchen { recipes, fixed, shelves, before: self };
        let mut slots = HashMap::with_capacity(self.slots.len());
        for variable in recipes.variables() {
            let before = self.slots.get(&variable.name);
            let same = before.filter(|_| !variable.needs.iter().any(|key| changed.contains(key)));
            let slot = same.map_or_else(|| kitchen.slot(variable), Arc::clone);
            slots.insert(Arc::clone(&variable.name), slot);
        }
        Self { shelves: shelves.clone(), slots, closed: false }
    }
}

/// Makes values of documents.
struct Kitchen<'a> {
    recipes: &'a Recipes,
    fixed: &'a Fixed,
    shelves: &'a HashMap<Key, Arc<Shelf>>,
    before: &'a Published,
}

impl Kitchen<'_> {
    fn slot(&self, variable: &Variable) -> Arc<Slot> {
        if let (Recipe::Local, Some(slot)) = (&variable.recipe, self.fixed.locals.get(&variable.name)) {
            return Arc::clone(slot);
        }
        let parts: Vec<_> =
            variable.needs.iter().map(|key| (key.clone(), self.shelves.get(key).cloned())).collect();
        let mut times = Times::ENDLESS;
        let mut missing = None;
        for (key, shelf) in &parts {
            match shelf.as_ref().map(|shelf| &shelf.state) {
                Some(ShelfState::Shown(_, shown)) => times = times.and(Times::of(shown)),
                _ => missing = missing.or_else(|| Some(Missing::Document(key.clone()))),
            }
        }
        let composed = matches!(variable.recipe, Recipe::Composed { .. });
        let place = if composed { Place::Composed } else { Place::Server };
        let made = match missing {
            Some(missing) => Err(missing),
            None => match self.unchanged(variable, &parts) {
                Some(shards) => Ok(shards),
                None => self.made(variable, 0),
            },
        };
        Arc::new(Slot { made, times, parts, place })
    }

    /// The value from before, if it was made of the same documents: readers that hold it share its bytes.
    fn unchanged(&self, variable: &Variable, parts: &[(Key, Option<Arc<Shelf>>)]) -> Option<Shards> {
        let before = self.before.slots.get(&variable.name)?;
        let shards = before.made.as_ref().ok()?;
        let contents = |shelf: &Option<Arc<Shelf>>| match shelf.as_ref().map(|shelf| &shelf.state) {
            Some(ShelfState::Shown(contents, _)) => Some(Arc::as_ptr(contents)),
            _ => None,
        };
        let same = before.parts.len() == parts.len()
            && before
                .parts
                .iter()
                .zip(parts)
                .all(|((_, old), (_, new))| contents(new).is_some() && contents(old) == contents(new));
        same.then(|| shards.clone())
    }

    /// A variable's value; `depth` counts templates within templates.
    fn made(&self, variable: &Variable, depth: usize) -> Result<Shards, Missing> {
        match &variable.recipe {
            Recipe::Field { key, field } => self.field(key, field),
            Recipe::Local => {
                let slot = self.fixed.locals.get(&variable.name);
                slot.map_or_else(|| Err(Missing::Part(Arc::clone(&variable.name))), |slot| slot.made.clone())
            }
            Recipe::Composed { template, document } => {
                let own = |name: &str| document.as_ref().and_then(|key| self.text(key, name));
                let rendered = template.render(|name| self.part(name, depth).or_else(|| own(name)));
                rendered.map(Shards::of).map_err(|name| Missing::Part(Arc::from(name)))
            }
            Recipe::Leased { credential, document, field, template } => {
                let address = self.text(document, field).and_then(|text| Address::parse(&text));
                if let Some(template) = template {
                    let piece = |name: &str| address.as_ref().and_then(|address| address.piece(name));
                    let rendered = template.render(|name| {
                        self.part(name, depth)
                            .or_else(|| self.text(credential, name))
                            .or_else(|| self.text(document, name))
                            .or_else(|| piece(name))
                    });
                    return rendered.map(Shards::of).map_err(|name| Missing::Part(Arc::from(name)));
                }
                let address = address.ok_or_else(|| Missing::NoAddress(document.clone()))?;
                let user = self.text(credential, "username");
                let user = user.ok_or_else(|| Missing::Field(credential.clone(), "username".into()))?;
                let password = self.text(credential, "password");
                let password =
                    password.ok_or_else(|| Missing::Field(credential.clone(), "password".into()))?;
                Ok(Shards::of(address.with_credentials(&user, &password)))
            }
        }
    }

    /// Another variable, or a setting.
    fn part(&self, name: &str, depth: usize) -> Option<SecretText> {
        // The manifest's check refuses circles; a chain this long is none that anybody wrote.
        if depth > 32 {
            return None;
        }
        match self.recipes.named(name) {
            Some(variable) => self.made(variable, depth + 1).ok().map(|shards| shards.duplicate()),
            None => self.fixed.settings.get(name).map(SecretText::duplicate),
        }
    }

    fn contents(&self, key: &Key) -> Option<&Arc<Contents>> {
        match self.shelves.get(key).map(|shelf| &shelf.state) {
            Some(ShelfState::Shown(contents, _)) => Some(contents),
            _ => None,
        }
    }

    fn field(&self, key: &Key, field: &Arc<str>) -> Result<Shards, Missing> {
        let contents = self.contents(key).ok_or_else(|| Missing::Document(key.clone()))?;
        let shards = contents.shards(field).cloned();
        shards.ok_or_else(|| Missing::Field(key.clone(), Arc::clone(field)))
    }

    fn text(&self, key: &Key, field: &str) -> Option<SecretText> {
        self.contents(key)?.shards(field).map(Shards::duplicate)
    }
}
