//! A stand-in for a database server.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use coffre_ambient::Wall;
use coffre_api::{Kind, Refusal};

/// How a [`Target`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mood {
    /// It does what it is asked.
    #[default]
    Works,
    /// It refuses everything.
    Refuses,
    /// It never answers.
    Hangs,
    /// It does what it is asked and then says that it failed, as a broken connection would.
    DoesAndFails,
}

/// Accounts with an end each, somewhere outside of the server's own storage.
#[derive(Default)]
pub struct Target {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    accounts: BTreeMap<String, Option<Wall>>,
    mood: Mood,
    dropped: u64,
    asked: u64,
}

impl Target {
    /// Changes how it answers from now on.
    pub fn set_mood(&self, mood: Mood) {
        self.with(|state| state.mood = mood);
    }

    /// The names of its accounts, sorted.
    pub fn accounts(&self) -> Vec<String> {
        self.with(|state| state.accounts.keys().cloned().collect())
    }

    /// How many accounts were dropped while they were there.
    pub fn dropped(&self) -> u64 {
        self.with(|state| state.dropped)
    }

    /// How often it was asked for anything.
    pub fn asked(&self) -> u64 {
        self.with(|state| state.asked)
    }

    /// Makes an account.
    pub async fn create(&self, name: &str) -> Result<(), Refusal> {
        self.change(|state| {
            state.accounts.insert(name.to_owned(), None);
        })
        .await
    }

    /// Sets an account's end.
    pub async fn extend(&self, name: &str, until: Wall) -> Result<(), Refusal> {
        self.change(|state| {
            if let Some(end) = state.accounts.get_mut(name) {
                *end = Some(until);
            }
        })
        .await
    }

    /// Removes an account; fine if it is not there.
    pub async fn drop_account(&self, name: &str) -> Result<(), Refusal> {
        self.change(|state| state.dropped += u64::from(state.accounts.remove(name).is_some())).await
    }

    async fn change(&self, change: impl FnOnce(&mut State)) -> Result<(), Refusal> {
        tokio::task::yield_now().await;
        let mood = self.with(|state| {
            state.asked += 1;
            if matches!(state.mood, Mood::Works | Mood::DoesAndFails) {
                change(state);
            }
            state.mood
        });
        match mood {
            Mood::Works => Ok(()),
            Mood::Refuses | Mood::DoesAndFails => Err(Refusal::new(Kind::Upstream, "the target refused")),
            Mood::Hangs => std::future::pending().await,
        }
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
