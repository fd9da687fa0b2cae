use coffre_ambient::Wall;
use coffre_secret::SecretText;

use super::key::{has_sound_length, is_pair, kid_of};
use super::{Key, Keyring, KeyringError, MAX_KEYS, State};

/// A key that is to join a ring.
#[derive(Debug)]
pub struct NewKey {
    /// Its generation; higher than any before.
    pub generation: u64,
    /// The key as text.
    pub material: SecretText,
    /// The algorithm to pin it to. A key pair needs one.
    pub algorithm: Option<String>,
    /// When it was made.
    pub created: Wall,
    /// When it will be used at the earliest, for people to see.
    pub use_not_before: Option<Wall>,
}

impl Keyring {
    /// A ring of one key, which is active: where there was no document at all.
    pub fn of_one(new: NewKey) -> Result<Self, KeyringError> {
        let generation = new.generation;
        let mut ring = Self {
            epoch: 0,
            min_epoch: None,
            keys: Vec::new(),
            legacy: None,
            extra: super::Extra::default(),
        };
        ring.add(new)?;
        ring.activate(generation, None)?;
        ring.changed()
    }

    /// With a new key that readers accept and nobody uses yet. Nothing changes if it is there already, in whatever state.
    pub fn with_prepared(mut self, new: NewKey, max_accepted: usize) -> Result<Self, KeyringError> {
        if self.has(&new)? {
            return Ok(self);
        }
        if self.accepted() >= max_accepted {
            return Err(KeyringError::Full(self.accepted()));
        }
        self.add(new)?;
        self.changed()
    }

    /// With that generation active. The one that was active is accepted still, and shows when it may go (`retire_at`).
    /// Also the way back: an older generation that is accepted can be promoted again.
    pub fn promoted(mut self, generation: u64, retire_at: Option<Wall>) -> Result<Self, KeyringError> {
        if self.state_of(generation)? == State::Active {
            return Ok(self);
        }
        self.activate(generation, retire_at)?;
        self.changed()
    }

    /// With that generation for decrypting alone, until everything that stands under it was re-encrypted.
    pub fn decrypt_only(mut self, generation: u64) -> Result<Self, KeyringError> {
        match self.state_of(generation)? {
            State::Active => return Err(KeyringError::Active(generation)),
            State::DecryptOnly => return Ok(self),
            State::Accept | State::Retired => {}
        }
        if let Some(key) = self.keys.iter_mut().find(|key| key.generation == generation) {
            key.state = State::DecryptOnly;
            key.use_not_before = None;
        }
        self.changed()
    }

    /// Without that generation: its retirement, or the end of one that was prepared in vain. Nothing changes if it is
    /// not there.
    pub fn without(mut self, generation: u64) -> Result<Self, KeyringError> {
        match self.generation(generation).map(Key::state) {
            None => return Ok(self),
            Some(State::Active) => return Err(KeyringError::Active(generation)),
            Some(_) => {}
        }
        self.keys.retain(|key| key.generation != generation);
        self.forget_legacy();
        self.changed()
    }

    /// Without that generation, and with the word to readers to use no copy any more that holds it. Nothing changes if it is
    /// not there.
    pub fn destroyed(self, generation: u64) -> Result<Self, KeyringError> {
        let before = self.epoch;
        let mut ring = self.without(generation)?;
        if ring.epoch != before {
            ring.min_epoch = Some(ring.epoch);
        }
        Ok(ring)
    }

    /// With a new key as the only one, in one change: the answer to a signing key that became known. What the others
    /// signed is refused from now on.
    pub fn replaced_by(mut self, new: NewKey) -> Result<Self, KeyringError> {
        let generation = new.generation;
        if !self.has(&new)? {
            self.add(new)?;
        } else if self.keys.len() == 1 {
            return self.promoted(generation, None);
        }
        self.activate(generation, None)?;
        self.keys.retain(|key| key.generation == generation);
        self.forget_legacy();
        self.changed()
    }

    /// With a new key active at once and the one before for decrypting alone, in one change: the answer to an encryption
    /// key that became known. Without the old key the data would be lost, so it stays until they are re-encrypted.
    pub fn overtaken_by(mut self, new: NewKey) -> Result<Self, KeyringError> {
        let generation = new.generation;
        if !self.has(&new)? {
            self.add(new)?;
        } else if self.state_of(generation)? == State::Active {
            return Ok(self);
        }
        self.activate(generation, None)?;
        for key in self.keys.iter_mut().filter(|key| key.state == State::Accept) {
            key.state = State::DecryptOnly;
        }
        self.changed()
    }

    /// With an epoch of at least this: a plain value that was written over a ring starts from what was known before.
    #[must_use]
    pub fn not_before_epoch(mut self, epoch: u64) -> Self {
        self.epoch = self.epoch.max(epoch);
        self
    }

    fn changed(mut self) -> Result<Self, KeyringError> {
        self.epoch = self.epoch.checked_add(1).ok_or(KeyringError::Epoch)?;
        Ok(self)
    }

    fn state_of(&self, generation: u64) -> Result<State, KeyringError> {
        self.generation(generation).map(Key::state).ok_or(KeyringError::Absent(generation))
    }

    /// Whether exactly this key is in the ring.
    fn has(&self, new: &NewKey) -> Result<bool, KeyringError> {
        match self.generation(new.generation) {
            // EXPOSE: compared in constant time.
            Some(key) if key.material.ct_eq(new.material.expose().as_bytes()) => Ok(true),
            Some(_) => Err(KeyringError::Taken(new.generation)),
            None => Ok(false),
        }
    }

    fn add(&mut self, new: NewKey) -> Result<(), KeyringError> {
        // EXPOSE: its length and its name are taken.
        let material = new.material.expose();
        let problem =
            |problem| KeyringError::Key { kid: format!("of generation {}", new.generation), problem };
        if !has_sound_length(material) {
            return Err(problem("it is empty or too long"));
        }
        if !is_pair(new.algorithm.as_deref()) && material.contains("PRIVATE KEY-----") {
            return Err(problem("a key pair in a ring needs the name of its algorithm"));
        }
        if self.keys.len() >= MAX_KEYS {
            return Err(KeyringError::Full(self.accepted()));
        }
        let kid = kid_of(material, new.algorithm.as_deref()).map_err(problem)?;
        if self.by_kid(&kid).is_some() || self.by_kid(&format!("k-{kid}")).is_some() {
            return Err(KeyringError::Taken(new.generation));
        }
        self.keys.push(Key {
            kid,
            generation: new.generation,
            state: State::Accept,
            algorithm: new.algorithm,
            material: new.material,
            created: Some(new.created),
            use_not_before: new.use_not_before,
            retire_at: None,
        });
        self.keys.sort_by_key(|key| key.generation);
        Ok(())
    }

    fn activate(&mut self, generation: u64, retire_at: Option<Wall>) -> Result<(), KeyringError> {
        if self.state_of(generation)? == State::Retired {
            return Err(KeyringError::Absent(generation));
        }
        for key in &mut self.keys {
            if key.generation == generation {
                key.state = State::Active;
                key.use_not_before = None;
                key.retire_at = None;
            } else if key.state == State::Active {
                key.state = State::Accept;
                key.retire_at = retire_at;
            }
        }
        Ok(())
    }

    fn forget_legacy(&mut self) {
        if self.legacy().is_none() {
            self.legacy = None;
        }
    }
}
