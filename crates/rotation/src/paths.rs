//! Where the documents are, below `<mount>/data/<environment>/`.
//!
//! | path | who writes | who reads |
//! |---|---|---|
//! | `<target>` | rotator | consumers |
//! | `_rot/rec/<target>` | rotator | rotator |
//! | `_rot/policy` | people | all |
//! | `_rot/ack/<target>/<consumer>` | that consumer | rotator |
//! | `_rot/hist/<target>/<yyyymm>` | rotator | people |
//! | `_rot/rollout/<target>` | all | all |
//! | `_rot/approve/<target>/<gen>/<entity>` | that person | rotator |
//! | `_rot/escrow/<target>/<gen>` | rotator | who has the recovery key |
//! | `_rot/soak/<target>` | rotator | the next environment's rotator |
//! | `_rot/freeze` | people | rotator |
//! | `_rot/enabled` | `rotate enable` | rotator |
//!
//! The functions give what follows the mount's `data/`: `<environment>/…`.

use crate::{ConsumerId, Target};

/// The folder of the bookkeeping.
pub const FOLDER: &str = "_rot";

/// What rules an environment, below it.
pub const POLICY: &str = "_rot/policy";

/// What consumers read.
pub fn document(environment: &str, target: &Target) -> String {
    format!("{environment}/{target}")
}

/// The state record.
pub fn record(environment: &str, target: &Target) -> String {
    format!("{environment}/{FOLDER}/rec/{target}")
}

/// What rules the environment.
pub fn policy(environment: &str) -> String {
    format!("{environment}/{FOLDER}/policy")
}

/// What one consumer says of one target.
pub fn ack(environment: &str, target: &Target, consumer: &ConsumerId) -> String {
    format!("{environment}/{FOLDER}/ack/{target}/{consumer}")
}

/// The folder of what consumers say of one target.
pub fn acks(environment: &str, target: &Target) -> String {
    format!("{environment}/{FOLDER}/ack/{target}")
}

/// What happened to a target in a month, `yyyymm`; a full document is followed by `yyyymm-2`, `yyyymm-3`, …
pub fn history(environment: &str, target: &Target, month: &str) -> String {
    format!("{environment}/{FOLDER}/hist/{target}/{month}")
}

/// The folder of a target's history.
pub fn histories(environment: &str, target: &Target) -> String {
    format!("{environment}/{FOLDER}/hist/{target}")
}

/// Where people consent to the destruction of a generation.
pub fn approvals(environment: &str, target: &Target, generation: u64) -> String {
    format!("{environment}/{FOLDER}/approve/{target}/{generation}")
}

/// One person's consent; `entity` is the id of their entity.
pub fn approval(environment: &str, target: &Target, generation: u64, entity: &str) -> String {
    format!("{}/{entity}", approvals(environment, target, generation))
}

/// A generation's key, sealed to the offline recovery key.
pub fn escrow(environment: &str, target: &Target, generation: u64) -> String {
    format!("{environment}/{FOLDER}/escrow/{target}/{generation}")
}

/// How well it rotates here.
pub fn soak(environment: &str, target: &Target) -> String {
    format!("{environment}/{FOLDER}/soak/{target}")
}

/// The slots of restarts.
pub fn rollout(environment: &str, target: &Target) -> String {
    format!("{environment}/{FOLDER}/rollout/{target}")
}

/// The switch that stops everything.
pub fn freeze(environment: &str) -> String {
    format!("{environment}/{FOLDER}/freeze")
}

/// Which targets rotate.
pub fn enabled(environment: &str) -> String {
    format!("{environment}/{FOLDER}/enabled")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_table() {
        let target = Target::new("jwt/secret_key").unwrap();
        let consumer = ConsumerId::of("api", "web", "b", "1");
        assert_eq!(document("prod", &target), "prod/jwt/secret_key");
        assert_eq!(record("prod", &target), "prod/_rot/rec/jwt/secret_key");
        assert_eq!(ack("prod", &target, &consumer), "prod/_rot/ack/jwt/secret_key/api.web.b.1");
        assert_eq!(history("prod", &target, "202611"), "prod/_rot/hist/jwt/secret_key/202611");
        for bad in ["", "/", "a//b", "_rot/x", "a/_b", "a/../b", ".", "a b", "a/é", &"a".repeat(257)] {
            assert!(Target::new(bad).is_err(), "{bad}");
        }
    }
}
