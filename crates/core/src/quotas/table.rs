//! Which limit a request falls under: one look into a map for each level, the most specific first.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::bucket::Rate;
use super::record::{QuotaConfig, QuotaRecord};

/// A limit, ready to be asked.
pub(super) struct Limit {
    /// Its buckets' number; new whenever the limit is written.
    pub(super) number: u64,
    pub(super) rate: Rate,
}

/// All limits. Replaced as a whole when one changes.
#[derive(Default)]
pub(super) struct Table {
    pub(super) records: BTreeMap<String, QuotaRecord>,
    pub(super) config: QuotaConfig,
    global: Option<Arc<Limit>>,
    mounts: HashMap<String, MountLimits>,
    numbers: HashMap<String, u64>,
}

#[derive(Default)]
struct MountLimits {
    whole: Option<Arc<Limit>>,
    exact: HashMap<String, Arc<Limit>>,
    /// By what stands before the `*`.
    prefixes: HashMap<String, Arc<Limit>>,
    /// The lengths of those, longest first.
    lengths: Vec<usize>,
    roles: HashMap<String, Arc<Limit>>,
}

impl Table {
    /// `number` gives each limit its buckets.
    pub(super) fn new(
        records: BTreeMap<String, QuotaRecord>,
        config: QuotaConfig,
        number: impl Fn(&str) -> u64,
    ) -> Self {
        let mut table = Self { config, ..Self::default() };
        for (name, record) in &records {
            let number = number(name);
            table.numbers.insert(name.clone(), number);
            table.add(record, Arc::new(Limit { number, rate: record.rate() }));
        }
        Self { records, ..table }
    }

    fn add(&mut self, record: &QuotaRecord, limit: Arc<Limit>) {
        if record.mount.is_empty() {
            self.global = Some(limit);
            return;
        }
        let of = self.mounts.entry(record.mount.clone()).or_default();
        if !record.role.is_empty() {
            of.roles.insert(record.role.clone(), limit);
        } else if let Some(prefix) = record.suffix.strip_suffix('*') {
            of.prefixes.insert(prefix.to_ascii_lowercase(), limit);
            of.lengths = of.prefixes.keys().map(String::len).collect();
            of.lengths.sort_unstable_by(|a, b| b.cmp(a));
            of.lengths.dedup();
        } else if record.suffix.is_empty() {
            of.whole = Some(limit);
        } else {
            of.exact.insert(record.suffix.to_ascii_lowercase(), limit);
        }
    }

    /// The number of a limit's buckets.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.numbers.get(name).copied()
    }

    /// Whether nothing is limited at all.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The limit of a path: `rest` lies below the mount with this accessor.
    pub(super) fn of_path(&self, mount: Option<(&str, &str)>) -> Option<&Arc<Limit>> {
        let of_mount = mount.and_then(|(accessor, rest)| {
            let of = self.mounts.get(accessor)?;
            if of.exact.is_empty() && of.prefixes.is_empty() {
                return of.whole.as_ref();
            }
            // Where upper and lower case name the same thing, another spelling must not be a way around a limit.
            let rest = rest.to_ascii_lowercase();
            let by_prefix = || of.lengths.iter().find_map(|len| of.prefixes.get(rest.get(..*len)?));
            of.exact.get(&rest).or_else(by_prefix).or(of.whole.as_ref())
        });
        of_mount.or(self.global.as_ref())
    }

    /// Whether some role of this mount has a limit.
    pub(super) fn has_roles(&self, mount: &str) -> bool {
        self.mounts.get(mount).is_some_and(|of| !of.roles.is_empty())
    }

    /// The limit of a role's logins.
    pub(super) fn of_role(&self, mount: &str, role: &str) -> Option<&Arc<Limit>> {
        self.mounts.get(mount)?.roles.get(role)
    }

    /// Whether a path is never limited.
    pub(super) fn is_exempt(&self, path: &str) -> bool {
        self.config.rate_limit_exempt_paths.iter().any(|exempt| match exempt.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => path == exempt.trim_end_matches('/'),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(mount: &str, suffix: &str, role: &str) -> QuotaRecord {
        QuotaRecord {
            mount: mount.into(),
            suffix: suffix.into(),
            role: role.into(),
            ..QuotaRecord::default()
        }
    }

    #[test]
    fn the_most_specific_limit_holds() {
        let all = [
            ("1", record("", "", "")),
            ("2", record("kv_1", "", "")),
            ("3", record("kv_1", "a/*", "")),
            ("4", record("kv_1", "a/b*", "")),
            ("5", record("kv_1", "a/b/c", "")),
            ("6", record("auth_1", "", "app")),
        ];
        let records = all.map(|(name, record)| (name.to_owned(), record)).into();
        let table = Table::new(records, QuotaConfig::default(), |name| name.parse().unwrap());
        let of = |accessor, rest| table.of_path(Some((accessor, rest))).map(|limit| limit.number);
        assert_eq!(table.of_path(None).map(|limit| limit.number), Some(1));
        assert_eq!(of("kv_2", "a/b/c"), Some(1));
        assert_eq!(of("kv_1", "x"), Some(2));
        assert_eq!(of("kv_1", "a"), Some(2));
        assert_eq!(of("kv_1", "a/x"), Some(3));
        assert_eq!(of("kv_1", "a/bé"), Some(4));
        assert_eq!(of("kv_1", "A/b/C"), Some(5));
        assert_eq!(of("auth_1", "login"), Some(1), "a role's limit adds to that of the path");
        assert_eq!(table.of_role("auth_1", "app").map(|limit| limit.number), Some(6));
        assert!(table.of_role("auth_1", "other").is_none() && !table.has_roles("kv_1"));
    }

    #[test]
    fn exempt_paths_are_whole_or_begin_so() {
        let exempt = vec!["sys/health".to_owned(), "kv/open/*".to_owned()];
        let config = QuotaConfig { rate_limit_exempt_paths: exempt, ..QuotaConfig::default() };
        let table = Table::new(BTreeMap::new(), config, |_| 0);
        assert!(table.is_exempt("sys/health") && table.is_exempt("kv/open/a"));
        assert!(!table.is_exempt("sys/healthy") && !table.is_exempt("kv/open") && !table.is_exempt("sys"));
    }
}
