//! Which variables Python code asks its environment for: what a `.env` file should set and may not.

use std::collections::BTreeSet;

/// What stands before the quoted name: `os.environ["NAME"]`, `os.getenv("NAME")`, and the usual readers of settings.
const ASKED_BY: &[&str] = &[
    "environ[",
    "environ.get(",
    "environ.pop(",
    "environ.setdefault(",
    "getenv(",
    "get_secret(",
    "config(",
    "env(",
    "env.str(",
    "env.int(",
    "env.bool(",
    "env.list(",
    "env.url(",
];

/// Every system sets these.
const SYSTEM: &[&str] = &["HOME", "PATH", "USER", "PWD", "SHELL", "LANG", "TERM", "TMPDIR", "HOSTNAME", "TZ"];

/// The names that a source file asks for, comments included: better one too many than one too few.
#[must_use]
pub fn names_read(source: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for front in ASKED_BY {
        for (at, _) in source.match_indices(front) {
            let whole_word = !source.get(..at).unwrap_or_default().ends_with(is_word);
            let name = source.get(at + front.len()..).and_then(quoted);
            found.extend(name.filter(|name| whole_word && is_variable(name)).map(str::to_owned));
        }
    }
    found
}

/// The text between the quotes that the source goes on with.
fn quoted(source: &str) -> Option<&str> {
    let source = source.trim_start();
    let quote = source.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    source.get(1..)?.split(quote).next()
}

/// Settings are written in capitals; anything else is another kind of key.
fn is_variable(name: &str) -> bool {
    coffre_manifest::is_variable_name(name)
        && name.bytes().all(|byte| !byte.is_ascii_lowercase())
        && name.bytes().any(|byte| byte.is_ascii_uppercase())
        && !SYSTEM.contains(&name)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_however_they_are_asked_for() {
        let source = r#"
            A = os.environ["A_KEY"]; B = os.getenv( 'B_KEY', "x"); C = environ.get("C_KEY")
            D = get_secret("D_KEY") ; E = env.bool("E_FLAG", default=False); F = config('F_KEY')
            os.environ.setdefault("G_KEY", "1"); app_config("H"); os.environ[name]; os.environ["HOME"]; env("lower")
        "#;
        let found: Vec<_> = names_read(source).into_iter().collect();
        assert_eq!(found, ["A_KEY", "B_KEY", "C_KEY", "D_KEY", "E_FLAG", "F_KEY", "G_KEY"]);
    }
}
