//! The migration plan's own checklist, as far as this run can tell. Pure: evidence in, lines out.

use super::screen::Mark;

/// What the run showed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Evidence {
    /// Secrets of the manifest.
    pub(crate) secrets: usize,
    /// Those that the running program had, byte for byte.
    pub(crate) same: usize,
    /// Whether that program was the Flask application.
    pub(crate) flask: bool,
    /// Entries of the audit log, in an unbroken chain.
    pub(crate) audit_entries: u64,
    /// Seen in this run: `.env` in development while the vault is sealed, a refusal elsewhere.
    pub(crate) fallback: bool,
    /// Seen in this run: vault and `.env` as before.
    pub(crate) rolled_back: bool,
}

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) mark: Mark,
    pub(crate) what: &'static str,
    pub(crate) evidence: String,
}

/// The plan's lines in its order, then its rollback.
pub(crate) fn items(seen: &Evidence) -> Vec<Item> {
    let item = |mark, what, evidence: String| Item { mark, what, evidence };
    let shown = |shown: bool| if shown { Mark::Done } else { Mark::NotYet };
    let all = seen.secrets > 0 && seen.same == seen.secrets;
    let program =
        if seen.flask { "in Flask's own process" } else { "in a small program; Flask: -with-python" };
    let loaded = match (all, seen.flask) {
        (true, true) => Mark::Done,
        (true, false) => Mark::Partly,
        _ => Mark::NotYet,
    };
    vec![
        item(
            loaded,
            "All secrets from the vault in prod",
            format!("{} of {}, byte for byte, {program}", seen.same, seen.secrets),
        ),
        item(
            shown(seen.fallback),
            ".env as a fallback in dev",
            "seen with the vault sealed; prod refuses then".into(),
        ),
        item(
            Mark::Partly,
            "Automatic rotation",
            "not run here, it takes minutes: `coffre rotate`, docs/manual/rotation.md".into(),
        ),
        item(
            shown(seen.audit_entries > 0),
            "Audit logs",
            format!("{} entries in an unbroken chain, values as keyed hashes", seen.audit_entries),
        ),
        item(Mark::Partly, "Unit tests pass", "not run here: cargo xtask test".into()),
        item(Mark::Partly, "End-to-end tests pass", "this run is one; all of them: cargo xtask test".into()),
        item(Mark::Partly, "No performance regression", "not measured here: cargo xtask bench".into()),
        item(
            Mark::Partly,
            "Documentation complete",
            "README, docs/manual, docs/fr, examples/atmr/vault".into(),
        ),
        item(
            shown(seen.rolled_back),
            "Rollback",
            "vault as before, .env untouched; USE_VAULT=false works".into(),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: Evidence = Evidence {
        secrets: 14,
        same: 14,
        flask: true,
        audit_entries: 200,
        fallback: true,
        rolled_back: true,
    };

    fn marks(seen: &Evidence) -> Vec<Mark> {
        items(seen).iter().map(|item| item.mark).collect()
    }

    #[test]
    fn nothing_is_green_without_evidence() {
        assert!(!marks(&Evidence::default()).contains(&Mark::Done));
    }

    #[test]
    fn what_was_seen_is_green_and_the_rest_is_not() {
        use Mark::{Done, NotYet, Partly};
        assert_eq!(marks(&SEEN), [Done, Done, Partly, Done, Partly, Partly, Partly, Partly, Done]);
        assert_eq!(marks(&Evidence { flask: false, ..SEEN })[0], Partly);
        assert_eq!(marks(&Evidence { same: 13, ..SEEN })[0], NotYet);
    }
}
