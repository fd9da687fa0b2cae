//! Whatever the text: it is kept byte for byte, its statements cover it, and an edit changes one value and nothing else.

use coffre_dotenv::{Dialect, Document, EditError, Generation, Interpolation, Kind, Precedence};
use coffre_secret::SecretText;
use proptest::prelude::*;

fn soup() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        4 => "[A-Ca-c0-9]{1,3}",
        8 => prop::sample::select(vec![
            "=", "'", "\"", "\\", "#", " ", "\t", "\n", "\r\n", "\r", "${", "}", "${A}", ":-", "export ", "\u{feff}",
            "\u{a0}", "\u{1c}", "\u{85}", "\0", "é", "🔑", "A=", "\nB=", " # c",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

fn dialect() -> impl Strategy<Value = Dialect> {
    (prop::sample::select(Generation::ALL.to_vec()), any::<bool>()).prop_map(|(generation, stream)| {
        let dialect = Dialect::of(generation);
        if stream { dialect.from_stream() } else { dialect }
    })
}

/// What each key means, without interpolation.
fn meaning(document: &Document) -> Vec<(String, Option<String>)> {
    let values = document.values(&|_: &str| None, Precedence::FileFirst, Interpolation::Off);
    values.iter().map(|(key, value)| (key.to_owned(), value.map(|v| v.expose().clone()))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn statements_cover_the_text(text in soup(), dialect in dialect()) {
        let document = Document::parse(text.as_str(), dialect);
        prop_assert!(document.to_text().ct_eq(text.as_bytes()));
        let mut at = 0;
        for statement in document.statements() {
            prop_assert_eq!(statement.span.start, at);
            prop_assert!(statement.span.end > at);
            at = statement.span.end;
            if let Kind::Binding(binding) = &statement.kind {
                for inner in [&binding.value_span, &binding.comment_span].into_iter().flatten() {
                    prop_assert!(inner.start >= statement.span.start && inner.end <= statement.span.end);
                }
            }
        }
        prop_assert_eq!(at, text.len());
    }

    #[test]
    fn an_edit_changes_one_value(text in soup(), value in soup(), dialect in dialect(), pick in any::<prop::sample::Index>()) {
        let document = Document::parse(text.as_str(), dialect);
        let bindings: Vec<usize> =
            (0..document.statements().len()).filter(|n| document.statements()[*n].binding().is_some()).collect();
        prop_assume!(!bindings.is_empty());
        let number = *pick.get(&bindings);
        match document.with_value(number, &SecretText::from(value.as_str())) {
            Ok(edited) => {
                let binding = edited.statements()[number].binding().unwrap();
                prop_assert!(binding.value.as_ref().unwrap().ct_eq(value.as_bytes()));
                let before: Vec<_> = document.bindings().map(|(_, b)| (&b.key, b.exported)).collect();
                let after: Vec<_> = edited.bindings().map(|(_, b)| (&b.key, b.exported)).collect();
                prop_assert_eq!(before, after);
                for (old, new) in document.statements().iter().zip(edited.statements()) {
                    let slice = |d: &Document, span: &std::ops::Range<usize>| d.to_text().expose()[span.clone()].to_owned();
                    if old.span.start != document.statements()[number].span.start {
                        prop_assert_eq!(slice(&document, &old.span), slice(&edited, &new.span));
                    }
                }
            }
            Err(error) => prop_assert_eq!(error, EditError::Unwritable),
        }
    }
}

#[test]
fn comments_and_order_are_kept() {
    let text = "# head\n\nexport A = 'old' # why\r\nB\t# null\nC=\n\nD=x";
    let document = Document::parse(text, Dialect::default());
    let number = |key: &str| {
        document.statements().iter().position(|s| s.binding().is_some_and(|b| b.key == key)).unwrap()
    };
    let edited = |key: &str, value: &str| {
        document.with_value(number(key), &value.into()).unwrap().to_text().expose().clone()
    };
    assert_eq!(edited("A", "n#w"), "# head\n\nexport A = n#w # why\r\nB\t# null\nC=\n\nD=x");
    assert_eq!(edited("A", " x "), "# head\n\nexport A = \" x \" # why\r\nB\t# null\nC=\n\nD=x");
    assert_eq!(edited("B", "b"), "# head\n\nexport A = 'old' # why\r\nB=b\t# null\nC=\n\nD=x");
    assert_eq!(
        edited("C", "two\nlines"),
        "# head\n\nexport A = 'old' # why\r\nB\t# null\nC=\"two\\nlines\"\n\nD=x"
    );
    assert_eq!(edited("D", ""), "# head\n\nexport A = 'old' # why\r\nB\t# null\nC=\n\nD=");
    assert_eq!(document.with_value(number("D"), &"a${b}".into()).unwrap_err(), EditError::Unwritable);
    assert_eq!(document.with_value(0, &"x".into()).unwrap_err(), EditError::NotABinding(0));
}

#[test]
fn n7_a_file_of_a_million_quotes_is_read_at_once() {
    for hostile in ["A=\"\n", "'\n", "A='\\'\n", "A=\"\\\\\" x\n", "${A:-", " \u{1c}"] {
        for generation in Generation::ALL {
            let document = Document::parse(hostile.repeat(250_000), Dialect::of(generation));
            assert_eq!(meaning(&document).is_empty(), document.bindings().count() == 0);
        }
    }
}
