//! The policies of a cluster: storage is the truth, memory holds all of them parsed.
//!
//! A change goes to storage, then to the table in memory, then to the epoch. What tokens compiled in an older epoch is
//! compiled anew at their next request, so a policy takes effect with the next request, not with the next login.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use coffre_api::Refusal;
use coffre_api::sys::explain::DroppedRule;
use coffre_barrier::{View, ViewBatch};
use coffre_engine::storage;
use coffre_policy::{Acl, Policy, PolicyName, RESPONSE_WRAPPING_POLICY, TemplateValues};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::keys::{self, KernelKey};
use crate::stored;

/// A policy as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PolicyRecord {
    /// Its text, as written.
    pub(crate) text: String,
}

struct Known {
    text: String,
    parsed: Arc<Policy>,
}

/// Reads, writes and compiles policies. A write takes effect with the next request.
pub struct PolicyStore {
    root: View,
    known: ArcSwap<BTreeMap<String, Arc<Known>>>,
    epoch: AtomicU64,
    /// What sets of policies allow, compiled: tokens of one role share it.
    compiled: papaya::HashMap<String, (u64, Arc<Acl>)>,
    writing: Mutex<()>,
}

/// Sets of policies that stay compiled; beyond, all are compiled anew when they are needed.
const MOST_COMPILED: usize = 4_096;

impl PolicyStore {
    /// Reads them all. A policy that cannot be parsed any more keeps the server sealed: without it, somebody's
    /// `deny` would be missing.
    pub(crate) async fn load(root: View) -> Result<Self, Refusal> {
        let mut known = BTreeMap::new();
        for name in stored::all_below(&root, keys::POLICIES).await? {
            let key = KernelKey::Policy(&name).to_string();
            let record: Option<PolicyRecord> = stored::load(&root, &key).await?;
            if let Some(record) = record {
                let parsed = PolicyName::parse(&name).map_err(Refusal::bug)?;
                let policy = Policy::parse(parsed, &record.text).map_err(Refusal::bug)?;
                known.insert(name, Arc::new(Known { text: record.text, parsed: Arc::new(policy) }));
            }
        }
        let (epoch, compiled) = (AtomicU64::new(1), papaya::HashMap::new());
        Ok(Self { root, known: ArcSwap::from_pointee(known), epoch, compiled, writing: Mutex::default() })
    }

    /// Counts the changes; what was compiled in another epoch is stale.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// All names, sorted, `root` with them.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.known.load().keys().cloned().collect();
        names.push("root".into());
        names.sort_unstable();
        names
    }

    /// Whether there is such a policy.
    pub fn exists(&self, name: &str) -> bool {
        matches!(name, "root" | "response-wrapping") || self.known.load().contains_key(name)
    }

    /// The text of a policy; `root` has an empty one.
    pub fn text(&self, name: &PolicyName) -> Option<String> {
        if name.is_root() {
            return Some(String::new());
        }
        self.known.load().get(name.as_str()).map(|known| known.text.clone())
    }

    /// Writes a policy.
    pub async fn write(&self, name: PolicyName, text: &str) -> Result<(), Refusal> {
        if name.is_immutable() {
            return Err(Refusal::invalid(format!("cannot update {name:?} policy")));
        }
        let text = coffre_policy::decode_body(text).into_owned();
        let parsed = Policy::parse(name.clone(), &text).map_err(|e| Refusal::invalid(e.to_string()))?;
        let _held = self.writing.lock().await;
        let record = stored::bytes(&PolicyRecord { text: text.clone() })?;
        let batch = ViewBatch::new().put(KernelKey::Policy(name.as_str()).to_string(), record);
        self.root.transact(batch).await.map_err(storage)?;
        let known = Arc::new(Known { text, parsed: Arc::new(parsed) });
        self.change(|all| all.insert(name.as_str().to_owned(), known));
        Ok(())
    }

    /// Deletes a policy; fine if there is none.
    pub async fn delete(&self, name: &PolicyName) -> Result<(), Refusal> {
        if name.is_immutable() || *name == PolicyName::default_policy() {
            return Err(Refusal::invalid(format!("cannot delete {name:?} policy")));
        }
        let _held = self.writing.lock().await;
        self.root.delete(&KernelKey::Policy(name.as_str()).to_string()).await.map_err(storage)?;
        self.change(|all| all.remove(name.as_str()));
        Ok(())
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<String, Arc<Known>>) -> T) {
        let mut all = BTreeMap::clone(&self.known.load());
        change(&mut all);
        self.known.store(Arc::new(all));
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// What these policies together allow somebody: with the values for their templates.
    pub fn acl_for(&self, names: &[String], values: &TemplateValues) -> Arc<Acl> {
        let known = self.known.load();
        let templated = names.iter().filter_map(|name| known.get(name)).any(|it| it.parsed.has_templates());
        if templated { self.compile(names, values) } else { self.acl(names) }
    }

    /// Rules of these policies that do not count for somebody with these values.
    pub fn dropped(&self, names: &[String], values: Option<&TemplateValues>) -> Vec<DroppedRule> {
        let (known, none) = (self.known.load(), TemplateValues::none());
        let policies = names.iter().filter_map(|name| known.get(name)).map(|known| &known.parsed);
        policies.flat_map(|policy| policy.dropped(values.unwrap_or(&none))).collect()
    }

    /// What these policies together allow. Names without a policy allow nothing.
    pub fn acl(&self, names: &[String]) -> Arc<Acl> {
        // Asked first: if a policy changes while it is compiled, the entry is stale from the start.
        let epoch = self.epoch();
        let set = names.join(",");
        let compiled = self.compiled.pin();
        if let Some((of, acl)) = compiled.get(&set)
            && *of == epoch
        {
            return Arc::clone(acl);
        }
        let acl = self.compile(names, &TemplateValues::none());
        if compiled.len() >= MOST_COMPILED {
            compiled.clear();
        }
        compiled.insert(set, (epoch, Arc::clone(&acl)));
        acl
    }

    fn compile(&self, names: &[String], values: &TemplateValues) -> Arc<Acl> {
        if names.iter().any(|name| name == "root") {
            return Arc::new(Acl::root());
        }
        let known = self.known.load();
        let mut policies: Vec<Arc<Policy>> =
            names.iter().filter_map(|name| known.get(name)).map(|known| Arc::clone(&known.parsed)).collect();
        if names.iter().any(|name| name == "response-wrapping") {
            policies.extend(wrapping_policy());
        }
        Arc::new(Acl::compile(&policies, values))
    }
}

fn wrapping_policy() -> Option<Arc<Policy>> {
    let name = PolicyName::parse("response-wrapping").ok()?;
    Policy::parse(name, RESPONSE_WRAPPING_POLICY).ok().map(Arc::new)
}
