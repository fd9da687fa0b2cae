//! HCL and JSON: any text is read or refused within its bounds, and what HCL takes means the same where JSON's
//! spellings are taken too.
#![no_main]

use coffre_hcl::{Bounds, Notation, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let read = |notation| parse(text, notation, Bounds::STANDARD);
    for notation in [Notation::Hcl, Notation::Json, Notation::Either] {
        if let Err(error) = read(notation) {
            assert!((1..=text.matches('\n').count() + 1).contains(&error.line), "{error}");
        }
    }
    if let Ok(tree) = read(Notation::Hcl) {
        assert_eq!(read(Notation::Either), Ok(tree), "HCL has two meanings");
    }
});
