//! The decision where secrets come from, as two pure functions.
//!
//! | setting                              | development              | any other environment       |
//! |--------------------------------------|--------------------------|-----------------------------|
//! | `USE_VAULT=false`                    | `.env`                   | `.env`, with a warning      |
//! | no address                           | `.env`                   | refuse                      |
//! | the server answers                   | server                   | server                      |
//! | unreachable or sealed                | `.env`, with a banner    | wait, then refuse           |
//! | it refuses, or something is missing  | refuse                   | refuse                      |
//! | it fails, or is not trusted          | refuse                   | wait or refuse              |

/// What is known before the server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Whether `USE_VAULT=false` was given.
    pub rolled_back: bool,
    /// Whether an address was given.
    pub address: bool,
    /// Whether this is development, markers considered.
    pub dev: bool,
}

/// What asking the server gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Login and every read worked.
    Answers,
    /// No connection, or no answer in time.
    Unreachable,
    /// Sealed, not initialised, or without an active node.
    Sealed,
    /// It answered with a failure of its own, or that there are too many requests.
    Failing,
    /// It refused the identity, or a read.
    Denied,
    /// Something is not there, or not as it must be.
    Missing,
    /// Its certificate is not trusted, or the client's settings are wrong.
    Untrusted,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Ask the server, then decide by what it says.
    Ask,
    /// The server's values are used.
    Server,
    /// `.env` and the process environment are used.
    Dotenv(Why),
    /// Ask again in a moment, or refuse if that has gone on too long.
    Wait,
    /// Do not start.
    Refuse,
}

/// Why `.env` is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// `USE_VAULT=false`.
    RolledBack,
    /// Development without a server.
    NoAddress,
    /// Development, and the server is unreachable or sealed.
    Unavailable,
}

/// The first step.
#[must_use]
pub const fn before_probe(setting: Setting) -> Decision {
    match setting {
        Setting { rolled_back: true, .. } => Decision::Dotenv(Why::RolledBack),
        Setting { address: true, .. } => Decision::Ask,
        Setting { dev: true, .. } => Decision::Dotenv(Why::NoAddress),
        Setting { .. } => Decision::Refuse,
    }
}

/// The second step, only after [`Decision::Ask`].
#[must_use]
pub const fn after_probe(dev: bool, probe: Probe) -> Decision {
    match (probe, dev) {
        (Probe::Answers, _) => Decision::Server,
        (Probe::Unreachable | Probe::Sealed, true) => Decision::Dotenv(Why::Unavailable),
        (Probe::Unreachable | Probe::Sealed | Probe::Failing, false) => Decision::Wait,
        (Probe::Failing, true) | (Probe::Denied | Probe::Missing | Probe::Untrusted, _) => Decision::Refuse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBES: [Probe; 7] = [
        Probe::Answers,
        Probe::Unreachable,
        Probe::Sealed,
        Probe::Failing,
        Probe::Denied,
        Probe::Missing,
        Probe::Untrusted,
    ];
    const BOTH: [bool; 2] = [false, true];

    /// All 56 rows, against the rules in words rather than the code's own order.
    #[test]
    fn the_whole_truth_table() {
        let mut rows = 0;
        for (rolled_back, address, dev, probe) in BOTH.iter().flat_map(|rolled_back| {
            BOTH.iter().flat_map(move |address| {
                BOTH.iter().flat_map(move |dev| {
                    PROBES.iter().map(move |probe| (*rolled_back, *address, *dev, *probe))
                })
            })
        }) {
            rows += 1;
            let setting = Setting { rolled_back, address, dev };
            let row = format!("{setting:?} {probe:?}");
            let decision = match before_probe(setting) {
                Decision::Ask => after_probe(dev, probe),
                other => other,
            };
            assert_ne!(decision, Decision::Ask, "{row}");
            let unavailable = matches!(probe, Probe::Unreachable | Probe::Sealed);
            let dotenv = matches!(decision, Decision::Dotenv(_));
            assert_eq!(dotenv, rolled_back || (dev && (!address || unavailable)), "{row}");
            let server = !rolled_back && address && probe == Probe::Answers;
            assert_eq!(decision == Decision::Server, server, "{row}");
            let waits = !rolled_back && address && !dev && (unavailable || probe == Probe::Failing);
            assert_eq!(decision == Decision::Wait, waits, "{row}");
            if matches!(probe, Probe::Denied | Probe::Missing | Probe::Untrusted) && address && !rolled_back {
                assert_eq!(decision, Decision::Refuse, "a refusal never leads to .env: {row}");
            }
        }
        assert_eq!(rows, 56);
    }
}
