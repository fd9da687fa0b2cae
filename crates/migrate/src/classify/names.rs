//! What a variable's name says.

/// How a name speaks of a secret, if it does.
pub(super) fn names_a_secret(name: &str) -> Option<&'static str> {
    if is_exception(name) {
        return None;
    }
    words(name).iter().find_map(|word| {
        let lexicon: &[(Matches, &'static str)] = &[
            (contains, "pass"),
            (contains, "pwd"),
            (contains, "secret"),
            (contains, "token"),
            (contains, "cred"),
            (contains, "hmac"),
            (contains, "apikey"),
            (is, "pw"),
            (is, "psw"),
            // French: mot de passe, jeton, clé.
            (contains, "mdp"),
            (contains, "jeton"),
            (is, "cle"),
            (ends, "key"),
            (ends, "keys"),
            (is, "salt"),
            (is, "pepper"),
            (starts, "auth"),
            (ends, "dsn"),
            (starts, "sign"),
            (starts, "priv"),
            (starts, "cert"),
            (contains, "webhook"),
            (is, "pin"),
            (is, "otp"),
            (is, "totp"),
            (is, "seed"),
            (starts, "encrypt"),
            (is, "jwt"),
            (is, "fernet"),
            (is, "license"),
        ];
        lexicon.iter().find(|(matches, part)| matches(word, part)).map(|(_, part)| *part)
    })
}

type Matches = fn(&str, &str) -> bool;

/// Names that hold one of those words and yet speak of something else. What they hold is still looked at.
fn is_exception(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    if upper.contains("WEBHOOK") && !upper.ends_with("_ENABLED") {
        return false;
    }
    upper.starts_with("PUBLIC_")
        || upper.contains("_PUBLIC_KEY")
        || upper.contains("_TTL")
        || EXCEPTION_ENDS.iter().any(|end| upper.ends_with(end))
}

const EXCEPTION_ENDS: &[&str] = &[
    "_KEY_PREFIX",
    "_PREFIX",
    "_LENGTH",
    "_KEY_ID",
    "_URL",
    "_URI",
    "_ENDPOINT",
    "_FILE",
    "_PATH",
    "_DIR",
    "_NAME",
    "_ENABLED",
    "_DISABLED",
    "_REQUIRED",
    "_EXPIRES",
    "_EXPIRY",
    "_EXPIRATION",
    "_LIFETIME",
    "_MINUTES",
    "_SECONDS",
    "_HOURS",
    "_DAYS",
    "_TIMEOUT",
    "_ALGORITHM",
    "_ALG",
    "_ISSUER",
    "_AUDIENCE",
    "_ROUNDS",
    "_SIZE",
    "_COUNT",
    "_LIMIT",
    "_MAX",
    "_MIN",
    "_TYPE",
    "_LOCATION",
    "_METHOD",
    "_HOST",
    "_PORT",
    "_LEVEL",
    "_VERSION",
    "_USER",
    "_USERNAME",
    "_EMAIL",
    "_POLICY",
    "_MODE",
    "_BACKEND",
];

/// Names of settings that people fill with a plain word.
pub(super) fn names_a_setting(name: &str) -> bool {
    const LAST: &[&str] = &[
        "NAME",
        "USER",
        "USERNAME",
        "DB",
        "DATABASE",
        "HOST",
        "HOSTNAME",
        "SERVER",
        "DOMAIN",
        "REGION",
        "ENV",
        "ENVIRONMENT",
        "MODE",
        "BUCKET",
        "SCHEMA",
        "QUEUE",
        "PREFIX",
        "TYPE",
        "FORMAT",
        "BACKEND",
        "ENGINE",
        "DRIVER",
        "LANG",
        "LANGUAGE",
        "LOCALE",
        "TZ",
        "TIMEZONE",
        "LEVEL",
        "ALGORITHM",
        "ALG",
        "ISSUER",
        "AUDIENCE",
        "CHARSET",
        "ENCODING",
        "SAMESITE",
        "POLICY",
        "STRATEGY",
        "CLASS",
        "MODULE",
        "APP",
        "VERSION",
        "RELEASE",
        "TITLE",
        "LABEL",
        "CURRENCY",
        "COUNTRY",
        "CITY",
        "SENDER",
        "PROJECT",
        "CLUSTER",
        "NAMESPACE",
        "SERVICE",
        "PROVIDER",
        "MODEL",
        "TOPIC",
        "CHANNEL",
        "INDEX",
        "TABLE",
        "PROTOCOL",
        "METHOD",
        "LOCATION",
        "COLOR",
        "THEME",
        "EDITION",
        "ZONE",
        "STORAGE",
        "SCHEME",
    ];
    let upper = name.to_ascii_uppercase();
    words(&upper).last().is_some_and(|last| LAST.contains(&last.to_ascii_uppercase().as_str()))
}

/// The pieces between `_`, `-` and `.`, in lower case.
fn words(name: &str) -> Vec<String> {
    let lower = name.to_ascii_lowercase();
    lower
        .split(['_', '-', '.'])
        .filter(|word| !word.is_empty())
        .map(|word| word.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned())
        .collect()
}

fn contains(word: &str, part: &str) -> bool {
    word.contains(part)
}

fn starts(word: &str, part: &str) -> bool {
    word.starts_with(part) && !matches!(word, "author" | "authors" | "signup" | "private")
        || (part == "priv" && word == "private")
}

fn ends(word: &str, part: &str) -> bool {
    word.ends_with(part) && word != "monkey"
}

fn is(word: &str, part: &str) -> bool {
    word == part
}
