//! Request bodies: split once, without losing or inventing a field.
#![no_main]

use std::collections::BTreeSet;

use coffre_api::RawInput;
use coffre_secret::SecretText;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(input) = RawInput::from_json(SecretText::new(text.to_owned())) else { return };
    // No body and Go's nil map are both the empty object.
    if matches!(text.trim(), "" | "null") {
        assert!(input.has_no_pairs());
        return;
    }
    assert_eq!(input.expose_body(), text, "the body changed");
    let names: Vec<&str> = input.pairs().map(|(name, _)| name).collect();
    let distinct: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(names.len(), distinct.len(), "a name stands twice: two readers could see two bodies");
    for (_, value) in input.pairs() {
        assert!(text.contains(value.get()), "a value is not a piece of the body");
    }
    assert_eq!(input.has_no_pairs(), names.is_empty());
});
