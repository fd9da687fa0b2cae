//! Making a user for a caller.

use std::time::Duration;

use coffre_ambient::Wall;
use coffre_api::database::{CredsOutput, Named, ReadCreds};
use coffre_api::{Refusal, SecretField};
use coffre_database::{ErrorKind, NewUser};
use coffre_engine::{Cx, Lease, MountFacts, Reply, Serve};

use super::connections::told;
use super::intents::Intent;
use super::lease::UserFacts;
use super::model::{Role, checked_name, read, role_key};
use super::names::{self, Naming};
use super::{Databases, allowed};

impl Serve<ReadCreds> for Databases {
    async fn serve(&self, cx: Cx<'_>, input: Named) -> Result<Reply<CredsOutput>, Refusal> {
        let name = checked_name(&input.name)?;
        let role: Option<Role> = read(cx.view()?, &role_key(name)).await?;
        let role = role.ok_or_else(|| Refusal::invalid(format!("unknown role: {name}")))?;
        let mount = cx.on_mount();
        let (connection, database) = self.reach(mount, &role.db_name).await?;
        allowed::check(&connection, name)?;
        let password =
            self.draw(cx.entropy(), &connection, role.credential_config.get("password_policy")).await?;
        let display_name =
            cx.caller().and_then(|caller| caller.as_token()).map(|token| token.display_name.as_str());
        let naming = Naming { display_name: display_name.unwrap_or_default(), role: name, now: cx.now() };
        let username = names::draw(&connection, naming, cx.entropy())?;
        let begun = cx.now();
        let life = lifetime(cx, &role);
        let until = whole(begun.plus(life));
        let intent = Intent {
            user: username.clone(),
            db: role.db_name.clone(),
            revocation: role.revocation.clone(),
            made: begun.nanos(),
            until: until.nanos(),
            process: self.connections.reach().process(cx.entropy())?.to_owned(),
        };
        let noted = self.announce(mount, &intent).await?;
        let user = NewUser {
            name: &username,
            password: &password,
            until,
            statements: &role.creation,
            rollback: &role.rollback,
        };
        if let Err(error) = database.create(&user).await {
            // Nothing was left, says the database. If it does not say anything, the note stays: it knows whom to remove.
            if !matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Failed) {
                self.retract(mount, &noted).await?;
            }
            return Err(told(&error));
        }
        // The lease must not outlive the user: what the database took to make it is not given a second time.
        let spent = Duration::from_secs(cx.now().since(begun).as_secs());
        let facts = UserFacts {
            user: username.clone(),
            db: role.db_name,
            role: name.to_owned(),
            revocation: role.revocation,
            renew: role.renew,
        };
        let lease = Lease::new(facts)
            .ttl(life.saturating_sub(spent).max(Duration::from_secs(1)))
            .max_ttl(Duration::from_secs(role.max_ttl))
            .settling(noted);
        Ok(Reply::leased(CredsOutput { username, password: SecretField::new(password) }, lease))
    }
}

/// How long the user lives at first: as the kernel will compute for its lease.
fn lifetime(cx: Cx<'_>, role: &Role) -> Duration {
    let MountFacts { default_ttl, max_ttl, .. } = cx.mount();
    let given = |secs: u64| (secs > 0).then(|| Duration::from_secs(secs));
    let asked = given(role.default_ttl).unwrap_or(*default_ttl);
    let most = given(role.max_ttl).map_or(*max_ttl, |role_max| role_max.min(*max_ttl));
    asked.min(most).min(left(cx))
}

/// The same time or up to a second later: databases are told whole seconds, and would cut the rest off.
pub(super) fn whole(at: Wall) -> Wall {
    Wall::from_secs(at.nanos().div_ceil(1_000_000_000))
}

/// What is left of a token that is not stored and so cannot take its leases with it.
fn left(cx: Cx<'_>) -> Duration {
    let token = cx.caller().and_then(|caller| caller.as_token());
    let batch = token.filter(|token| token.token_type == "batch" && !token.ttl.is_zero());
    batch.map_or(Duration::MAX, |token| end(token.issued, token.ttl).since(cx.now()))
}

fn end(issued: Wall, ttl: Duration) -> Wall {
    issued.plus(ttl)
}
