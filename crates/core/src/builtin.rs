//! The engines that are linked in: the only place of the kernel that names them.
//!
//! To add an engine: write its crate module with its table, add an arm to [`build`] and its name to [`secrets_kind`] or
//! [`auth_kind`]. Nothing else in the kernel changes: routing, policy and audit follow from the table. Tests link engines
//! of their own with [`Linked`].

use std::sync::{Arc, Weak};

use coffre_api::{BoxFuture, Refusal};
use coffre_barrier::View;
use coffre_database::Connector;
use coffre_engine::{Engine, Mount, MountFacts};
use coffre_engines::cubbyhole::Cubbyhole;
use coffre_engines::database::{Databases, PasswordPolicies, Reach};
use coffre_engines::kv;
use coffre_methods::approle::AppRole;
use coffre_methods::kubernetes::Kubernetes;
pub use coffre_methods::kubernetes::{Question, Review, ReviewError, TokenReviewer};
use coffre_methods::userpass::UserPass;
use coffre_password::PasswordPolicy;

use crate::identity::method::Identity;
use crate::kernel::Kernel;
use crate::keys;
use crate::mounts::MountEntry;
use crate::settings::Settings;
use crate::sys::Sys;
use crate::tokens::method::TokenMethod;

/// What is handed to the engines from outside the kernel, and engines besides the ones listed here, by kind: for tests,
/// and for trying an engine before it is listed.
pub struct Linked {
    further: Vec<Further>,
    reviewer: Option<Arc<dyn TokenReviewer>>,
    databases: Arc<Reach>,
}

impl Default for Linked {
    fn default() -> Self {
        Self { further: Vec::new(), reviewer: None, databases: Arc::new(Reach::new(None)) }
    }
}

struct Further {
    kind: &'static str,
    is_auth: bool,
    make: Box<dyn Fn(MountFacts, Option<View>) -> Mount + Send + Sync>,
}

impl Linked {
    /// Adds a secrets engine under its own kind.
    #[must_use]
    pub fn with_secrets<G: Engine>(self, engine: impl Fn() -> G + Send + Sync + 'static) -> Self {
        self.with(false, engine)
    }

    /// Adds a login method under its own kind.
    #[must_use]
    pub fn with_method<G: Engine>(self, engine: impl Fn() -> G + Send + Sync + 'static) -> Self {
        self.with(true, engine)
    }

    /// Lets Kubernetes logins ask the cluster's API server.
    #[must_use]
    pub fn with_reviewer(self, reviewer: Arc<dyn TokenReviewer>) -> Self {
        Self { reviewer: Some(reviewer), ..self }
    }

    /// Lets the database engine reach databases.
    #[must_use]
    pub fn with_databases(self, connector: Arc<dyn Connector>) -> Self {
        Self { databases: Arc::new(Reach::new(Some(connector))), ..self }
    }

    fn with<G: Engine>(mut self, is_auth: bool, engine: impl Fn() -> G + Send + Sync + 'static) -> Self {
        let make = Box::new(move |facts, view| Mount::new(facts, engine(), view));
        self.further.push(Further { kind: G::KIND, is_auth, make });
        self
    }

    /// Whether a type can be enabled with `sys/mounts`, and under which name it is kept.
    pub(crate) fn secrets_kind(&self, kind: &str) -> Option<&'static str> {
        secrets_kind(kind).or_else(|| self.kind(kind, false))
    }

    /// Whether a type can be enabled with `sys/auth`.
    pub(crate) fn auth_kind(&self, kind: &str) -> Option<&'static str> {
        auth_kind(kind).or_else(|| self.kind(kind, true))
    }

    fn kind(&self, kind: &str, is_auth: bool) -> Option<&'static str> {
        let mut known = self.further.iter();
        known.find(|further| further.kind == kind && further.is_auth == is_auth).map(|further| further.kind)
    }

    fn build(&self, facts: &MountFacts, view: Option<&View>) -> Option<Mount> {
        let further = self.further.iter().find(|further| further.kind == facts.kind)?;
        Some((further.make)(facts.clone(), view.cloned()))
    }
}

/// Builds the engine of an entry.
pub(crate) fn build(
    entry: &MountEntry,
    settings: &Settings,
    root: &View,
    kernel: &Weak<Kernel>,
    before: Option<&Mount>,
) -> Result<Arc<Mount>, Refusal> {
    let facts = entry.facts(settings);
    let view = Some(root.sub(&keys::engine_prefix(&entry.uuid)));
    let kernel = Weak::clone(kernel);
    let held = kernel.upgrade();
    let linked = held.as_ref().map(|kernel| kernel.linked());
    let further = linked.and_then(|linked| linked.build(&facts, view.as_ref()));
    let reviewer = linked.and_then(|linked| linked.reviewer.clone());
    let databases = linked.map_or_else(|| Arc::new(Reach::new(None)), |linked| Arc::clone(&linked.databases));
    let mount = match entry.kind.as_str() {
        "system" => Mount::new(facts, Sys::new(kernel), view),
        "cubbyhole" => Mount::new(facts, Cubbyhole, view),
        "database" => Mount::new(facts, Databases::new(databases, Arc::new(Policies(kernel))), view),
        "identity" => Mount::new(facts, Identity::new(kernel), view),
        "token" => Mount::new(facts, TokenMethod::new(kernel), view),
        "approle" => Mount::new(facts, AppRole::default(), view),
        "userpass" => Mount::new(facts, UserPass, view),
        "kubernetes" => Mount::new(facts, Kubernetes::new(reviewer), view),
        kind => match further {
            Some(mount) => mount,
            None => match kv::parse_version(kind, &entry.options)? {
                kv::Version::V1 => Mount::new(facts, kv::v1::KvV1, view),
                kv::Version::V2 => Mount::new(facts, kv::v2::KvV2, view),
            },
        },
    };
    Ok(Arc::new(match before {
        Some(old) => mount.succeeding(old),
        None => mount,
    }))
}

/// The password policies of the unsealed cluster, for engines that draw passwords.
struct Policies(Weak<Kernel>);

impl PasswordPolicies for Policies {
    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<PasswordPolicy>, Refusal>> {
        Box::pin(async move {
            let active = self.0.upgrade().and_then(|kernel| kernel.active()).ok_or_else(Refusal::sealed)?;
            active.operations.passwords.find(name).await
        })
    }
}

/// Deletes the private storage of a token that ended.
pub(crate) async fn destroy_private_space(cubbyhole: &View, space: &str) -> Result<(), Refusal> {
    coffre_engines::cubbyhole::destroy(cubbyhole, space).await
}

/// Whether a type can be enabled with `sys/mounts`, and under which name it is kept.
pub(crate) fn secrets_kind(kind: &str) -> Option<&'static str> {
    match kind {
        "kv" | "kv-v1" | "kv-v2" | "generic" => Some("kv"),
        "database" => Some("database"),
        _ => None,
    }
}

/// The kinds of databases that the database engine knows, by Vault's names.
pub(crate) const DATABASE_PLUGINS: &[&str] = &coffre_engines::database::PLUGINS;

/// Whether a type can be enabled with `sys/auth`.
pub(crate) fn auth_kind(kind: &str) -> Option<&'static str> {
    ["approle", "kubernetes", "userpass"].into_iter().find(|known| *known == kind)
}
