//! How a mount says which of the two KV engines it has.

use std::collections::BTreeMap;

use coffre_api::Refusal;

/// Which of the two KV engines a mount has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Without history: [`super::v1::KvV1`].
    V1,
    /// With history: [`super::v2::KvV2`].
    V2,
}

/// Reads it off a mount's type (`kv`, `kv-v1`, `kv-v2`, or the old name `generic`) and its options, of which only
/// `version` (`1` or `2`) counts. Without any of them it is version 1, as in Vault.
pub fn parse_version(kind: &str, options: &BTreeMap<String, String>) -> Result<Version, Refusal> {
    let named = match kind {
        "kv" => None,
        "kv-v1" | "generic" => Some(Version::V1),
        "kv-v2" => Some(Version::V2),
        _ => return Err(Refusal::invalid("not a type of KV mount: use kv, kv-v1 or kv-v2")),
    };
    let told = match options.get("version").map(String::as_str) {
        None | Some("") => None,
        Some("1") => Some(Version::V1),
        Some("2") => Some(Version::V2),
        Some(_) => return Err(Refusal::invalid("a KV mount's option `version` is 1 or 2")),
    };
    match (named, told) {
        (Some(named), Some(told)) if named != told => {
            Err(Refusal::invalid("the mount's type and its option `version` name different versions of KV"))
        }
        _ => Ok(named.or(told).unwrap_or(Version::V1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(kind: &str, version: Option<&str>) -> Option<Version> {
        let options = version.map(|version| ("version".to_owned(), version.to_owned())).into_iter().collect();
        parse_version(kind, &options).ok()
    }

    #[test]
    fn types_and_options_agree_or_are_refused() {
        assert_eq!(parse("kv", None), Some(Version::V1));
        assert_eq!(parse("kv", Some("1")), Some(Version::V1));
        assert_eq!(parse("kv", Some("2")), Some(Version::V2));
        assert_eq!(parse("kv", Some("")), Some(Version::V1));
        assert_eq!(parse("kv-v2", None), Some(Version::V2));
        assert_eq!(parse("kv-v2", Some("2")), Some(Version::V2));
        assert_eq!(parse("kv-v1", None), Some(Version::V1));
        assert_eq!(parse("generic", None), Some(Version::V1));
        for (kind, version) in [("kv", "3"), ("kv-v2", "1"), ("generic", "2"), ("pki", "1"), ("kv", "01")] {
            assert_eq!(parse(kind, Some(version)), None, "{kind} {version}");
        }
    }
}
