//! Values stay in the places where they are put, whatever they are; what cannot be rendered is refused.

use proptest::prelude::*;

use super::*;

const EVIL: &str = r#"x";DROP ROLE victim;--'\"#;

fn one(sql: &str, name: &str, password: &str, dialect: Dialect) -> Result<String, Error> {
    let password = SecretText::from(password);
    let values =
        Values { name: Some(name), password: Some(&password), expiration: Some("2026-11-22 09:30:00+00") };
    let made = render(&[sql.to_owned()], dialect, &values)?;
    Ok(made.iter().map(|sql| sql.expose().as_str()).collect::<Vec<_>>().join(" | "))
}

fn pg(sql: &str, name: &str, password: &str) -> Result<String, Error> {
    one(sql, name, password, Dialect::Postgresql)
}

#[test]
fn texts_are_taken_in_vaults_forms() {
    let statement = "CREATE ROLE x; GRANT y TO x";
    let list = r#"["CREATE ROLE x;", "GRANT y TO x;"]"#;
    assert_eq!(from_text(statement), [statement]);
    assert_eq!(from_text(&STANDARD.encode(statement)), [statement]);
    assert_eq!(from_text(list), ["CREATE ROLE x;", "GRANT y TO x;"]);
    assert_eq!(from_text(&STANDARD.encode(list)), from_text(list));
    assert_eq!(from_text(" "), Vec::<String>::new());
    assert_eq!(from_text("CHECKPOINT"), ["CHECKPOINT"], "a word that is valid base64");
}

#[test]
fn semicolons_in_quotes_and_comments_end_nothing() {
    let sql = r#"a ';''' b; c ";" -- d; e
        ; $$ f; $$ ; $x$ g $$; $x$; /* h; /* i; */ */ j; E'k\';' ; 'l\' ; $1 ;;"#;
    let found = split(&[sql.to_owned()], Dialect::Postgresql).unwrap();
    assert_eq!(found, ["a ';''' b", "c \";\"", "$$ f; $$", "$x$ g $$; $x$", "j", "E'k\\';'", "'l\\'", "$1"]);
    let found = split(&["a # b;\n; `c;`; 'd\\';'; -- e;".to_owned()], Dialect::Mysql).unwrap();
    assert_eq!(found, ["a", "`c;`", "'d\\';'"]);
}

#[test]
fn values_are_quoted_for_where_they_stand() {
    assert_eq!(
        pg(
            r#"CREATE ROLE "{{name}}" LOGIN PASSWORD '{{ password }}' VALID UNTIL '{{expiration}}'"#,
            EVIL,
            EVIL
        )
        .unwrap(),
        r#"CREATE ROLE "x"";DROP ROLE victim;--'\" LOGIN PASSWORD 'x";DROP ROLE victim;--''\' VALID UNTIL '2026-11-22 09:30:00+00'"#
    );
    assert_eq!(
        pg("CREATE ROLE {{username}} PASSWORD {{password}}", "a\"b", "c'd").unwrap(),
        r#"CREATE ROLE "a""b" PASSWORD 'c''d'"#
    );
    assert_eq!(pg("SELECT E'{{name}}'", r"a\'b", "").unwrap(), r"SELECT E'a\\''b'");
    assert_eq!(pg("SELECT '{{name}}'", r"a\'b", "").unwrap(), r"SELECT 'a\''b'");
    assert_eq!(
        one("CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'", "u", r"a'\b", Dialect::Mysql).unwrap(),
        r"CREATE USER 'u'@'%' IDENTIFIED BY 'a''\\b'"
    );
    assert_eq!(
        one("DROP USER {{name}}, `{{name}}`", "a`'b", "", Dialect::Mysql).unwrap(),
        "DROP USER 'a`''b', `a``'b`"
    );
}

#[test]
fn i1_i4_what_might_be_run_takes_only_plain_values() {
    let body = r#"DO $$ BEGIN EXECUTE 'DROP ROLE "{{name}}"'; END $$"#;
    assert_eq!(pg(body, "v-a-1", "").unwrap(), body.replace("{{name}}", "v-a-1"));
    let refused = pg(body, EVIL, "").unwrap_err();
    assert!(refused.to_string().contains("longer text"), "{refused}");
    let alone = r"DO $$ BEGIN EXECUTE format('DROP ROLE %I', '{{name}}'); END $$";
    assert!(pg(alone, EVIL, "").unwrap().contains(r#"'x";DROP ROLE victim;--''\'"#));
    let ends = pg(alone, "a$$; DROP ROLE victim; $$", "").unwrap_err();
    assert!(ends.to_string().contains("end the dollar quote"), "{ends}");
    let near = pg("DO $a$ x \"{{name}}\"$a$", "b$a", "").unwrap();
    assert_eq!(near, "DO $a$ x \"b$a\"$a$");
    assert!(pg("DO $a$ x \"{{name}}\"$a$", "b$a$", "").is_err());
}

#[test]
fn i14_what_cannot_be_is_refused() {
    for (sql, say) in [
        ("GRANT {{role}} TO x", "{{role}}"),
        ("GRANT '{{public_key}}' TO x", "{{public_key}}"),
        ("GRANT {{name TO x", "not closed"),
        ("a 'b", "not closed"),
        ("a \"b", "not closed"),
        ("a $b$ c $b", "not closed"),
        ("a /* b", "not closed"),
        ("a \0 b", "NUL"),
        ("commit", "one transaction"),
        ("x; -- y\nROLLBACK TO z", "one transaction"),
    ] {
        let refused = pg(sql, "n", "p").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        assert!(refused.to_string().contains(say), "{sql}: {refused}");
    }
    assert!(pg("SELECT '{{password}}'", "n", "a\0b").unwrap_err().to_string().contains("NUL"));
    assert!(one("/*! DROP */", "n", "p", Dialect::Mysql).is_err());
    assert!(check(&["x;".repeat(300)], Dialect::Postgresql).is_err());
    let without = Values { name: Some("n"), ..Values::default() };
    assert!(render(&["'{{password}}'".to_owned()], Dialect::Postgresql, &without).is_err());
}

#[test]
fn mentions_looks_for_the_whole_name() {
    let list = ["VALID UNTIL '{{ expiration }}'".to_owned()];
    assert!(mentions(&list, "expiration"));
    assert!(!mentions(&["{{expiration2}} expiration".to_owned()], "expiration"));
}

proptest! {
    #[test]
    fn nothing_panics_and_pieces_stay_whole(text in "[-a-c '\"$;/*{}\\\\\n#`xE]{0,60}", name in "[-a '\"$;\\\\`]{0,12}") {
        for dialect in [Dialect::Postgresql, Dialect::Mysql] {
            if let Ok(tokens) = lex::tokens(&text, dialect) {
                let joined: String = tokens.iter().map(|token| token.text).collect();
                prop_assert_eq!(&joined, &text);
            }
            let _ = one(&text, &name, &name, dialect);
        }
    }

    /// Whatever the value is, the statement keeps its shape: as many tokens of the same kinds as with a harmless one.
    #[test]
    fn i1_i4_no_value_changes_the_shape_of_a_statement(name in "[-a '\"$;\\\\`/*]{1,16}") {
        let sql = r#"CREATE ROLE "{{name}}" IN ROLE {{username}} PASSWORD '{{password}}' /* {{x */; SELECT E'{{name}}'"#;
        for dialect in [Dialect::Postgresql, Dialect::Mysql] {
            let shape = |sql: &str| {
                lex::tokens(sql, dialect).unwrap().iter().map(|token| format!("{:?}", token.kind)).collect::<Vec<_>>()
            };
            prop_assert_eq!(shape(&one(sql, &name, &name, dialect).unwrap()), shape(&one(sql, "n", "n", dialect).unwrap()));
        }
    }
}
