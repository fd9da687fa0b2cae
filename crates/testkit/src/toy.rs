//! A secrets engine with leases: each read of `creds/<role>` makes an account in a [`Target`] and leases it.
//!
//! Storage below the mount: `intent/<account>`, when the account was about to be made. `adding-an-engine.md` walks
//! through this file.

use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::{Wall, ids};
use coffre_api::coerce::{LooseBool, Ttl};
use coffre_api::{Access, Endpoint, Op, Refusal, Template};
use coffre_engine::{
    Cx, Engine, Lease, LeaseFacts, LeaseRow, Leased, MountCx, Renewal, Renewed, Reply, Row, Serve, storage,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Target;

/// Whose account, and for how long.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ToyCredsInput")]
pub struct CredsInput {
    /// The account's name begins with it.
    pub role: String,
    /// How long it lives at first; the mount's default if absent.
    #[serde(default)]
    pub ttl: Ttl,
    /// How long renewals may make it.
    #[serde(default)]
    pub max_ttl: Ttl,
    /// Whether it ends with its first life.
    #[serde(default)]
    pub fixed: LooseBool,
}

/// An account.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ToyCredsOutput")]
pub struct CredsOutput {
    /// Its name.
    pub username: String,
}

/// Make an account.
pub struct ReadCreds;

impl Endpoint for ReadCreds {
    type Input = CredsInput;
    type Output = CredsOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("creds/{role}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Make an account.";
}

/// The engine.
pub struct Toy {
    target: Arc<Target>,
}

impl Toy {
    /// Makes its accounts there.
    pub const fn new(target: Arc<Target>) -> Self {
        Self { target }
    }
}

impl Engine for Toy {
    const KIND: &'static str = "toy";
    const ROWS: &'static [Row<Self>] = &[Row::of::<ReadCreds>()];
    const LEASES: &'static [LeaseRow<Self>] = &[LeaseRow::of::<AccountFacts>()];

    async fn tidy(&self, cx: MountCx<'_>) -> Result<(), Refusal> {
        let view = cx.view()?;
        for path in view.scan("intent/", None, 100).await.map_err(storage)?.names {
            let Some(note) = view.get(&path).await.map_err(storage)? else { continue };
            // EXPOSE: a time, written by ourselves.
            let made = String::from_utf8_lossy(note.expose()).parse().map(Wall::from_nanos);
            if made.is_ok_and(|made| cx.now().since(made) < LONGEST_REQUEST) {
                continue;
            }
            self.target.drop_account(path.trim_start_matches("intent/")).await?;
            view.delete(&path).await.map_err(storage)?;
        }
        Ok(())
    }
}

/// An intent that is older belongs to no request any more.
const LONGEST_REQUEST: Duration = Duration::from_secs(300);

impl Serve<ReadCreds> for Toy {
    async fn serve(&self, cx: Cx<'_>, input: CredsInput) -> Result<Reply<CredsOutput>, Refusal> {
        let username = format!("{}-{}", input.role, ids::hex(cx.entropy(), 8).map_err(Refusal::bug)?);
        let intent = format!("intent/{username}");
        // First the note, then the account: whatever happens now, the account can be found again.
        cx.view()?.put(&intent, cx.now().nanos().to_string().as_bytes()).await.map_err(storage)?;
        self.target.create(&username).await?;
        let facts = AccountFacts { username: username.clone() };
        let lease = Lease::new(facts).ttl(input.ttl.duration()).max_ttl(input.max_ttl.duration());
        let lease = if input.fixed.0 { lease.not_renewable() } else { lease };
        // The kernel keeps the lease and removes the note in one transaction, before the answer leaves.
        Ok(Reply::leased(CredsOutput { username }, lease.settling(intent)))
    }
}

/// What is stored of a lease.
#[derive(Debug, Serialize, Deserialize)]
pub struct AccountFacts {
    username: String,
}

impl LeaseFacts for AccountFacts {
    const KIND: &'static str = "account";
}

impl Leased<AccountFacts> for Toy {
    async fn renew(
        &self,
        _: MountCx<'_>,
        facts: &AccountFacts,
        asked: Renewal<'_>,
    ) -> Result<Renewed<AccountFacts>, Refusal> {
        self.target.extend(&facts.username, asked.until).await?;
        Ok(Renewed::as_asked())
    }

    async fn revoke(&self, _: MountCx<'_>, facts: &AccountFacts) -> Result<(), Refusal> {
        self.target.drop_account(&facts.username).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds() {
        assert_eq!(coffre_engine::check_table::check::<Toy>(), []);
    }
}
