//! Paths: what is accepted is canonical, and canonical is a fixed point.
#![no_main]

use coffre_api::VaultPath;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(path) = VaultPath::parse(text) else { return };
    let again = VaultPath::parse(path.as_str()).expect("a canonical path is accepted");
    assert_eq!(path, again);
    assert_eq!(path.segments().collect::<Vec<_>>().join("/"), path.as_str());
    assert!(path.as_str().len() <= VaultPath::MAX);
    assert!(path.segments().all(|segment| !matches!(segment, "" | "." | "..")));
    // Nothing is cleaned: what was given is what is there, less one slash at the end.
    assert_eq!(text.strip_suffix('/').unwrap_or(text), path.as_str());
    // Below a mount made of its own first segments there is exactly the rest.
    let (mount, rest) = path.as_str().split_once('/').unwrap_or((path.as_str(), ""));
    assert_eq!(path.below(&format!("{mount}/")), Some(rest));
    // A mount whose name merely begins alike is not above it.
    assert_eq!(path.below(&format!("{}x/", path.as_str())), None);
});
