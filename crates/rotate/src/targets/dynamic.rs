use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use coffre_ambient::Wall;
use coffre_rotation::{Kind, Pending};
use coffre_secret::SecretText;
use serde::Deserialize;
use serde_json::json;

use super::leases::{Leases, lifetime};
use crate::{At, BoxFuture, Document, Failure, Target, Which};

/// A lease that ends by itself within this is left to.
const SOON: Duration = Duration::from_secs(600);

/// A user that a database engine makes for a while (`dynamic`), for consumers that read a document instead of holding a
/// lease themselves. PREPARE takes a lease, PROMOTE puts its user into the document, RETIRE ends the lease before. The
/// hourly look at the active one renews its lease.
///
/// A crash between the vault's answer and the record's write leaves a lease that nobody knows: it ends by itself, and the
/// budget keeps such leases few. Beyond the budget the rotation halts instead of making another user.
pub struct Dynamic {
    leases: Box<dyn Leases>,
    budget: Budget,
    /// What the manifest promises to consumers.
    declared: Duration,
    taken: Mutex<VecDeque<Wall>>,
    place: Option<Place>,
}

/// How many users may be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// At once, by whomever.
    pub live: u32,
    /// In a minute, by this process.
    pub per_minute: u32,
}

/// Where the users log in: put into the document, and tried before.
pub struct Place {
    /// Tries a login there; `Ok(false)` only if the server refused it.
    pub login: Box<dyn Login>,
    /// `host`, `port`, `database` and the like.
    pub fields: Vec<(String, serde_json::Value)>,
}

/// Tries a login as a consumer would.
pub trait Login: Send + Sync {
    /// Whether it is accepted.
    fn works<'a>(&'a self, user: &'a str, password: &'a SecretText) -> BoxFuture<'a, Result<bool, Failure>>;
}

impl Login for coffre_database::postgresql::Admin {
    fn works<'a>(&'a self, user: &'a str, password: &'a SecretText) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(async move { Ok(self.logs_in(user, password).await?) })
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self { live: 20, per_minute: 6 }
    }
}

/// What PREPARE keeps in the record.
struct Material {
    lease: String,
    expires: Wall,
    username: String,
    password: SecretText,
}

impl Material {
    fn of(pending: &Pending) -> Result<Self, Failure> {
        #[derive(Deserialize)]
        struct Form {
            lease: String,
            expires: String,
            username: String,
            password: String,
        }
        // EXPOSE: taken apart; the password is wrapped again. serde's message may quote it, so it is dropped.
        let form: Form = serde_json::from_str(pending.material.expose())
            .map_err(|_| Failure::config("the pending material is no lease"))?;
        Ok(Self {
            lease: form.lease,
            expires: Wall::parse(&form.expires).unwrap_or_default(),
            username: form.username,
            password: SecretText::new(form.password),
        })
    }
}

impl Dynamic {
    /// `declared` is how long a credential lives by the manifest.
    pub fn new(
        leases: impl Leases + 'static,
        budget: Budget,
        declared: Duration,
        place: Option<Place>,
    ) -> Self {
        Self { leases: Box::new(leases), budget, declared, taken: Mutex::default(), place }
    }

    async fn prepared(&self, at: At<'_>) -> Result<Pending, Failure> {
        let real = lifetime(self.leases.longest().await?, &self.leases.token().await?);
        if let Some(short) = self.too_short(real) {
            return Err(Failure::config(short).advise(
                "Give the rotator a periodic token and the role that max_ttl, then `coffre rotate resume`.",
            ));
        }
        self.within_budget(at.now).await?;
        let lease = self.leases.issue().await?;
        // EXPOSE: goes into the record as one secret text.
        let material = json!({
            "lease": lease.id, "expires": at.now.plus(lease.duration).rfc3339(),
            "username": lease.username, "password": lease.password.expose(),
        });
        Ok(Pending {
            gen_no: at.next_gen(),
            principal: Some(lease.username),
            material: SecretText::new(material.to_string()),
            created: at.now,
        })
    }

    fn too_short(&self, real: Option<Duration>) -> Option<String> {
        let real = real.filter(|real| *real < self.declared)?;
        Some(format!(
            "a credential is declared to live for {} and would really live for {} at most: its lease or the token that takes it ends then",
            shown(self.declared),
            shown(real)
        ))
    }

    async fn within_budget(&self, now: Wall) -> Result<(), Failure> {
        let Budget { live, per_minute } = self.budget;
        if let Some(found) = self.leases.live().await?
            && found >= u64::from(live)
        {
            return Err(Failure::config(format!("{found} leases of this role live, max_live_leases is {live}"))
                .advise("Look who takes them (`coffre list sys/leases/lookup/…`), revoke what nobody uses, then `coffre rotate resume`."));
        }
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|then| now.since(*then) < Duration::from_secs(60));
        if taken.len() >= usize::try_from(per_minute).unwrap_or(usize::MAX) {
            return Err(Failure::config(format!(
                "{per_minute} users were made within a minute (per_minute)"
            ))
            .advise("Something asks for user after user: find it, then `coffre rotate resume`."));
        }
        taken.push_back(now);
        Ok(())
    }

    async fn logs_in(&self, user: &str, password: &SecretText) -> Result<bool, Failure> {
        match &self.place {
            Some(place) => place.login.works(user, password).await,
            None => Ok(true),
        }
    }

    async fn verified(&self, pending: &Pending) -> Result<(), Failure> {
        let made = Material::of(pending)?;
        if self.logs_in(&made.username, &made.password).await? {
            return Ok(());
        }
        Err(Failure::permanent(format!("the database refuses the new user {}", made.username)))
    }

    /// Ends the lease in an earlier document, unless it is about to.
    async fn retired(&self, at: At<'_>, gen_no: u64) -> Result<(), Failure> {
        let Some(earlier) = at.earlier else { return Ok(()) };
        let Some(lease) = earlier.get::<String>("lease_id") else { return Ok(()) };
        if at.document.and_then(|document| document.get::<String>("lease_id")).as_ref() == Some(&lease) {
            return Err(Failure::conflict("the lease to be ended is the one in use"));
        }
        let expires = earlier.get::<String>("expires").and_then(|text| Wall::parse(&text));
        let leaked = at.record.retiring_gen(gen_no).is_some_and(|old| old.compromised);
        let soon = expires.is_some_and(|end| end.since(at.now) < SOON) && !self.renewed(&lease).await?;
        if soon && !leaked { Ok(()) } else { self.leases.revoke(&lease).await }
    }

    /// Whether it still lives; what is renewed lives longer than its document says.
    async fn renewed(&self, lease: &str) -> Result<bool, Failure> {
        self.leases.renew(lease).await
    }

    async fn tried(&self, at: At<'_>, which: Which<'_>) -> Result<bool, Failure> {
        let document = match which {
            Which::Pending(pending) => {
                let made = Material::of(pending)?;
                return self.logs_in(&made.username, &made.password).await;
            }
            Which::Active => at.document,
            Which::Earlier => at.earlier,
        };
        let none = || Failure::config("the document has no leased user");
        let document = document.ok_or_else(none)?;
        let user: String = document.get("username").ok_or_else(none)?;
        let password = document.field("password").ok_or_else(none)?;
        if matches!(which, Which::Active)
            && let Some(lease) = document.get::<String>("lease_id")
            && !self.renewed(&lease).await?
        {
            return Ok(false);
        }
        self.logs_in(&user, &password).await
    }

    async fn findings(&self) -> Vec<String> {
        let facts = async {
            let real = lifetime(self.leases.longest().await?, &self.leases.token().await?);
            Ok::<_, Failure>((real, self.leases.live().await?))
        };
        match facts.await {
            Err(failure) => vec![failure.message().to_owned()],
            Ok((real, live)) => {
                let most = u64::from(self.budget.live);
                let full = live.filter(|live| *live >= most);
                let full = full.map(|live| {
                    format!("{live} leases of this role live already, max_live_leases is {most}")
                });
                self.too_short(real).into_iter().chain(full).collect()
            }
        }
    }
}

impl Target for Dynamic {
    fn kind(&self) -> Kind {
        Kind::Dynamic
    }

    fn prepare<'a>(&'a self, at: At<'a>) -> BoxFuture<'a, Result<Pending, Failure>> {
        Box::pin(self.prepared(at))
    }

    fn verify<'a>(&'a self, _at: At<'a>, pending: &'a Pending) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(self.verified(pending))
    }

    fn promote(&self, at: At<'_>, pending: &Pending) -> Result<Document, Failure> {
        let made = Material::of(pending)?;
        let document = at.document.map(Document::duplicate).unwrap_or_default();
        let fields = self.place.iter().flat_map(|place| place.fields.iter());
        let document =
            fields.fold(document, |document, (name, value)| document.with_plain(name, value.clone()));
        Ok(document
            .with_plain("username", made.username)
            .with("password", &made.password)
            .with_plain("lease_id", made.lease)
            .with_plain("expires", made.expires.rfc3339())
            .with_plain("schema", "credential/1")
            .with_plain("gen", pending.gen_no))
    }

    fn retire<'a>(&'a self, at: At<'a>, gen_no: u64) -> BoxFuture<'a, Result<Option<Document>, Failure>> {
        Box::pin(async move { self.retired(at, gen_no).await.map(|()| None) })
    }

    fn undo<'a>(
        &'a self,
        _at: At<'a>,
        pending: &'a Pending,
    ) -> BoxFuture<'a, Result<Option<Document>, Failure>> {
        Box::pin(async move {
            self.leases.revoke(&Material::of(pending)?.lease).await?;
            Ok(None)
        })
    }

    fn rollback(&self, at: At<'_>, gen_no: u64) -> Result<Document, Failure> {
        let earlier = at.earlier.map(Document::duplicate);
        let earlier =
            earlier.ok_or_else(|| Failure::config("the user from before is in no document any more"))?;
        Ok(earlier.with_plain("gen", gen_no))
    }

    fn works<'a>(&'a self, at: At<'a>, which: Which<'a>) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(self.tried(at, which))
    }

    fn check<'a>(&'a self, _at: At<'a>) -> BoxFuture<'a, Vec<String>> {
        Box::pin(self.findings())
    }
}

/// `168h` or `90s`.
fn shown(length: Duration) -> String {
    match length.as_secs() {
        seconds if seconds > 0 && seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        seconds => format!("{seconds}s"),
    }
}

#[cfg(test)]
#[path = "dynamic_tests.rs"]
mod tests;
