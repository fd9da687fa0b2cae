use coffre_ambient::ids;
use coffre_database::postgresql::{Admin, FencedPassword, Probe};
use coffre_database::{ErrorKind, Limits, PasswordAuthentication, Plugin, Settings, Tls};
use coffre_rotation::{Kind, Pending, Reason};
use coffre_secret::SecretText;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{At, BoxFuture, Document, Drained, Failure, Target, Which};

/// Characters of a password: 190 bits, and nothing that anything would have to quote.
const PASSWORD: usize = 32;

/// Two users of PostgreSQL by turns (`pg-alternating`): while one is in use the other gets a new password, is tried,
/// and takes over; then the first is closed. Both act as one owner that cannot log in, so that what one makes is the
/// other's too.
///
/// The document has `username`, `password`, `host`, `port`, `database` and `sslmode`. If it had a `value` before, that
/// follows: a `postgresql://` address with the new user and password in it, or the password.
pub struct PgAlternating {
    admin: Admin,
    pair: PgPair,
}

/// Which users, and where.
#[derive(Clone, Debug)]
pub struct PgPair {
    /// The server's host, for consumers and for us.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The database.
    pub database: String,
    /// `disable`, `require`, `verify-ca` or `verify-full`.
    pub sslmode: String,
    /// The trust anchors as PEM; the system's without.
    pub ca: Option<String>,
    /// The role that both act as.
    pub owner: String,
    /// The two users, `NOLOGIN` or not, members of the owner.
    pub users: [String; 2],
    /// What a user must be able to do before consumers get it.
    pub probe: PgProbe,
}

/// Tried with the new password on the consumer's own path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PgProbe {
    /// Tables, and a privilege on each.
    pub privileges: Vec<(String, String)>,
    /// A statement that reads.
    pub read: Option<String>,
    /// A statement that writes; it is rolled back.
    pub write: Option<String>,
}

impl PgPair {
    /// How the server is reached as this user.
    pub(crate) fn settings(&self, username: &str, password: SecretText) -> Settings {
        Settings {
            plugin: Plugin::Postgresql,
            url: Some(connection(self)),
            host: None,
            port: None,
            username: username.to_owned(),
            password,
            tls: Tls { ca: self.ca.clone(), ..Tls::default() },
            limits: Limits { max_open: 2, max_idle: 1, ..Limits::default() },
            authentication: PasswordAuthentication::ScramSha256,
            raw_url: false,
        }
    }
}

impl PgAlternating {
    /// `username` and `password` are the administrator's: `CREATEROLE`, `pg_signal_backend`, and from PostgreSQL 16 on the
    /// admin option on both users. Connects to nothing.
    ///
    /// # Errors
    /// A configuration failure that names what cannot be.
    pub fn new(pair: PgPair, username: &str, password: SecretText) -> Result<Self, Failure> {
        let [one, other] = &pair.users;
        if one == other {
            return Err(Failure::config(format!("both users of the pair are {one}; name two")));
        }
        if pair.users.iter().any(|user| user == username || *user == pair.owner) {
            return Err(Failure::config(
                "a user of the pair is also its owner or the administrator; these are four different roles",
            ));
        }
        Ok(Self { admin: Admin::open(pair.settings(username, password))?, pair })
    }

    /// The user that is not in use, with a new password.
    fn prepared(&self, at: At<'_>) -> Result<Pending, Failure> {
        let active = at.document.and_then(user_of);
        let [one, other] = &self.pair.users;
        let chosen = if active.as_ref() == Some(one) { other } else { one };
        let leaving = at.record.retiring.iter().any(|old| old.principal.as_ref() == Some(chosen));
        if leaving && at.record.reason != Reason::Compromised {
            return Err(Failure::transient(format!("{chosen} is still in use from the rotation before")));
        }
        Ok(Pending {
            gen_no: at.next_gen(),
            principal: Some(chosen.clone()),
            material: SecretText::new(ids::base62(at.entropy, PASSWORD)?),
            created: at.now,
        })
    }

    async fn applied(&self, at: At<'_>, pending: &Pending) -> Result<(), Failure> {
        let user = self.inactive(at, pending)?;
        let change = FencedPassword {
            role: user,
            password: &pending.material,
            fence: at.fence,
            owner: Some(&self.pair.owner),
        };
        Ok(self.admin.set_password(&change).await?)
    }

    async fn verified(&self, at: At<'_>, pending: &Pending) -> Result<(), Failure> {
        let user = self.inactive(at, pending)?;
        let probe = &self.pair.probe;
        let privileges: Vec<(&str, &str)> =
            probe.privileges.iter().map(|(table, can)| (table.as_str(), can.as_str())).collect();
        let probe = Probe {
            owner: Some(&self.pair.owner),
            privileges: &privileges,
            read: probe.read.as_deref(),
            write: probe.write.as_deref(),
        };
        match self.admin.probe(user, &pending.material, &probe).await {
            Err(error) if error.kind() == ErrorKind::Unauthenticated => {
                Err(Failure::permanent(format!("PostgreSQL refuses the new password of {user}")))
            }
            Err(error) if error.kind() == ErrorKind::Denied => {
                Err(Failure::config(format!("the probe as {user} failed: {error}"))
                    .advise("Give the owner the right, or correct the probe, then `coffre rotate resume`."))
            }
            done => Ok(done?),
        }
    }

    /// The pending user; never the one that consumers have.
    fn inactive<'p>(&self, at: At<'_>, pending: &'p Pending) -> Result<&'p str, Failure> {
        let user =
            pending.principal.as_deref().filter(|name| self.pair.users.iter().any(|user| user == name));
        let user = user.ok_or_else(|| {
            Failure::config("the pending user is none of the pair: the settings have changed meanwhile")
                .advise("Set the pair as it was, or `coffre rotate undo`.")
        })?;
        if at.document.and_then(user_of).as_deref() == Some(user) {
            return Err(Failure::conflict(format!("{user} is in use already")));
        }
        Ok(user)
    }

    /// Who had a generation, if it is one of the pair: others are not ours to close.
    fn earlier_user(&self, at: At<'_>, gen_no: u64) -> Option<String> {
        let noted = at.record.retiring_gen(gen_no).and_then(|old| old.principal.clone());
        let user = noted.or_else(|| at.earlier.and_then(user_of))?;
        self.pair.users.contains(&user).then_some(user)
    }

    async fn sessions(&self, at: At<'_>, gen_no: u64) -> Result<Drained, Failure> {
        let Some(user) = self.earlier_user(at, gen_no) else { return Ok(Drained::Unseen) };
        Ok(match self.admin.sessions(&user).await? {
            0 => Drained::Empty,
            open => Drained::Used(open, format!("{open} sessions of {user} are open in PostgreSQL")),
        })
    }

    /// `NOLOGIN`, a verifier that fits nothing, and the end of what is still open. Neither of the first two ends a
    /// session.
    async fn closed(&self, at: At<'_>, user: &str) -> Result<(), Failure> {
        if at.document.and_then(user_of).as_deref() == Some(user) {
            return Err(Failure::conflict(format!("{user} is in use and cannot be closed")));
        }
        self.admin.lock_out(user, at.fence, at.entropy).await?;
        let ended = self.admin.terminate(user).await?;
        if ended > 0 {
            tracing::warn!(user, ended, "sessions that still used the old password were ended");
        }
        Ok(())
    }

    async fn retired(&self, at: At<'_>, gen_no: u64) -> Result<(), Failure> {
        match self.earlier_user(at, gen_no) {
            Some(user) => self.closed(at, &user).await,
            None => {
                tracing::warn!("the user before the first rotation is none of the pair and stays as it is");
                Ok(())
            }
        }
    }

    async fn undone(&self, at: At<'_>, pending: &Pending) -> Result<(), Failure> {
        let user = self.inactive(at, pending)?;
        // It may be what the rotation failed for.
        if !self.admin.exists(user).await? {
            return Ok(());
        }
        self.closed(at, user).await
    }

    async fn tried(&self, at: At<'_>, which: Which<'_>) -> Result<bool, Failure> {
        let of = |document: &Document| Some((user_of(document)?, password_of(document)?));
        let found = match which {
            Which::Active => at.document.and_then(of),
            Which::Pending(pending) => {
                Some((pending.principal.clone().unwrap_or_default(), pending.material.duplicate()))
            }
            Which::Earlier => at.earlier.and_then(of),
        };
        let (user, password) = found.ok_or_else(|| {
            Failure::config("the document has no user and password for PostgreSQL")
                .advise("Put `username` and `password` into it, then `coffre rotate resume`.")
        })?;
        Ok(self.admin.logs_in(&user, &password).await?)
    }

    /// The document as it is, with this login in it.
    fn with_login(&self, at: At<'_>, user: &str, password: &SecretText, gen_no: u64) -> Document {
        let before = at.document.map(Document::duplicate).unwrap_or_default();
        let value = before.field("value").map(|value| readdressed(&value, user, password));
        let document = before
            .with_plain("username", user)
            .with("password", password)
            .with_plain("host", self.pair.host.as_str())
            .with_plain("port", self.pair.port)
            .with_plain("database", self.pair.database.as_str())
            .with_plain("sslmode", self.pair.sslmode.as_str())
            .with_plain("schema", "credential/1")
            .with_plain("gen", gen_no);
        match value {
            Some(value) => document.with("value", &value),
            None => document,
        }
    }

    async fn findings(&self, at: At<'_>) -> Vec<String> {
        let pair = &self.pair;
        let [one, other] = &pair.users;
        let mut found = match self.admin.inspect(&pair.owner, &[one, other]).await {
            Ok(found) => found,
            Err(error) => return vec![format!("PostgreSQL at {}:{}: {error}", pair.host, pair.port)],
        };
        match at.document.and_then(|document| Some((user_of(document)?, password_of(document)?))) {
            None => found
                .push("the document has no login of PostgreSQL yet; put the present one into it".to_owned()),
            Some((user, password)) => {
                match self.admin.logs_in(&user, &password).await {
                    Ok(true) => {}
                    Ok(false) => {
                        found.push(format!("PostgreSQL refuses the login of {user} that is in the document"))
                    }
                    Err(error) => found.push(error.to_string()),
                }
                if !pair.users.contains(&user) {
                    tracing::info!(
                        user,
                        "none of the pair: it is replaced by the first rotation and left as it is"
                    );
                }
            }
        }
        found
    }
}

impl Target for PgAlternating {
    fn kind(&self) -> Kind {
        Kind::PgAlternating
    }

    fn prepare<'a>(&'a self, at: At<'a>) -> BoxFuture<'a, Result<Pending, Failure>> {
        Box::pin(std::future::ready(self.prepared(at)))
    }

    fn apply<'a>(&'a self, at: At<'a>, pending: &'a Pending) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(self.applied(at, pending))
    }

    fn verify<'a>(&'a self, at: At<'a>, pending: &'a Pending) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(self.verified(at, pending))
    }

    fn promote(&self, at: At<'_>, pending: &Pending) -> Result<Document, Failure> {
        let user = pending.principal.as_deref().unwrap_or_default();
        if !self.pair.users.iter().any(|known| known == user) {
            return Err(Failure::config(
                "the pending user is none of the pair: the settings have changed meanwhile",
            ));
        }
        Ok(self.with_login(at, user, &pending.material, pending.gen_no))
    }

    fn drained<'a>(&'a self, at: At<'a>, gen_no: u64) -> BoxFuture<'a, Result<Drained, Failure>> {
        Box::pin(self.sessions(at, gen_no))
    }

    fn retire<'a>(&'a self, at: At<'a>, gen_no: u64) -> BoxFuture<'a, Result<Option<Document>, Failure>> {
        Box::pin(async move { self.retired(at, gen_no).await.map(|()| None) })
    }

    fn undo<'a>(
        &'a self,
        at: At<'a>,
        pending: &'a Pending,
    ) -> BoxFuture<'a, Result<Option<Document>, Failure>> {
        Box::pin(async move { self.undone(at, pending).await.map(|()| None) })
    }

    fn rollback(&self, at: At<'_>, gen_no: u64) -> Result<Document, Failure> {
        let gone = || Failure::config("the login from before is in no document any more");
        let noted = at.record.retiring_gen(gen_no).and_then(|old| old.principal.clone());
        let user = noted.or_else(|| at.earlier.and_then(user_of)).ok_or_else(gone)?;
        let password = at.old_material(gen_no).map(SecretText::duplicate);
        let password = password.or_else(|| at.earlier.and_then(password_of)).ok_or_else(gone)?;
        Ok(self.with_login(at, &user, &password, gen_no))
    }

    fn works<'a>(&'a self, at: At<'a>, which: Which<'a>) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(self.tried(at, which))
    }

    fn check<'a>(&'a self, at: At<'a>) -> BoxFuture<'a, Vec<String>> {
        Box::pin(self.findings(at))
    }
}

/// The administrator's connection; user and password are put in by the library.
fn connection(pair: &PgPair) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    format!(
        "host={} port={} dbname={} sslmode={} application_name=coffre-rotate user={{{{username}}}} password={{{{password}}}}",
        quoted(&pair.host),
        pair.port,
        quoted(&pair.database),
        quoted(&pair.sslmode)
    )
}

/// The user in a document: `username`, or that of the address in `value`.
fn user_of(document: &Document) -> Option<String> {
    if let Some(user) = document.get::<String>("username") {
        return Some(user);
    }
    let value = document.field("value")?;
    // EXPOSE: taken apart; a user name is no secret.
    let (_, login, _) = address(value.expose())?;
    decoded(login.split_once(':').map_or(login, |(user, _)| user)).filter(|user| !user.is_empty())
}

/// The password in a document: `password`, or that of the address in `value`.
fn password_of(document: &Document) -> Option<SecretText> {
    document.field("password").or_else(|| {
        let value = document.field("value")?;
        // EXPOSE: taken apart; the result is wrapped again.
        let (_, login, _) = address(value.expose())?;
        login.split_once(':').and_then(|(_, password)| decoded(password)).map(SecretText::new)
    })
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// `postgresql://user:password@host…` with another login; anything else is a bare password and replaced.
fn readdressed(value: &SecretText, user: &str, password: &SecretText) -> SecretText {
    // EXPOSE: put together again; the result is wrapped.
    match address(value.expose()) {
        None => password.duplicate(),
        Some((scheme, _, place)) => {
            let user = utf8_percent_encode(user, NON_ALPHANUMERIC);
            let password = utf8_percent_encode(password.expose(), NON_ALPHANUMERIC);
            SecretText::new(format!("{scheme}://{user}:{password}@{place}"))
        }
    }
}

/// Scheme, login (may be empty) and the rest of an address; SQLAlchemy's `postgresql+driver` too.
fn address(value: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = value.split_once("://")?;
    if !["postgresql", "postgres"].contains(&scheme.split('+').next().unwrap_or_default()) {
        return None;
    }
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest.get(..authority)?.rfind('@') {
        None => Some((scheme, "", rest)),
        Some(at) => Some((scheme, rest.get(..at)?, rest.get(at.saturating_add(1)..)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_its_place_and_gets_the_new_login() {
        let new = SecretText::from("n@w/p:w");
        for (before, after) in [
            (
                "postgresql://app:old@h:5432/d?sslmode=require",
                "postgresql://app%5Fb:n%40w%2Fp%3Aw@h:5432/d?sslmode=require",
            ),
            ("postgresql+psycopg://a:b@c@h/x@y", "postgresql+psycopg://app%5Fb:n%40w%2Fp%3Aw@h/x@y"),
            ("postgres://h/d", "postgres://app%5Fb:n%40w%2Fp%3Aw@h/d"),
            ("old", "n@w/p:w"),
            ("mysql://x:y@z", "n@w/p:w"),
        ] {
            assert_eq!(readdressed(&before.into(), "app_b", &new).expose(), after);
        }
    }

    #[test]
    fn the_login_is_found_where_it_stands() {
        let found = |text: &str| {
            let document = Document::parse(&text.into()).unwrap();
            (user_of(&document), password_of(&document).map(|password| password.expose().clone()))
        };
        let both = |user: &str, password: &str| (Some(user.to_owned()), Some(password.to_owned()));
        assert_eq!(found(r#"{"username":"u","password":"p","value":"v"}"#), both("u", "p"));
        assert_eq!(found(r#"{"value":"postgresql://a%40b:n%40w@h/0"}"#), both("a@b", "n@w"));
        assert_eq!(found(r#"{"value":"postgresql://h/0"}"#), (None, None));
        assert_eq!(found(r#"{"value":"v"}"#), (None, None));
    }
}
