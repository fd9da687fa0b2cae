//! The code in the manual is the code of the toy engine, so it compiles and is tested.

use std::path::{Path, PathBuf};

#[test]
fn every_piece_of_code_in_the_manual_is_a_piece_of_the_file_it_names() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let manual = std::fs::read_to_string(root.join("docs/manual/adding-an-engine.md")).unwrap();
    let mut checked = 0;
    let mut rest = manual.as_str();
    while let Some(at) = rest.find("```rust ") {
        let (head, tail) = rest[at + "```rust ".len()..].split_once('\n').unwrap();
        let (code, after) = tail.split_once("```").unwrap();
        let file: PathBuf = root.join(head.trim());
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(code.trim_end()), "{head} has no such piece:\n{code}");
        (checked, rest) = (checked + 1, after);
    }
    assert!(checked >= 5, "only {checked} pieces of code");
    assert!(!manual.contains("```rust\n"), "a piece of code that names no file");
}
