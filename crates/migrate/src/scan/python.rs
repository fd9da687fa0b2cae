//! Python: the environment itself, and the readers of settings that people put before it. A call that could be anybody's
//! (`config`, `env`) counts only with a name in capitals.

use super::settings;
use super::tokens::Token;
use super::{Argument, Reads, View};

/// django-environ's and environs' typed readers.
const TYPED: &[&str] = &[
    "str",
    "unicode",
    "bytes",
    "bool",
    "int",
    "float",
    "decimal",
    "json",
    "list",
    "tuple",
    "dict",
    "url",
    "path",
    "db",
    "db_url",
    "cache",
    "cache_url",
    "email",
    "email_url",
    "search_url",
    "channels",
    "channels_url",
    "get_value",
    "uuid",
    "date",
    "datetime",
    "time",
    "timedelta",
    "enum",
    "log_level",
    "dj_db_url",
    "dj_email_url",
    "dj_cache_url",
];
/// The names that django-environ asks for when it is given none.
const UNNAMED: &[(&str, &str)] = &[
    ("db", "DATABASE_URL"),
    ("db_url", "DATABASE_URL"),
    ("cache", "CACHE_URL"),
    ("cache_url", "CACHE_URL"),
    ("email", "EMAIL_URL"),
    ("email_url", "EMAIL_URL"),
    ("search_url", "SEARCH_URL"),
];

pub(super) fn reads(tokens: &[Token]) -> Reads {
    let view = View::new(tokens);
    let mut found = settings::fields(&view);
    for (place, token) in tokens.iter().enumerate() {
        let Some(word) = token.word() else { continue };
        match word {
            "environ" | "environb" => environ(&view, place, &mut found),
            "getenv" | "getenvb" => call(&view, place + 1, &mut found, true),
            "get_secret" => named_call(&view, place + 1, &mut found),
            "config" | "env" | "environ_get" => {
                named_call(&view, place + 1, &mut found);
                typed(&view, place + 1, &mut found);
            }
            _ => {}
        }
    }
    found
}

/// `environ[…]`, `environ.get(…)`, `"X" in environ`, and walks over all of it.
fn environ(view: &View<'_>, place: usize, found: &mut Reads) {
    let line = view.line(place);
    // `"X" in os.environ`
    let front = if place >= 2 && view.is(place - 1, '.') { place - 2 } else { place };
    if front >= 2
        && view.word(front - 1) == Some("in")
        && let Some(name) = view.at(front - 2).and_then(Token::text)
    {
        found.add(name, view.line(front - 2), true);
    }
    if view.is(place + 1, '[') {
        match view.argument(place + 2) {
            // `environ["X"] = …` sets it.
            Some(Argument::Name(name)) => {
                let sets = view.is(place + 3, ']') && view.is(place + 4, '=') && !view.is(place + 5, '=');
                if !sets {
                    found.add(name, line, false);
                }
            }
            Some(Argument::Dynamic) => found.dynamic.push(line),
            None => {}
        }
        return;
    }
    if !view.is(place + 1, '.') {
        return;
    }
    match view.word(place + 2) {
        Some("get" | "pop" | "setdefault") => {
            call(view, place + 3, found, view.word(place + 2) != Some("pop"))
        }
        Some("items" | "keys") => found.dynamic.push(line),
        _ => {}
    }
}

/// A call that is about the environment whatever it is given. `soft`: without a second argument it gives None.
fn call(view: &View<'_>, open: usize, found: &mut Reads, soft: bool) {
    if !view.is(open, '(') {
        return;
    }
    match view.argument(open + 1) {
        Some(Argument::Name(name)) => found.add(name, view.line(open), soft || view.has_second(open + 1)),
        Some(Argument::Dynamic) => found.dynamic.push(view.line(open)),
        None => {}
    }
}

/// A call of a common name: counts only with a name in capitals.
fn named_call(view: &View<'_>, open: usize, found: &mut Reads) {
    if view.is(open, '(')
        && let Some(Argument::Name(name)) = view.argument(open + 1)
    {
        found.add_capital(name, view.line(open), view.has_second(open + 1));
    }
}

/// `env.bool("X")`, `env.db()`.
fn typed(view: &View<'_>, dot: usize, found: &mut Reads) {
    let Some(reader) = view.word(dot + 1).filter(|word| view.is(dot, '.') && TYPED.contains(word)) else {
        return;
    };
    if !view.is(dot + 2, '(') {
        return;
    }
    let unnamed = UNNAMED.iter().find(|(known, _)| *known == reader);
    if let (true, Some((_, name))) = (view.is(dot + 3, ')'), unnamed) {
        found.add(name, view.line(dot), false);
        return;
    }
    named_call(view, dot + 2, found);
}

#[cfg(test)]
mod tests {
    use super::super::{Language, reads};

    fn names(source: &str) -> String {
        let found = reads(source, Language::Python);
        let shown: Vec<_> = found
            .names
            .iter()
            .map(|read| format!("{}{}:{}", read.name, if read.default { "?" } else { "" }, read.line))
            .collect();
        format!("{} / {:?}", shown.join(" "), found.dynamic)
    }

    #[test]
    fn names_are_found_however_they_are_asked_for() {
        let source = r#"A = os.environ["A_KEY"]; B = os.getenv( 'B_KEY', "x"); C = environ.get("C_KEY")
D = get_secret("D_KEY") ; E = env.bool("E_FLAG", default=False); F = config('F_KEY')
os.environ.setdefault("G_KEY", "1"); app_config("H"); os.environ[name]; env("lower")
if "I_KEY" in os.environ: pass
NAME = "J_KEY"
os.environ[NAME]
os.environ["SET"] = "1"
env.db(); os.environ["K_KEY"] == "x"
for k, v in os.environ.items(): pass
f"{os.environ['L_KEY']}"
"#;
        assert_eq!(
            names(source),
            "A_KEY:1 B_KEY?:1 C_KEY?:1 D_KEY:2 E_FLAG?:2 F_KEY:2 G_KEY?:3 I_KEY?:4 J_KEY:6 DATABASE_URL:8 K_KEY:8 L_KEY:10 / [3, 9]"
        );
    }

    #[test]
    fn comments_and_sentences_are_none() {
        let source =
            "# os.environ[\"A\"]\n\"\"\"os.getenv('B')\"\"\"\nx = 'os.getenv(\"C\")'\nmy_getenv('D')\n";
        assert_eq!(names(source), " / []");
    }

    #[test]
    fn settings_of_pydantic_are_fields() {
        let source = r#"
class Base(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="app_", env_file=".env")
    token: str
    retries: int = 3
    dsn: PostgresDsn = Field(validation_alias="PG_DSN")
    other: str = Field(validation_alias=AliasChoices("ONE", "TWO"))

    def method(self) -> str:
        local: int = 1
        return self.token

class Child(Base):
    extra: dict[str, int]

class Plain(BaseModel):
    not_read: str
"#;
        assert_eq!(names(source), "APP_TOKEN:4 APP_RETRIES?:5 PG_DSN:6 ONE?:7 TWO?:7 APP_EXTRA:14 / []");
    }
}
