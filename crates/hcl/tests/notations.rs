//! Both notations give one tree, errors name their line, and what belongs to one notation is refused in the other.
#![expect(clippy::panic, reason = "test")]

use coffre_hcl::{Bounds, Entry, Fault, Node, Notation, parse};

use Notation::{Either, Hcl, Json};

fn read(text: &str, notation: Notation) -> Vec<Entry> {
    parse(text, notation, Bounds::STANDARD).unwrap_or_else(|error| panic!("{notation:?}: {error}\n{text}"))
}

fn is_refused(text: &str, notation: Notation) -> bool {
    parse(text, notation, Bounds::STANDARD).is_err()
}

const IN_JSON: &str =
    r#" {"path":{"a/*":{"capabilities":["read","list"],"n":-1.5,"ok":true,"m":{"k":[]}}}} "#;

#[test]
fn every_form_is_one_tree() {
    let expected = read(IN_JSON, Json);
    assert_eq!(read(IN_JSON, Either), expected);
    for text in [
        r#"path "a/*" { capabilities = ["read", "list",] n = -1.5 ok = true m = { "k" = [] } }"#,
        "# c\npath \"a/*\" {\n  capabilities = [\n\"read\", // x\n \"list\"]\n n=-1.5, ok = true /* y\n */ m { k = [] }\n}\n",
        r#""path" "a/*" { "capabilities" = ["read", "list"] "n" = -1.5 "ok" = true "m" = { "k" = [] } }"#,
        r#"path = { "a/*" = { capabilities = ["read","list"], n = -1.5, ok = true, m = {k=[]} } }"#,
        "\u{feff}/* c\n */ path \"a/*\" { capabilities=[\"read\",\"list\"] n=-1.5 ok=true m \"k\" = [] }",
    ] {
        assert_eq!(read(text, Hcl), expected, "{text}");
        assert_eq!(read(text, Either), expected, "{text}");
        assert!(is_refused(text, Json), "{text}");
    }
}

#[test]
fn stanzas_may_be_lists_of_objects() {
    let list = read(r#"{"l":[{"tcp":{"a":1}},{"tcp":{"a":2}}]}"#, Json).remove(0).value;
    let inside = list.into_entries().unwrap();
    let keys: Vec<_> = inside.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(keys, ["tcp", "tcp"]);
    assert_eq!(Node::Bool(true).into_items(), [Node::Bool(true)]);
    assert_eq!(Node::List(vec![Node::Null]).into_entries(), None);
}

#[test]
fn what_is_particular_to_a_notation() {
    for (text, taken) in [
        ("a: 1", [false, true, false]),
        ("a = null", [false, true, false]),
        (r#"a = "\b\f\ud83d\ude00""#, [false, true, false]),
        (r#"a = "\U0001F600""#, [true, true, false]),
        ("a = 1 a = 2", [true, true, false]),
        ("{\"a\": 1, # c\n}", [false, true, false]),
        (r#"{"a":1,"\u0061":2}"#, [false, true, false]),
        (r#"{"a":"\b\ud83d\ude00","b":null}"#, [false, true, true]),
        (r#"{"a":"\U0001F600"}"#, [false, true, false]),
        (r#"{"a":01}"#, [false, true, false]),
        ("{}", [false, true, true]),
        ("", [true, true, false]),
        ("[]", [false; 3]),
        ("{} {}", [false; 3]),
        ("{\"a\":\"\n\"}", [false; 3]),
        ("a = \"\\a\"", [false; 3]),
    ] {
        let found = [Hcl, Either, Json].map(|notation| !is_refused(text, notation));
        assert_eq!(found, taken, "{text}");
    }
}

#[test]
fn texts_have_escapes() {
    let expected = Node::Text("\"\\/\n\r\té${x}".to_owned());
    for (text, notation) in [
        (r#"a = "\"\\\/\n\r\t\u00e9${x}""#, Hcl),
        (r#"a = "\"\\\/\n\r\t\u00e9${x}""#, Either),
        (r#"{"a":"\"\\\/\n\r\t\u00e9${x}"}"#, Json),
    ] {
        assert_eq!(read(text, notation)[0].value, expected, "{text}");
    }
    assert_eq!(read(r#"{"a":"\ud83d\ude00"}"#, Json)[0].value, Node::Text("😀".to_owned()));
    for wrong in
        [r"\ud83d", r"\ud83dx", r"\ud83d\n", r"\ud83d\u0041", r"\udc00", r"\q", r"\u00", r"\u+041", "\\u00é"]
    {
        for notation in [Hcl, Either] {
            assert!(is_refused(&format!("a = \"{wrong}\""), notation), "{wrong}");
        }
        assert!(is_refused(&format!("{{\"a\":\"{wrong}\"}}"), Json), "{wrong}");
    }
}

#[test]
fn numbers() {
    for number in ["0", "-1.50", "5e0", "18446744073709551616", "1E3", "+1", "007"] {
        assert_eq!(read(&format!("a = {number}"), Hcl)[0].value, Node::Number(number.to_owned()));
    }
    for (number, meant) in [
        ("0", "0"),
        ("-1.50", "-1.5"),
        ("5e0", "5"),
        ("18446744073709551615", "18446744073709551615"),
        ("-0.0", "-0"),
    ] {
        assert_eq!(read(&format!("{{\"a\":{number}}}"), Json)[0].value, Node::Number(meant.to_owned()));
    }
    for number in ["1e999", "0x10", "1_000", "inf", "NaN", "--1"] {
        assert!(is_refused(&format!("a = {number}"), Hcl), "{number}");
        assert!(is_refused(&format!("{{\"a\":{number}}}"), Json), "{number}");
    }
}

#[test]
fn entries_and_errors_know_their_line() {
    let entries = read("# c\na = 1\n\nb \"l\" {\n  c = 2\n}", Hcl);
    let Node::Object(label) = &entries[1].value else { panic!("{entries:?}") };
    let Node::Object(block) = &label[0].value else { panic!("{label:?}") };
    assert_eq!((entries[0].line, entries[1].line, label[0].line, block[0].line), (2, 4, 4, 5));
    let entries = read("\n{\"a\":\n1,\n\"b\":2}", Json);
    assert_eq!((entries[0].line, entries[1].line), (2, 4));
    for (text, notation, line) in [
        ("path \"a\" {\n  capabilities = [read]\n}", Hcl, 2),
        ("\n\npath \"a\" {", Hcl, 3),
        ("path \"a", Hcl, 1),
        ("path \"a\nb\"", Hcl, 1),
        ("a = 1\n/* \n", Hcl, 2),
        ("/* \n */ /*/", Hcl, 2),
        ("a = \"\\q\"", Hcl, 1),
        ("}", Hcl, 1),
        ("a = [1 2]", Hcl, 1),
        ("a", Hcl, 1),
        ("a = <<EOF\nx\nEOF", Hcl, 1),
        ("{\"a\": 1}\n}", Either, 2),
        ("{\"a\": 1}\n}", Json, 2),
        ("{\n\"a\": x}", Json, 2),
        ("{\n\"a\": 1,\n\"a\": 1}", Json, 3),
    ] {
        let error = parse(text, notation, Bounds::STANDARD).unwrap_err();
        assert!(matches!(error.fault, Fault::Syntax(_)), "{text}: {error}");
        assert_eq!(error.line, line, "{text}: {error}");
        assert!(error.to_string().starts_with(&format!("line {line}: ")), "{error}");
    }
}

#[test]
fn a_comment_does_not_end_where_it_begins() {
    assert_eq!(read("/*/ a = 1 /**/ b = 2", Hcl), read("b = 2", Hcl));
}

#[test]
fn sizes_are_bounded() {
    let fault = |text: &str, notation, bounds| parse(text, notation, bounds).unwrap_err().fault;
    let deepest = Bounds { bytes: usize::MAX, depth: u8::MAX, ..Bounds::STANDARD };
    for piece in ["[", "a = {", "a ", "a {", "{", "\"a\":{", "{\"a\":", "[{\"a\":"] {
        let many = piece.repeat(100_000);
        for text in [format!("k = {many}"), format!("{{\"k\":{many}"), many] {
            for notation in [Hcl, Either, Json] {
                for bounds in [Bounds { bytes: usize::MAX, ..Bounds::STANDARD }, deepest] {
                    assert!(parse(&text, notation, bounds).is_err(), "{piece}");
                }
            }
        }
    }
    assert_eq!(fault(&format!("k = {}", "[".repeat(1_000)), Hcl, Bounds::STANDARD), Fault::TooDeep);
    assert_eq!(fault(&r#"{"a":"#.repeat(1_000), Json, Bounds::STANDARD), Fault::TooDeep);
    let three = Bounds { values: 3, bytes: 11, depth: 2 };
    for (text, notation) in [("a = [1, 2] ", Hcl), ("{\"a\":[1,2]}", Either), ("{\"a\":[1,2]}", Json)] {
        assert!(parse(text, notation, three).is_ok(), "{text}");
        assert_eq!(fault(text, notation, Bounds { values: 2, ..three }), Fault::TooMany, "{text}");
        assert_eq!(fault(text, notation, Bounds { bytes: 10, ..three }), Fault::TooLong, "{text}");
        assert_eq!(fault(text, notation, Bounds { depth: 1, ..three }), Fault::TooDeep, "{text}");
    }
}
