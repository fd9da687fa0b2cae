//! `.env` documents: nothing is lost by reading, and what an edit writes reads back.
#![no_main]

use coffre_dotenv::{Dialect, Document, Generation, Interpolation, Precedence};
use coffre_secret::SecretText;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [choice, rest @ ..] = data else { return };
    let Ok(text) = str::from_utf8(rest) else { return };
    // The first line is a value to write, the rest the document.
    let (value, text) = text.split_once('\0').unwrap_or(("", text));
    let generation = Generation::ALL[usize::from(*choice) % Generation::ALL.len()];
    let document = Document::parse(SecretText::new(text.to_owned()), Dialect::of(generation));
    assert_eq!(document.to_text().expose(), text, "reading lost something");
    tiles(&document, text);
    let nothing = |_: &str| None::<SecretText>;
    let _ = document.values(&nothing, Precedence::FileFirst, Interpolation::On);
    edit(&document, value, usize::from(*choice / 3));
});

/// The statements cover the text, in order, without a gap.
fn tiles(document: &Document, text: &str) {
    let mut at = document.statements().first().map_or(text.len(), |first| first.span.start);
    for statement in document.statements() {
        assert_eq!(statement.span.start, at, "a gap or an overlap between statements");
        at = statement.span.end;
    }
    assert_eq!(at, text.len(), "the last statement does not reach the end");
}

/// A value that could be written is read back, and every other statement keeps its text.
fn edit(document: &Document, value: &str, which: usize) {
    let old = document.statements();
    let numbers: Vec<usize> = (0..old.len()).filter(|number| old[*number].binding().is_some()).collect();
    let Some(number) = numbers.get(which % numbers.len().max(1)) else { return };
    let Ok(changed) = document.with_value(*number, &SecretText::new(value.to_owned())) else { return };
    let new = changed.statements();
    assert_eq!(old.len(), new.len());
    for (at, (before, after)) in old.iter().zip(new).enumerate() {
        let texts = (
            &document.to_text().expose()[before.span.clone()],
            &changed.to_text().expose()[after.span.clone()],
        );
        if at == *number {
            let (before, after) =
                (before.binding().expect("a binding"), after.binding().expect("still a binding"));
            assert_eq!(before.key, after.key);
            let written = after.value.as_ref().map(|value| value.expose().as_str());
            assert_eq!(written, Some(value), "the written value reads back as another");
        } else {
            assert_eq!(texts.0, texts.1, "an edit changed a neighbour");
        }
    }
}
