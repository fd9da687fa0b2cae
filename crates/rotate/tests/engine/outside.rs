//! The world outside of the store, and one target of each kind that changes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use coffre_ambient::ids;
use coffre_rotate::{At, BoxFuture, Document, Failure, Target, Which};
use coffre_rotation::{Facts, Kind, Pending};
use coffre_secret::SecretText;
use serde_json::{Value, json};

use crate::memory::{Now, Shared, next};

/// Passwords that principals accept, and the highest fence that was seen.
#[derive(Default, Clone, PartialEq, Eq, Debug)]
pub(crate) struct World {
    pub(crate) accepted: BTreeMap<String, BTreeSet<String>>,
    pub(crate) fence: u64,
    /// It is down.
    pub(crate) down: bool,
    /// It refuses every new password.
    pub(crate) refuses: bool,
    /// So many late writers were refused.
    pub(crate) refused: u64,
}

impl World {
    pub(crate) fn accepts(&self, principal: &str, password: &str) -> bool {
        self.accepted.get(principal).is_some_and(|known| known.contains(password))
    }
}

pub(crate) struct Sim {
    pub(crate) kind: Kind,
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) plan: Shared,
}

impl Sim {
    fn is_ring(&self) -> bool {
        matches!(self.kind, Kind::SigningKey | Kind::EncryptionKey)
    }

    /// One fenced effect.
    fn effect(&self, fence: u64, change: impl FnOnce(&mut World)) -> Result<(), Failure> {
        let now = next(&self.plan);
        if matches!(now, Now::Fail) {
            return Err(Failure::transient("no answer in time"));
        }
        let mut world = self.world.lock().unwrap();
        if world.down {
            return Err(Failure::transient("the database does not answer"));
        }
        if fence < world.fence {
            world.refused += 1;
            return Err(Failure::fenced(format!("fence {fence} is behind {}", world.fence)));
        }
        world.fence = fence;
        change(&mut world);
        if matches!(now, Now::GoThenFail) { Err(Failure::transient("no answer in time")) } else { Ok(()) }
    }

    fn principal(&self, gen_no: u64) -> String {
        match self.kind {
            Kind::PgAlternating => if gen_no.is_multiple_of(2) { "app_b" } else { "app_a" }.to_owned(),
            _ => "app".to_owned(),
        }
    }

    fn credential(&self, gen_no: u64, password: &SecretText) -> Document {
        Document::new()
            .with_plain("schema", "credential/1")
            .with_plain("gen", gen_no)
            .with_plain("username", self.principal(gen_no))
            .with("password", password)
    }

    fn ring(&self, at: &At<'_>) -> Vec<Value> {
        let Some(document) = at.document else { return Vec::new() };
        document.get::<Vec<Value>>("keys").unwrap_or_else(|| {
            let value = document.field("value").unwrap();
            vec![json!({"kid": "k-1", "gen": 1, "state": "active", "mat": value.expose()})]
        })
    }
}

fn ring_of(keys: &[Value]) -> Document {
    let active = keys.iter().find(|key| key["state"] == "active").unwrap();
    Document::new()
        .with_plain("schema", "keyring/1")
        .with_plain("active", active["kid"].clone())
        .with_plain("keys", keys.to_vec())
}

fn key(pending: &Pending, state: &str) -> Value {
    json!({"kid": format!("k-{}", pending.gen_no), "gen": pending.gen_no, "state": state, "mat": pending.material.expose()})
}

fn ready<'a, T: Send + 'a>(value: Result<T, Failure>) -> BoxFuture<'a, Result<T, Failure>> {
    Box::pin(std::future::ready(value))
}

impl Target for Sim {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn prepare<'a>(&'a self, at: At<'a>) -> BoxFuture<'a, Result<Pending, Failure>> {
        let drawn = ids::hex(at.entropy, 16).map_err(Failure::from).map(|material| Pending {
            gen_no: at.next_gen(),
            principal: Some(self.principal(at.next_gen())),
            material: SecretText::new(material),
            created: at.now,
        });
        ready(drawn)
    }

    fn provide<'a>(&'a self, at: At<'a>, material: SecretText) -> BoxFuture<'a, Result<Pending, Failure>> {
        ready(Ok(Pending { gen_no: at.next_gen(), principal: None, material, created: at.now }))
    }

    fn apply<'a>(&'a self, at: At<'a>, pending: &'a Pending) -> BoxFuture<'a, Result<(), Failure>> {
        if self.world.lock().unwrap().refuses {
            return ready(Err(Failure::permanent("the password is not complex enough")));
        }
        let (principal, password) = (self.principal(pending.gen_no), pending.material.expose().clone());
        ready(self.effect(at.fence, |world| {
            let known = world.accepted.entry(principal).or_default();
            if self.kind == Kind::PgAlternating {
                known.clear();
            }
            known.insert(password);
        }))
    }

    fn verify<'a>(&'a self, _at: At<'a>, pending: &'a Pending) -> BoxFuture<'a, Result<(), Failure>> {
        let works = self.is_ring()
            || self.kind == Kind::External
            || self.world.lock().unwrap().accepts(&self.principal(pending.gen_no), pending.material.expose());
        ready(if works { Ok(()) } else { Err(Failure::transient("the new password does not log in")) })
    }

    fn publish(&self, at: At<'_>, pending: &Pending) -> Result<Option<Document>, Failure> {
        if !self.is_ring() {
            return Ok(None);
        }
        let mut keys = self.ring(&at);
        keys.retain(|held| held["gen"] != pending.gen_no);
        keys.push(key(pending, "accept"));
        Ok(Some(ring_of(&keys)))
    }

    fn promote(&self, at: At<'_>, pending: &Pending) -> Result<Document, Failure> {
        if !self.is_ring() {
            return Ok(self.credential(pending.gen_no, &pending.material));
        }
        let mut keys = self.ring(&at);
        keys.retain(|held| held["gen"] != pending.gen_no);
        keys.iter_mut()
            .filter(|held| held["state"] == "active")
            .for_each(|held| held["state"] = "accept".into());
        if at.record.reason == coffre_rotation::Reason::Compromised && self.kind == Kind::SigningKey {
            keys.clear();
        }
        keys.push(key(pending, "active"));
        Ok(ring_of(&keys))
    }

    fn retire<'a>(&'a self, at: At<'a>, gen_no: u64) -> BoxFuture<'a, Result<Option<Document>, Failure>> {
        if self.is_ring() {
            let mut keys = self.ring(&at);
            match self.kind {
                Kind::SigningKey => keys.retain(|held| held["gen"] != gen_no),
                _ => keys
                    .iter_mut()
                    .filter(|held| held["gen"] == gen_no)
                    .for_each(|held| held["state"] = "decrypt-only".into()),
            }
            return ready(Ok(Some(ring_of(&keys))));
        }
        let earlier =
            at.earlier.and_then(|document| document.field("password").or_else(|| document.field("value")));
        let Some(old) = earlier else {
            return ready(Err(Failure::config("the old password is not known any more")));
        };
        let principal = self.principal(gen_no);
        ready(
            self.effect(at.fence, |world| {
                world.accepted.entry(principal).or_default().remove(old.expose().as_str());
            })
            .map(|()| None),
        )
    }

    fn destroy<'a>(&'a self, at: At<'a>, gen_no: u64) -> BoxFuture<'a, Result<Option<Document>, Failure>> {
        let mut keys = self.ring(&at);
        let before = keys.len();
        keys.retain(|held| held["gen"] != gen_no);
        ready(Ok((keys.len() < before).then(|| ring_of(&keys))))
    }

    fn undo<'a>(
        &'a self,
        at: At<'a>,
        pending: &'a Pending,
    ) -> BoxFuture<'a, Result<Option<Document>, Failure>> {
        if self.is_ring() {
            let mut keys = self.ring(&at);
            let before = keys.len();
            keys.retain(|held| held["gen"] != pending.gen_no);
            return ready(Ok((keys.len() < before).then(|| ring_of(&keys))));
        }
        let (principal, password) = (self.principal(pending.gen_no), pending.material.expose().clone());
        ready(
            self.effect(at.fence, |world| {
                world.accepted.entry(principal).or_default().remove(&password);
            })
            .map(|()| None),
        )
    }

    fn rollback(&self, at: At<'_>, gen_no: u64) -> Result<Document, Failure> {
        if !self.is_ring() {
            let earlier = at
                .earlier
                .and_then(|document| document.field("password").or_else(|| document.field("value")));
            let old = earlier.ok_or_else(|| Failure::config("the old password is not known any more"))?;
            return Ok(self.credential(gen_no, &old));
        }
        let mut keys = self.ring(&at);
        for held in &mut keys {
            held["state"] = if held["gen"] == gen_no { "active" } else { "accept" }.into();
        }
        Ok(ring_of(&keys))
    }

    fn works<'a>(&'a self, at: At<'a>, which: Which<'a>) -> BoxFuture<'a, Result<bool, Failure>> {
        let document = match which {
            Which::Active => at.document,
            Which::Earlier => at.earlier,
            Which::Pending(_) => None,
        };
        ready(Ok(
            document.is_some_and(|document| document_works(self.kind, document, &self.world.lock().unwrap()))
        ))
    }
}

/// Whether a consumer that reads this document can use it.
pub(crate) fn document_works(kind: Kind, document: &Document, world: &World) -> bool {
    if matches!(kind, Kind::SigningKey | Kind::EncryptionKey | Kind::External) {
        return Facts::parse(document.text().expose().as_bytes()).is_ok();
    }
    let (user, password) = match document.field("password") {
        Some(password) => (document.field("username").unwrap().expose().clone(), password),
        None => {
            let user = if kind == Kind::PgAlternating { "app_a" } else { "app" };
            (user.to_owned(), document.field("value").unwrap())
        }
    };
    world.accepts(&user, password.expose())
}
