use coffre_ambient::Wall;
use coffre_secret::SecretText;
use serde_json::{Map, Value};

use super::key::{has_sound_length, is_pair, kid_of, public_der};
use super::{Extra, Key, Keyring, KeyringError, MAX_KEYS, SCHEMA, State, pem};

/// The fields that are the ring's own; everything else in a document is kept as it is.
const OWN: [&str; 9] = ["schema", "target", "epoch", "min_epoch", "active", "legacy", "keys", "value", "_w"];
/// The highest epoch that is read: what every reader's numbers can hold.
const MAX_EPOCH: u64 = 1 << 53;

/// What a document alone does not say.
#[derive(Clone, Copy, Debug)]
pub struct Form<'a> {
    /// The target's name, for the ring's `target`.
    pub target: &'a str,
    /// The field that the application reads; usually `value`.
    pub field: &'a str,
    /// The generation of a plain document's key: 1, or what the record says is active.
    pub first: u64,
}

impl Keyring {
    /// Reads a ring, or a plain document as a ring of one key with epoch 0. Fields may be JSON values or texts of them.
    pub fn read(document: &Map<String, Value>, form: &Form<'_>) -> Result<Self, KeyringError> {
        match document.get("schema") {
            None => Self::of_plain(document, form),
            Some(schema) if schema.as_str() == Some(SCHEMA) => Self::of_ring(document, form),
            Some(_) => {
                Err(KeyringError::Document("its schema is not keyring/1; a newer Coffre may have written it"))
            }
        }
    }

    /// The ring as a document, without the mark of the write (`_w`), which the writer adds.
    #[must_use]
    pub fn write(&self, form: &Form<'_>) -> Map<String, Value> {
        let mut document = self.extra.0.clone();
        let mut put = |name: &str, value: Value| document.insert(name.to_owned(), value);
        put("schema", SCHEMA.into());
        put("target", form.target.into());
        put("epoch", self.epoch.into());
        if let Some(epoch) = self.min_epoch {
            put("min_epoch", epoch.into());
        }
        if let Some(active) = self.active() {
            put("active", active.kid.as_str().into());
            // EXPOSE: the document is what keeps the key.
            put("value", active.material.expose().as_str().into());
            put(form.field, active.material.expose().as_str().into());
        }
        if let Some(legacy) = &self.legacy {
            put("legacy", legacy.as_str().into());
        }
        put("keys", self.keys.iter().map(Key::write).collect());
        document
    }

    /// The public halves as a ring of their own, for those who verify and must not be able to sign. `None` if a key has no
    /// public half: whoever verifies under it can also sign.
    #[must_use]
    pub fn public_half(&self, form: &Form<'_>) -> Option<Map<String, Value>> {
        let keys = self.keys.iter().map(Key::public_half).collect::<Option<Vec<_>>>()?;
        let legacy = self.legacy().and_then(|key| Some(key.public_half()?.kid));
        let public =
            Self { epoch: self.epoch, min_epoch: self.min_epoch, keys, legacy, extra: Extra::default() };
        Some(public.write(form))
    }

    fn of_plain(document: &Map<String, Value>, form: &Form<'_>) -> Result<Self, KeyringError> {
        const TAKEN: &str = "it is a plain one with a field that a ring would need for itself (target, epoch, active, keys, …)";
        let field = document.get(form.field).or_else(|| document.get("value"));
        let value =
            field.and_then(Value::as_str).ok_or(KeyringError::Document("it has no text in its field"))?;
        if !has_sound_length(value) {
            return Err(KeyringError::Document("its value is empty or too long for a key"));
        }
        let mut names = document.keys().map(String::as_str).filter(|name| !["value", "_w"].contains(name));
        if names.any(|name| OWN.contains(&name) && name != form.field) {
            return Err(KeyringError::Document(TAKEN));
        }
        // Readers of the plain form name the key after its text, even if that is a key pair: so its name stays valid.
        let kid = kid_of(value, None).map_err(KeyringError::Document)?;
        let key = Key {
            kid: kid.clone(),
            generation: form.first,
            state: State::Active,
            algorithm: None,
            material: SecretText::from(value),
            created: None,
            use_not_before: None,
            retire_at: None,
        };
        let extra = Extra(others(document, form));
        Ok(Self { epoch: 0, min_epoch: None, keys: vec![key], legacy: Some(kid), extra })
    }

    fn of_ring(document: &Map<String, Value>, form: &Form<'_>) -> Result<Self, KeyringError> {
        let entries = json(document.get("keys"));
        let entries = entries.as_ref().and_then(Value::as_array);
        let entries = entries.ok_or(KeyringError::Document("`keys` is not a list of objects"))?;
        let mut keys = entries.iter().map(Key::read).collect::<Result<Vec<_>, _>>()?;
        keys.sort_by_key(|key| key.generation);
        let epoch = count(document.get("epoch")).filter(|epoch| *epoch <= MAX_EPOCH);
        let legacy = document.get("legacy").filter(|legacy| !legacy.is_null());
        let legacy = legacy
            .map(|legacy| kid_text(Some(legacy)).ok_or(KeyringError::Document("`legacy` is no key id")));
        let ring = Self {
            epoch: epoch.ok_or(KeyringError::Document("`epoch` is not a whole number"))?,
            min_epoch: count(document.get("min_epoch")),
            keys,
            legacy: legacy.transpose()?,
            extra: Extra(others(document, form)),
        };
        ring.check(document)?;
        Ok(ring)
    }

    fn check(&self, document: &Map<String, Value>) -> Result<(), KeyringError> {
        if self.min_epoch.is_some_and(|least| self.epoch < least) {
            return Err(KeyringError::Document("it is older than the copies that may still be used"));
        }
        let repeats = |by: fn(&Key, &Key) -> bool| {
            self.keys
                .iter()
                .enumerate()
                .any(|(at, key)| self.keys.iter().skip(at + 1).any(|other| by(key, other)))
        };
        let actives = self.keys.iter().filter(|key| key.state == State::Active).count();
        let named = kid_text(document.get("active")).and_then(|kid| self.by_kid(&kid));
        let value = document.get("value").map(|value| value.as_str().unwrap_or_default());
        let problem = if self.keys.is_empty() || self.keys.len() > MAX_KEYS {
            "a ring has 1 to 32 keys"
        } else if repeats(|a, b| a.kid == b.kid) {
            "two of its keys have the same kid"
        } else if repeats(|a, b| a.generation == b.generation) {
            "two of its keys have the same generation"
        } else if actives != 1 || named.is_none_or(|key| key.state != State::Active) {
            "it must have exactly one active key, which `active` names"
        } else if value.is_some_and(|value| named.is_none_or(|key| !key.material.ct_eq(value.as_bytes()))) {
            "`value` is not the active key; something that knows no rings wrote it"
        } else {
            return Ok(());
        };
        Err(KeyringError::Document(problem))
    }
}

impl Key {
    fn read(entry: &Value) -> Result<Self, KeyringError> {
        let kid = kid_text(entry.get("kid")).ok_or(KeyringError::Document("a key has no kid"))?;
        let problem = |problem| KeyringError::Key { kid: kid.clone(), problem };
        let text = |name: &str| entry.get(name).and_then(Value::as_str);
        let state = text("state").and_then(State::parse);
        let algorithm = entry.get("alg").filter(|alg| !alg.is_null());
        let algorithm = algorithm
            .map(|alg| {
                alg.as_str().filter(|alg| is_name(alg, 32)).ok_or_else(|| problem("its alg is no name"))
            })
            .transpose()?;
        let material = text("mat").filter(|material| has_sound_length(material));
        let material = material.ok_or_else(|| problem("its material (mat) is missing, empty or too long"))?;
        let expected = kid_of(material, algorithm).map_err(problem)?;
        if kid.strip_prefix("k-").unwrap_or(&kid) != expected {
            return Err(problem("its kid does not follow from it; it was edited by hand, or is damaged"));
        }
        let generation = count(entry.get("gen")).ok_or_else(|| problem("its gen is not a whole number"))?;
        let state =
            state.ok_or_else(|| problem("its state is not active, accept, decrypt-only or retired"))?;
        let time = |name: &str| text(name).and_then(Wall::parse);
        Ok(Self {
            generation,
            state,
            algorithm: algorithm.map(str::to_owned),
            material: SecretText::from(material),
            created: time("created"),
            use_not_before: time("use_not_before"),
            retire_at: time("retire_at"),
            kid,
        })
    }

    fn write(&self) -> Value {
        let mut entry = Map::new();
        entry.insert("kid".to_owned(), self.kid.as_str().into());
        entry.insert("gen".to_owned(), self.generation.into());
        entry.insert("state".to_owned(), self.state.word().into());
        if let Some(algorithm) = &self.algorithm {
            entry.insert("alg".to_owned(), algorithm.as_str().into());
        }
        // EXPOSE: the document is what keeps the key.
        entry.insert("mat".to_owned(), self.material.expose().as_str().into());
        let times = [
            ("created", self.created),
            ("use_not_before", self.use_not_before),
            ("retire_at", self.retire_at),
        ];
        for (name, time) in times {
            if let Some(time) = time {
                entry.insert(name.to_owned(), time.rfc3339().into());
            }
        }
        Value::Object(entry)
    }

    /// The same key without what signs. A pair of a plain document has no algorithm in the ring; here it gets that of its
    /// bytes, and the name that follows from its public half.
    fn public_half(&self) -> Option<Self> {
        // EXPOSE: the public half is taken.
        let material = self.material.expose();
        let algorithm = match &self.algorithm {
            Some(algorithm) if is_pair(Some(algorithm)) => algorithm.clone(),
            Some(_) => return None,
            None => super::scheme_of(material)?.name().to_owned(),
        };
        let der = public_der(material, Some(&algorithm)).ok()?;
        let public = SecretText::new(pem::of_public(&der));
        // EXPOSE: it is public.
        let kid = kid_of(public.expose(), Some(&algorithm)).ok()?;
        let kid = if self.algorithm.is_some() { self.kid.clone() } else { kid };
        Some(Self {
            kid,
            generation: self.generation,
            state: self.state,
            algorithm: Some(algorithm),
            material: public,
            created: self.created,
            use_not_before: self.use_not_before,
            retire_at: self.retire_at,
        })
    }
}

fn others(document: &Map<String, Value>, form: &Form<'_>) -> Map<String, Value> {
    let is_other = |name: &str| !OWN.contains(&name) && name != form.field;
    document
        .iter()
        .filter(|(name, _)| is_other(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// A value, or the value of its text: command lines write everything as text.
fn json(value: Option<&Value>) -> Option<Value> {
    match value? {
        Value::String(text) => serde_json::from_str(text).ok(),
        other => Some(other.clone()),
    }
}

fn count(value: Option<&Value>) -> Option<u64> {
    json(value)?.as_u64()
}

fn kid_text(value: Option<&Value>) -> Option<String> {
    value?.as_str().filter(|kid| is_name(kid, 64)).map(str::to_owned)
}

fn is_name(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}
