//! What people ask for.

use coffre_ambient::Wall;
use coffre_rotation::machine::{self, Command, FailureKind as Asks};
use coffre_rotation::{Target as Name, WireDocument, check, paths};
use coffre_secret::SecretText;
use serde::Serialize;

use crate::gather::Gathered;
use crate::perform::{DOCUMENT_VERSIONS, asks};
use crate::rotator::RECORD_VERSIONS;
use crate::store::Held;
use crate::switch::{Enabled, Freeze, Since};
use crate::{At, Failure, FailureKind, Rotating, Rotator};

/// How often a wish is decided anew when an engine writes in between.
const TRIES: u32 = 8;

/// Something that forbids a target to rotate by itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// Which target.
    pub target: String,
    /// What is wrong and what to do: one sentence.
    pub sentence: String,
}

/// Each wish is one write of the record; what it leads to is done by the steps that follow.
impl Rotator {
    /// Rotates now. `compromised`: the old material is known to somebody, so there is no overlap; what was signed with
    /// it is refused from then on.
    ///
    /// # Errors
    /// A refusal that says why and what to do; else what could not be read or written.
    pub async fn now(&self, name: &Name, compromised: bool) -> Result<(), Failure> {
        if !compromised {
            self.ends(name)?;
        }
        self.wish(name, || Command::Now { compromised, migration: false }).await
    }

    /// The first rotation of a target that was just migrated: its old value was in files.
    ///
    /// # Errors
    /// As [`Rotator::now`].
    pub async fn migrated(&self, name: &Name) -> Result<(), Failure> {
        self.ends(name)?;
        self.wish(name, || Command::Now { compromised: false, migration: true }).await
    }

    /// Refuses a key whose tokens end nobody knows when: they would be refused too early.
    fn ends(&self, name: &Name) -> Result<(), Failure> {
        let advice =
            "Correct coffre.toml; or, if everybody may be logged out, use `coffre rotate now -compromised`.";
        match check::endless(&self.target(name)?.settings) {
            Some(finding) => Err(Failure::config(format!("{name}: {}", finding.0)).advise(advice)),
            None => Ok(()),
        }
    }

    /// Takes back what was begun and not promoted.
    ///
    /// # Errors
    /// As [`Rotator::now`].
    pub async fn undo(&self, name: &Name) -> Result<(), Failure> {
        self.wish(name, || Command::Undo).await
    }

    /// Makes the generation before active again, while it is still accepted.
    ///
    /// # Errors
    /// As [`Rotator::now`].
    pub async fn rollback(&self, name: &Name) -> Result<(), Failure> {
        self.wish(name, || Command::Rollback).await
    }

    /// Goes on after HALT. `restored`: the server was restored from an older snapshot, and that is known.
    ///
    /// # Errors
    /// As [`Rotator::now`].
    pub async fn resume(&self, name: &Name, restored: bool) -> Result<(), Failure> {
        let fence = self.memory(name).refused_fence;
        let wish = || if restored { Command::EpochReset { fence } } else { Command::Resume };
        self.wish(name, wish).await?;
        if restored {
            self.forget(name);
        }
        Ok(())
    }

    /// A person brings the new material of an external key. It is checked before anything is written.
    ///
    /// # Errors
    /// As [`Rotator::now`], and if the material has not the form of such a key.
    pub async fn provide(&self, name: &Name, material: SecretText) -> Result<(), Failure> {
        let target = self.target(name)?;
        let turn = self.turn(name).await;
        let read = self.read(target).await?;
        let pending = target.kind.provide(self.at(&read)?, material).await?;
        drop(turn);
        self.wish(name, || Command::Provide(pending.duplicate())).await
    }

    /// A person has revoked the old key at its issuer; it is tried, and must be refused.
    ///
    /// # Errors
    /// As [`Rotator::now`].
    pub async fn confirm_revoked(&self, name: &Name) -> Result<(), Failure> {
        self.wish(name, || Command::ConfirmRevoked).await
    }

    /// Nothing leaves any engine of the environment until [`Rotator::unfreeze`]; what is active stays so.
    ///
    /// # Errors
    /// What could not be read or written.
    pub async fn freeze(&self, why: &str) -> Result<(), Failure> {
        self.switch(true, why).await
    }

    /// Why the environment is frozen; `None`: it is not.
    ///
    /// # Errors
    /// What could not be read.
    pub async fn frozen(&self) -> Result<Option<String>, Failure> {
        let held: Held<Freeze> = self.store.read(&paths::freeze(&self.environment)).await?;
        Ok(held.value.filter(|freeze| freeze.frozen).map(|freeze| freeze.why))
    }

    /// Takes a freeze back.
    ///
    /// # Errors
    /// What could not be read or written.
    pub async fn unfreeze(&self) -> Result<(), Failure> {
        self.switch(false, "").await
    }

    /// What forbids these targets (all without any) to rotate by themselves, under the manifest's policy. Nothing is
    /// written if there is any, or with `check_only`; else the policy is published and they are enabled together.
    ///
    /// # Errors
    /// What could not be read or written.
    pub async fn enable(&self, names: &[Name], check_only: bool) -> Result<Vec<Finding>, Failure> {
        let mut chosen = Vec::new();
        match names {
            [] => chosen.extend(&self.targets),
            names => {
                for name in names {
                    chosen.push(self.target(name)?);
                }
            }
        }
        let mut found = Vec::new();
        for target in &chosen {
            found.extend(self.findings(target).await?);
        }
        if found.is_empty() && !check_only {
            if let Some(policy) = &self.declared {
                // What consumers take their bounds from, before anything counts on it.
                self.publish_policy(policy).await?;
            }
            for target in &chosen {
                let path = paths::document(&self.environment, &target.name);
                self.store.guard(&path, DOCUMENT_VERSIONS).await?;
                self.store.guard(&paths::record(&self.environment, &target.name), RECORD_VERSIONS).await?;
            }
            self.change_enabled(&chosen, true).await?;
        }
        Ok(found)
    }

    /// These targets rotate only when a person asks.
    ///
    /// # Errors
    /// What could not be read or written.
    pub async fn disable(&self, names: &[Name]) -> Result<(), Failure> {
        let chosen = names.iter().map(|name| self.target(name)).collect::<Result<Vec<_>, _>>()?;
        self.change_enabled(&chosen, false).await
    }

    /// Decides on a wish and writes the record; an engine that writes in between makes it decide again.
    pub(crate) async fn wish(&self, name: &Name, wish: impl Fn() -> Command) -> Result<(), Failure> {
        let target = self.target(name)?;
        let _turn = self.turn(name).await;
        for _ in 0..TRIES {
            let read = match self.read(target).await {
                Err(failure) if failure.kind() == FailureKind::Conflict => continue,
                read => read?,
            };
            let settings = self.settings(target, read.enabled);
            let Some(seen) = read.seen(&settings, &self.holder, self.memory(name), self.store.now()) else {
                continue;
            };
            let record = machine::command(&seen, wish())
                .map_err(|refused| Failure::config(refused.to_string()).advise("Nothing was changed."))?;
            if self.put(&read, &record).await? {
                return Ok(());
            }
        }
        Err(Failure::conflict(format!("an engine is at work on {name} and was faster each time"))
            .advise("Try again in a moment."))
    }

    async fn findings(&self, target: &Rotating) -> Result<Vec<Finding>, Failure> {
        let read = crate::gather::gather(&self.store, &self.environment, target, &self.targets).await?;
        let policy = self.declared.as_ref().unwrap_or(&read.policy);
        let mut sentences: Vec<String> =
            check::check(&target.settings, policy, &read.acks).into_iter().map(|finding| finding.0).collect();
        if read.document.value.is_none() && target.settings.kind != coffre_rotation::Kind::Dynamic {
            let path = paths::document(&self.environment, &target.name);
            sentences.push(format!(
                "there is no document at {path} yet: migrate the value, or write it, before it rotates"
            ));
        }
        let first;
        let record = match &read.record.value {
            Some(record) => record,
            None => {
                first = coffre_rotation::Record::new(
                    target.name.clone(),
                    target.kind.kind(),
                    "-".to_owned(),
                    1,
                    self.store.now(),
                );
                &first
            }
        };
        sentences.extend(target.kind.check(self.at_record(&read, record)).await);
        let named = |sentence| Finding { target: target.name.to_string(), sentence };
        Ok(sentences.into_iter().map(named).collect())
    }

    async fn change_enabled(&self, chosen: &[&Rotating], on: bool) -> Result<(), Failure> {
        let path = paths::enabled(&self.environment);
        for _ in 0..TRIES {
            let held: Held<Enabled> = self.store.read(&path).await?;
            let mut enabled = held.value.unwrap_or_default();
            for target in chosen {
                if on {
                    let since = Since { since: self.store.now().rfc3339(), by: self.holder.clone() };
                    enabled.targets.entry(target.name.clone()).or_insert(since);
                } else {
                    enabled.targets.remove(&target.name);
                }
            }
            if self
                .replaced(&path, held.version, |id| {
                    enabled.write = id;
                    WireDocument::write(&enabled)
                })
                .await?
            {
                return Ok(());
            }
        }
        Err(Failure::conflict(format!("{path} changes too often")))
    }

    async fn switch(&self, frozen: bool, why: &str) -> Result<(), Failure> {
        let path = paths::freeze(&self.environment);
        let why: String = why.chars().filter(|c| !c.is_control()).take(500).collect();
        for _ in 0..TRIES {
            let held: Held<Freeze> = self.store.read(&path).await?;
            let since = self.store.now().rfc3339();
            let mut freeze = Freeze {
                schema: Freeze::SCHEMA.to_owned(),
                frozen,
                why: why.clone(),
                by: self.holder.clone(),
                since,
                write: coffre_rotation::WriteId::default(),
            };
            if self
                .replaced(&path, held.version, |id| {
                    freeze.write = id;
                    WireDocument::write(&freeze)
                })
                .await?
            {
                return Ok(());
            }
        }
        Err(Failure::conflict(format!("{path} changes too often")))
    }

    /// Writes a small document in place of the version that was read. `false`: somebody else was faster.
    async fn replaced(
        &self,
        path: &str,
        version: u64,
        text: impl FnOnce(coffre_rotation::WriteId) -> Result<SecretText, coffre_rotation::DocumentError>,
    ) -> Result<bool, Failure> {
        if version == 0 {
            self.store.guard(path, RECORD_VERSIONS).await?;
        }
        let id = self.store.write_id()?;
        let text = text(id.clone())?;
        match self.store.put(path, &text, &id, version).await {
            Ok(_) => Ok(true),
            Err(failure) if asks(failure.kind()) == Asks::Conflict => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    pub(crate) fn at<'a>(&'a self, read: &'a Gathered) -> Result<At<'a>, Failure> {
        let record = read.record.value.as_ref().ok_or_else(|| Failure::conflict("the record is gone"))?;
        Ok(self.at_record(read, record))
    }

    fn at_record<'a>(&'a self, read: &'a Gathered, record: &'a coffre_rotation::Record) -> At<'a> {
        At {
            record,
            document: read.document.value.as_ref(),
            earlier: None,
            fence: record.fence,
            now: self.store.now(),
            until: Wall::from_nanos(u64::MAX),
            entropy: self.store.entropy(),
        }
    }
}
