use coffre_database::redis::{Account, Admin, Persistence};
use coffre_database::{Settings, password};
use coffre_rotation::{Kind, Pending, Reason};
use coffre_secret::SecretText;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{At, BoxFuture, Document, Failure, Target, Which};

/// A user of Redis or Valkey that stays, and whose password changes: for a while it has two (`redis-two-password`).
///
/// The document has `username`, `password`, `host` and `port`. If it had a `value` before, that follows: the password, or
/// a `redis://` address with the new password in it.
pub struct RedisTwoPassword {
    admin: Admin,
    administrator: String,
    user: String,
    host: String,
    port: u16,
    probe: RedisProbe,
}

/// What the user must be allowed and must not be, tried with the new password before consumers get it. Commands with
/// their arguments, as lists of words; empty: only the login is tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisProbe {
    /// Carried out as the user, so it should only read.
    pub allowed: Vec<String>,
    /// Never carried out: the server is asked whether it would be.
    pub denied: Vec<String>,
}

impl RedisTwoPassword {
    /// `admin` is how the administrator reaches the server, and `user` the application's. Connects to nothing.
    ///
    /// # Errors
    /// A configuration failure that names the setting.
    pub fn new(
        admin: Settings,
        persistence: Persistence,
        user: impl Into<String>,
        probe: RedisProbe,
    ) -> Result<Self, Failure> {
        let (host, port) = (admin.host.clone().unwrap_or_default(), admin.port.unwrap_or(6379));
        let (user, administrator) = (user.into(), admin.username.clone());
        if user == administrator {
            return Err(Failure::config("the administrator of Redis cannot be the user that is rotated"));
        }
        Ok(Self { admin: Admin::open(admin, persistence)?, administrator, user, host, port, probe })
    }

    async fn applied(&self, at: At<'_>, pending: &Pending) -> Result<(), Failure> {
        let kept = self.admin.add(&self.user, &pending.material, at.fence).await?;
        tracing::debug!(user = %self.user, ?kept, "Redis takes the new password");
        Ok(())
    }

    async fn verified(&self, pending: &Pending) -> Result<(), Failure> {
        let (user, new) = (&self.user, &pending.material);
        if !self.admin.logs_in(user, new).await? {
            return Err(Failure::permanent(format!("Redis refuses the new password of {user}")));
        }
        if !self.probe.allowed.is_empty() && !self.admin.allows(user, new, &self.probe.allowed).await? {
            return Err(Failure::config(format!("Redis does not allow {user} the command of the probe"))
                .advise(
                    "Give the user the right, or correct `probe.allowed`, then `coffre rotate resume`.",
                ));
        }
        if !self.probe.denied.is_empty() && !self.admin.denies(user, new, &self.probe.denied).await? {
            return Err(Failure::config(format!(
                "Redis allows {user} the command that it must not be able to use"
            ))
            .advise(
                "Take the right from the user, or correct `probe.denied`, then `coffre rotate resume`.",
            ));
        }
        Ok(())
    }

    /// Takes the old password away. After a compromise the connections go too: removing a password leaves them open.
    async fn retired(&self, at: At<'_>, gen_no: u64) -> Result<(), Failure> {
        let old =
            at.old_material(gen_no).map(SecretText::duplicate).or_else(|| at.earlier.and_then(password_of));
        let Some(old) = old else {
            return Err(Failure::config(
                "the old password is in no document any more, so it cannot be taken away",
            )
            .advise("Remove it with ACL SETUSER (`!` and its hash) and save, then `coffre rotate resume`."));
        };
        if at.document.and_then(password_of).is_some_and(|active| same(&active, &old)) {
            return Err(Failure::conflict("the password to be taken away is the active one"));
        }
        self.admin.remove(&self.user, &old, at.fence).await?;
        let leaked = at.record.retiring_gen(gen_no).is_some_and(|retiring| retiring.compromised);
        if leaked || at.record.reason == Reason::Compromised {
            self.admin.kill(&self.user).await?;
        }
        Ok(())
    }

    async fn undone(&self, at: At<'_>, pending: &Pending) -> Result<(), Failure> {
        if self.admin.account(&self.user).await?.is_none() {
            return Ok(());
        }
        self.admin.remove(&self.user, &pending.material, at.fence).await?;
        Ok(())
    }

    async fn tried(&self, at: At<'_>, which: Which<'_>) -> Result<bool, Failure> {
        let found = match which {
            Which::Active => at.document.and_then(password_of),
            Which::Pending(pending) => Some(pending.material.duplicate()),
            Which::Earlier => at.earlier.and_then(password_of),
        };
        let password = found.ok_or_else(|| {
            Failure::config("the document has no password for Redis")
                .advise("Put `username` and `password` into it, then `coffre rotate resume`.")
        })?;
        Ok(self.admin.logs_in(&self.user, &password).await?)
    }

    /// The document as it is, with this password in it.
    fn with_password(&self, at: At<'_>, password: &SecretText, gen_no: u64) -> Document {
        let before = at.document.map(Document::duplicate).unwrap_or_default();
        let value = before.field("value").map(|value| readdressed(&value, &self.user, password));
        let document = before
            .with("username", &SecretText::from(self.user.as_str()))
            .with("password", password)
            .with("host", &SecretText::from(self.host.as_str()))
            .with_plain("port", self.port)
            .with_plain("schema", "credential/1")
            .with_plain("gen", gen_no);
        match value {
            Some(value) => document.with("value", &value),
            None => document,
        }
    }

    async fn findings(&self, at: At<'_>) -> Vec<String> {
        let mut findings = match self.admin.account(&self.user).await {
            Err(error) => return vec![format!("Redis at {}:{}: {error}", self.host, self.port)],
            Ok(account) => about(&self.user, account.as_ref()),
        };
        if let Err(error) = self.admin.check_persistence().await {
            findings.push(error.to_string());
        }
        match self.admin.missing_rights(&self.user).await {
            Ok(missing) if missing.is_empty() => {}
            Ok(missing) => findings.push(format!(
                "the administrator of Redis lacks rights: ACL SETUSER {} {}",
                self.administrator,
                missing.join(" ")
            )),
            Err(error) => findings.push(error.to_string()),
        }
        match at.document.and_then(password_of) {
            None => findings
                .push("the document has no password for Redis yet; put the present one into it".to_owned()),
            Some(active) => match self.admin.logs_in(&self.user, &active).await {
                Ok(true) => {}
                Ok(false) => findings
                    .push(format!("Redis refuses the password of {} that is in the document", self.user)),
                Err(error) => findings.push(error.to_string()),
            },
        }
        findings
    }
}

impl Target for RedisTwoPassword {
    fn kind(&self) -> Kind {
        Kind::RedisTwoPassword
    }

    fn prepare<'a>(&'a self, at: At<'a>) -> BoxFuture<'a, Result<Pending, Failure>> {
        let made = password::generate(at.entropy).map_err(Failure::from).map(|material| Pending {
            gen_no: at.next_gen(),
            principal: Some(self.user.clone()),
            material,
            created: at.now,
        });
        Box::pin(std::future::ready(made))
    }

    fn apply<'a>(&'a self, at: At<'a>, pending: &'a Pending) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(self.applied(at, pending))
    }

    fn verify<'a>(&'a self, _at: At<'a>, pending: &'a Pending) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(self.verified(pending))
    }

    fn promote(&self, at: At<'_>, pending: &Pending) -> Result<Document, Failure> {
        Ok(self.with_password(at, &pending.material, pending.gen_no))
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
        let old =
            at.old_material(gen_no).map(SecretText::duplicate).or_else(|| at.earlier.and_then(password_of));
        let old =
            old.ok_or_else(|| Failure::config("the password from before is in no document any more"))?;
        Ok(self.with_password(at, &old, gen_no))
    }

    fn works<'a>(&'a self, at: At<'a>, which: Which<'a>) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(self.tried(at, which))
    }

    fn check<'a>(&'a self, at: At<'a>) -> BoxFuture<'a, Vec<String>> {
        Box::pin(self.findings(at))
    }
}

fn about(user: &str, account: Option<&Account>) -> Vec<String> {
    let Some(account) = account else { return vec![format!("there is no user {user} in Redis")] };
    let mut findings = Vec::new();
    if account.nopass {
        findings.push(format!("the Redis user {user} may log in with any password (`nopass`); give it one"));
    }
    if !account.enabled {
        findings.push(format!("the Redis user {user} is switched off"));
    }
    if account.hashes.len() > 1 {
        let count = account.hashes.len();
        findings.push(format!("the Redis user {user} has {count} passwords; remove those that nobody uses"));
    }
    findings
}

/// The password in a document: `password`, or that of the address in `value`, or `value` itself.
fn password_of(document: &Document) -> Option<SecretText> {
    document.field("password").or_else(|| {
        let value = document.field("value")?;
        // EXPOSE: taken apart; the result is wrapped again.
        match address(value.expose()) {
            None => Some(value),
            Some((_, login, _)) => {
                let (_, password) = login.split_once(':')?;
                percent_decode_str(password).decode_utf8().ok().map(|text| SecretText::new(text.into_owned()))
            }
        }
    })
}

/// `redis://user:password@host…` with another login; anything else is a bare password and replaced.
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

/// Scheme, login (may be empty) and the rest of an address.
fn address(value: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = value.split_once("://")?;
    if !["redis", "rediss", "valkey", "valkeys"].contains(&scheme) {
        return None;
    }
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let at = rest.get(..authority)?.rfind('@');
    Some(match at {
        None => (scheme, "", rest),
        Some(at) => (scheme, rest.get(..at)?, rest.get(at + 1..)?),
    })
}

fn same(one: &SecretText, other: &SecretText) -> bool {
    // EXPOSE: compared in constant time.
    one.ct_eq(other.expose().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_its_place_and_gets_the_new_login() {
        let new = SecretText::from("n@w/p:w");
        for (before, after) in [
            ("redis://app:old@h:6379/0?ssl=1", "redis://app:n%40w%2Fp%3Aw@h:6379/0?ssl=1"),
            ("rediss://:old@h", "rediss://app:n%40w%2Fp%3Aw@h"),
            ("redis://h:1/2", "redis://app:n%40w%2Fp%3Aw@h:1/2"),
            ("redis://a:b@c@h/x@y", "redis://app:n%40w%2Fp%3Aw@h/x@y"),
            ("old", "n@w/p:w"),
            ("http://x:y@z", "n@w/p:w"),
        ] {
            assert_eq!(readdressed(&before.into(), "app", &new).expose(), after);
        }
    }

    #[test]
    fn the_password_is_found_where_it_stands() {
        let found = |text: &str| {
            let document = Document::parse(&text.into()).unwrap();
            password_of(&document).map(|password| password.expose().clone())
        };
        assert_eq!(found(r#"{"password":"p","value":"v"}"#).unwrap(), "p");
        assert_eq!(found(r#"{"value":"v"}"#).unwrap(), "v");
        assert_eq!(found(r#"{"value":"redis://app:n%40w@h/0"}"#).unwrap(), "n@w");
        assert_eq!(found(r#"{"value":"redis://h/0"}"#), None);
        assert_eq!(found("{}"), None);
    }
}
