//! Manifests: what is read is written back the same, and the policies that follow from it are sound, however odd the
//! names in it.
#![no_main]

use std::collections::BTreeMap;

use coffre_manifest::Manifest;
use coffre_policy::{Policy, PolicyName};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(manifest) = Manifest::parse(text) else { return };
    let written = manifest.to_toml(&BTreeMap::new());
    match Manifest::parse(&written) {
        Ok(again) => assert_eq!(again, manifest, "writing changed the manifest"),
        Err(invalid) => panic!("what was written is refused: {invalid}\n{written}"),
    }
    for environment in manifest.environments() {
        for policy in manifest.policies(environment) {
            let name = PolicyName::parse(&policy.name).expect("a policy's name that a server takes");
            assert!(Policy::parse(name, &policy.text).is_ok(), "{}", policy.text);
        }
    }
});
