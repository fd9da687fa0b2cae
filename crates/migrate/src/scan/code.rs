//! Go and Rust: the standard libraries' functions, and the two ways in which libraries declare variables, tags of a struct
//! in Go and attributes in Rust. `LookupEnv` and `option_env!` say by themselves that the program goes on without.

use super::tokens::Token;
use super::{Argument, Reads, View};

/// `os.Getenv("X")`, `os.LookupEnv("X")`, `viper.BindEnv("key", "X")`, and `env:"X"` in the tags of a struct.
pub(super) fn go(tokens: &[Token]) -> Reads {
    let view = View::new(tokens);
    let mut found = Reads::default();
    for (place, token) in tokens.iter().enumerate() {
        if let Some(text) = token.text() {
            tags(text, token.line, &mut found);
        }
        let after_dot = place > 0 && view.is(place - 1, '.');
        match token.word() {
            Some("Getenv") if after_dot => call(&view, place + 1, 1, &mut found),
            Some("LookupEnv") if after_dot => {
                let before = found.names.len();
                call(&view, place + 1, 1, &mut found);
                found.names.iter_mut().skip(before).for_each(|read| read.default = true);
            }
            Some("BindEnv") if after_dot => call(&view, place + 1, 3, &mut found),
            Some("Environ") if after_dot && view.is(place + 1, '(') => found.dynamic.push(token.line),
            Some("ExpandEnv") if after_dot => {
                if let Some(Argument::Name(text)) = view.argument(place + 2) {
                    let inner = super::shell::reads(&format!("\"{text}\""));
                    inner.names.iter().for_each(|read| found.add(&read.name, token.line, read.default));
                }
            }
            _ => {}
        }
    }
    found
}

/// `env:"X,required" envDefault:"y"`.
fn tags(text: &str, line: usize, found: &mut Reads) {
    for key in ["env:\"", "envconfig:\""] {
        let Some((before, rest)) = text.split_once(key) else { continue };
        if before.ends_with(|c: char| c.is_alphanumeric()) {
            continue;
        }
        let value = rest.split('"').next().unwrap_or_default();
        let mut parts = value.split(',');
        let name = parts.next().unwrap_or_default();
        let required = parts.any(|part| matches!(part.trim(), "required" | "notEmpty"))
            || text.contains("required:\"true\"");
        found.add(name, line, !required);
    }
}

/// `env::var("X")`, `env!("X")`, `option_env!("X")`, and `env = "X"` in an attribute.
pub(super) fn rust(tokens: &[Token]) -> Reads {
    let view = View::new(tokens);
    let mut found = Reads::default();
    for (place, token) in tokens.iter().enumerate() {
        match token.word() {
            Some("env" | "dotenvy" | "dotenv") => {
                let var = ["var", "var_os"].iter().find_map(|var| view.follows(place + 1, &[":", ":", var]));
                if let Some(open) = var {
                    call(&view, open, 1, &mut found);
                }
                let all = ["vars", "vars_os"]
                    .iter()
                    .any(|all| view.follows(place + 1, &[":", ":", all, "("]).is_some());
                if all {
                    found.dynamic.push(token.line);
                }
                if let Some(open) = view.follows(place + 1, &["!"]) {
                    call(&view, open, 1, &mut found);
                }
                // `#[arg(long, env = "X")]`
                let attribute = place > 0 && (view.is(place - 1, ',') || view.is(place - 1, '('));
                if let Some(name) =
                    view.at(place + 2).and_then(Token::text).filter(|_| attribute && view.is(place + 1, '='))
                {
                    found.add(name, token.line, true);
                }
            }
            Some("option_env") => {
                if let Some(Argument::Name(name)) =
                    view.follows(place + 1, &["!", "("]).and_then(|at| view.argument(at))
                {
                    found.add(name, token.line, true);
                }
            }
            _ => {}
        }
    }
    found
}

/// A call whose argument at `offset` from the parenthesis is the name.
fn call(view: &View<'_>, open: usize, offset: usize, found: &mut Reads) {
    if !view.is(open, '(') {
        return;
    }
    match view.argument(open + offset) {
        Some(Argument::Name(name)) => found.add(name, view.line(open), false),
        Some(Argument::Dynamic) => found.dynamic.push(view.line(open)),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Language, reads};

    fn names(source: &str, language: Language) -> String {
        let found = reads(source, language);
        let shown: Vec<_> = found
            .names
            .iter()
            .map(|read| format!("{}{}:{}", read.name, if read.default { "?" } else { "" }, read.line))
            .collect();
        format!("{} / {:?}", shown.join(" "), found.dynamic)
    }

    #[test]
    fn go_programs() {
        let source = "a := os.Getenv(\"A\") // os.Getenv(\"NO\")\nb, ok := os.LookupEnv(`B`)\nconst key = \"C\"\nos.Getenv(key); os.Getenv(other)\ntype T struct {\n  D string `env:\"D,required\" json:\"d\"`\n  E string `env:\"E\" envDefault:\"x\"`\n}\nos.ExpandEnv(\"$F/x\")\nviper.BindEnv(\"g\", \"G\")\n";
        assert_eq!(names(source, Language::Go), "A:1 B?:2 C:4 D:6 E?:7 F:9 G:10 / [4]");
    }

    #[test]
    fn rust_programs() {
        let source = "let a = std::env::var(\"A\")?; /* env::var(\"NO\") */\nconst B: &str = env!(\"B\");\noption_env!(\"C\");\n#[arg(long, env = \"D\")]\nenv::var_os(name); for x in env::vars() {}\nlet s = \"env::var(\\\"NO\\\")\"; let env = \"x\";\n";
        assert_eq!(names(source, Language::Rust), "A:1 B:2 C?:3 D?:4 / [5]");
    }
}
