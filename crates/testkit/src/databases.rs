//! A stand-in for a database server, behind the traits by which the database engine reaches real ones.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use coffre_ambient::Wall;
use coffre_database::{BoxFuture, Connector, Database, Error, ErrorKind, NewPassword, NewUser, Settings};
use coffre_secret::SecretText;

/// How a [`DatabaseServer`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Weather {
    /// It does what it is asked.
    #[default]
    Fair,
    /// Nobody can reach it.
    Down,
    /// It does what it is asked, and the answer is lost.
    AnswersLost,
    /// It does not like any new password.
    RefusesPasswords,
    /// It never answers.
    Hangs,
}

/// A user there.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its password.
    pub password: String,
    /// After that it cannot log in.
    pub until: Option<Wall>,
}

/// A database server with users and an administrator, who is one of them. Clones are the same server.
#[derive(Clone, Default)]
pub struct DatabaseServer(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    users: BTreeMap<String, Account>,
    weather: Weather,
    asked: u64,
    /// The action of this number, counted as `asked`, happens and its answer is lost, or does not happen.
    odd: Option<(u64, bool)>,
    /// Every password that was to be set.
    passwords: Vec<String>,
    /// Statements that came with the last action.
    statements: Vec<String>,
}

impl DatabaseServer {
    /// With an administrator.
    #[must_use]
    pub fn new(admin: &str, password: &str) -> Self {
        let server = Self::default();
        server.add(admin, password);
        server
    }

    /// Adds a user.
    pub fn add(&self, name: &str, password: &str) {
        let account = Account { password: password.to_owned(), until: None };
        self.with(|state| state.users.insert(name.to_owned(), account));
    }

    /// Changes how it answers from now on.
    pub fn set_weather(&self, weather: Weather) {
        self.with(|state| state.weather = weather);
    }

    /// The `nth` action from now is not answered, after it was done or without.
    pub fn lose_nth(&self, nth: u64, done: bool) {
        self.with(|state| state.odd = Some((state.asked + nth, done)));
    }

    /// The names of its users that begin so.
    #[must_use]
    pub fn names(&self, prefix: &str) -> Vec<String> {
        self.with(|state| state.users.keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }

    /// A user.
    #[must_use]
    pub fn account(&self, name: &str) -> Option<Account> {
        self.with(|state| state.users.get(name).cloned())
    }

    /// How many actions it was asked for.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.with(|state| state.asked)
    }

    /// All passwords that it was to set, in order.
    #[must_use]
    pub fn passwords(&self) -> Vec<String> {
        self.with(|state| state.passwords.clone())
    }

    /// The statements of the last action that had any.
    #[must_use]
    pub fn statements(&self) -> Vec<String> {
        self.with(|state| state.statements.clone())
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Connector for DatabaseServer {
    fn open(&self, settings: Settings) -> Result<Arc<dyn Database>, Error> {
        if settings.url.as_deref().is_none_or(|url| !url.contains("://")) {
            return Err(Error::new(ErrorKind::Invalid, "connection_url is not a URL"));
        }
        Ok(Arc::new(Session { server: self.clone(), user: settings.username, password: settings.password }))
    }
}

/// The server as one administrator sees it.
struct Session {
    server: DatabaseServer,
    user: String,
    password: SecretText,
}

impl Session {
    async fn act<T: Send>(
        &self,
        change: impl FnOnce(&mut State) -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        if self.server.with(|state| state.weather) == Weather::Hangs {
            std::future::pending::<()>().await;
        }
        self.server.with(|state| {
            state.asked += 1;
            let lost = || Error::new(ErrorKind::Unavailable, "the connection broke");
            let odd = state.odd.filter(|(nth, _)| *nth == state.asked).map(|(_, done)| done);
            if state.weather == Weather::Down || odd == Some(false) {
                return Err(lost());
            }
            // EXPOSE: compared, in a test.
            let known =
                state.users.get(&self.user).is_some_and(|user| user.password == *self.password.expose());
            if !known {
                return Err(Error::new(
                    ErrorKind::Unauthenticated,
                    "the database does not accept the administrator",
                ));
            }
            let done = change(state)?;
            if state.weather == Weather::AnswersLost || odd == Some(true) { Err(lost()) } else { Ok(done) }
        })
    }
}

impl Database for Session {
    fn verify(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.act(|_| Ok(())))
    }

    fn create<'a>(&'a self, user: &'a NewUser<'a>) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.act(|state| {
            if user.statements.iter().any(|text| text.contains("{{x}}")) {
                return Err(Error::new(ErrorKind::Invalid, "a statement has an unknown variable"));
            }
            // EXPOSE: kept to be compared, in a test.
            let account = Account { password: user.password.expose().clone(), until: Some(user.until) };
            state.users.insert(user.name.to_owned(), account);
            state.statements = user.statements.to_vec();
            Ok(())
        }))
    }

    fn extend<'a>(
        &'a self,
        user: &'a str,
        until: Wall,
        statements: &'a [String],
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.act(move |state| {
            state.statements = statements.to_vec();
            let account = state.users.get_mut(user);
            let account = account.ok_or_else(|| Error::new(ErrorKind::Failed, "there is no such user"))?;
            account.until = Some(until);
            Ok(())
        }))
    }

    fn set_password<'a>(&'a self, change: &'a NewPassword<'a>) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.act(|state| {
            let password = change.password.expose().clone(); // EXPOSE: kept to be compared, in a test.
            state.passwords.push(password.clone());
            state.statements = change.statements.to_vec();
            if state.weather == Weather::RefusesPasswords {
                return Err(Error::new(ErrorKind::PasswordRefused, "the database refuses this password"));
            }
            let account = state.users.get_mut(change.name);
            let account = account.ok_or_else(|| Error::new(ErrorKind::Failed, "there is no such user"))?;
            account.password = password;
            Ok(())
        }))
    }

    fn remove<'a>(&'a self, user: &'a str, statements: &'a [String]) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.act(move |state| {
            state.statements = statements.to_vec();
            state.users.remove(user);
            Ok(())
        }))
    }

    fn logs_in<'a>(&'a self, user: &'a str, password: &'a SecretText) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(async move {
            self.server.with(|state| {
                state.asked += 1;
                let odd = state.odd.is_some_and(|(nth, _)| nth == state.asked);
                if matches!(state.weather, Weather::Down | Weather::AnswersLost) || odd {
                    return Err(Error::new(ErrorKind::Unavailable, "the connection broke"));
                }
                // EXPOSE: compared, in a test.
                Ok(state.users.get(user).is_some_and(|user| user.password == *password.expose()))
            })
        })
    }

    fn users<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        Box::pin(self.act(move |state| {
            Ok(state.users.keys().filter(|name| name.starts_with(prefix)).cloned().collect())
        }))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}
