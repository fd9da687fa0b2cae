//! The small program that stands in for the application: it says what its environment holds, by fingerprint.

use std::collections::BTreeMap;

use coffre_crypto::{Key, mac::Mac};
use coffre_secret::SecretText;
use serde::{Deserialize, Serialize};

use crate::outcome::{Exit, Failure, Outcome};
use crate::world::World;

/// As the first argument of `demo`, it runs the probe. Not for people, so not in the help.
pub(crate) const FLAG: &str = "-probe";

/// What a program holds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Held {
    /// `COFFRE_SOURCE`.
    pub(crate) source: String,
    /// Names of variables with the fingerprints of their values.
    pub(crate) secrets: BTreeMap<String, String>,
}

/// Prints [`Held`] for the names given after a nonce.
pub(crate) fn run(world: &mut World, args: &[String]) -> Outcome {
    let Some((nonce, names)) = args.split_first() else { return Err(Failure::local("no nonce")) };
    let mac = keyed(nonce).ok_or_else(|| Failure::local("the nonce must be 32 characters long"))?;
    let value = |name: &String| Some((name.clone(), SecretText::new(world.env.var(name)?)));
    let held = Held {
        source: world.env.var("COFFRE_SOURCE").unwrap_or_default(),
        secrets: names.iter().filter_map(value).map(|(name, value)| (name, print(&mac, &value))).collect(),
    };
    let text = serde_json::to_string(&held).map_err(|error| Failure::local(error.to_string()))?;
    world.say(&text);
    Ok(Exit::DONE)
}

/// HMAC-SHA-256 under a nonce of 32 characters, drawn anew for each question.
pub(crate) fn keyed(nonce: &str) -> Option<Mac> {
    Key::copy_of(nonce.as_bytes()).as_ref().map(Mac::new)
}

/// The fingerprint of a value, as the sample application computes it.
pub(crate) fn print(mac: &Mac, value: &SecretText) -> String {
    // EXPOSE: goes into the keyed tag.
    mac.hex(&[value.expose().as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_answer() {
        // python3 -c 'import hmac; print(hmac.new(b"0"*32, "a é".encode(), "sha256").hexdigest())'
        let mac = keyed(&"0".repeat(32)).unwrap();
        assert_eq!(
            print(&mac, &SecretText::from("a é")),
            "7ff286da1eb8defe4a651b0d30b381be33617f20672a82f3e7518ff290980b56"
        );
        assert!(keyed("short").is_none());
    }
}
