//! What a value looks like, whatever its name. Values are looked at, never kept or shown.

/// Words that stand where a value has yet to be filled in.
pub(super) fn is_placeholder(value: &str) -> bool {
    let lower = value.trim().to_ascii_lowercase();
    let bracketed = lower.len() > 2
        && ((lower.starts_with('<') && lower.ends_with('>'))
            || (lower.starts_with("{{") && lower.ends_with("}}")));
    let crossed = lower.len() >= 3 && lower.bytes().all(|byte| byte == b'x' || byte == b'-' || byte == b'*');
    let words: String = lower.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    bracketed
        || crossed
        || matches!(
            words.as_str(),
            "todo" | "tbd" | "fixme" | "placeholder" | "dummy" | "redacted" | "none-yet"
        )
        || [
            "changeme",
            "change-me",
            "change-this",
            "replace-me",
            "replace-with",
            "your-",
            "insert-",
            "put-your-",
            "to-be-set",
        ]
        .iter()
        .any(|front| words.starts_with(front) && words.len() < 64)
        || value.contains("EXAMPLEKEY")
        || value.ends_with("IOSFODNN7EXAMPLE")
}

/// Formats that only credentials have.
pub(super) fn credential_format(value: &str) -> Option<&'static str> {
    let value = value.trim();
    let found = [
        (value.contains("-----BEGIN ") || value.contains("-----BEGIN\\n"), "a PEM block"),
        (is_jwt(value), "a JSON Web Token"),
        (is_password_hash(value), "a password hash"),
        (TOKEN_FRONTS.iter().any(|(front, least)| has_front(value, front, *least)), "a known token format"),
        (urls(value).any(has_userinfo), "a URL with user information"),
        (urls(value).any(has_secret_query), "a URL with a credential in its query"),
        (WEBHOOKS.iter().any(|place| value.contains(place)), "a webhook URL"),
        (is_keyword_dsn(value), "a connection string with a password"),
    ];
    found.into_iter().find_map(|(is, what)| is.then_some(what))
}

/// Prefix, and the least number of characters behind it.
const TOKEN_FRONTS: &[(&str, usize)] = &[
    ("AKIA", 16),
    ("ASIA", 16),
    ("AIza", 30),
    ("ghp_", 20),
    ("gho_", 20),
    ("ghu_", 20),
    ("ghs_", 20),
    ("ghr_", 20),
    ("github_pat_", 20),
    ("glpat-", 16),
    ("xoxa-", 8),
    ("xoxb-", 8),
    ("xoxp-", 8),
    ("xoxr-", 8),
    ("xoxs-", 8),
    ("xapp-", 8),
    ("sk-", 16),
    ("sk_", 12),
    ("rk_", 12),
    ("pk_", 12),
    ("whsec_", 12),
    ("SG.", 20),
    ("hvs.", 8),
    ("hvb.", 8),
    ("hvr.", 8),
    ("ya29.", 10),
    ("npm_", 20),
    ("pypi-", 20),
    ("dop_v1_", 20),
    ("shpat_", 16),
    ("AGE-SECRET-KEY-", 16),
    ("Bearer ", 8),
    ("Basic ", 6),
];

const WEBHOOKS: &[&str] = &[
    "hooks.slack.com/",
    "discord.com/api/webhooks/",
    "discordapp.com/api/webhooks/",
    ".webhook.office.com/",
    "/webhook/",
    "/webhooks/",
    "api.telegram.org/bot",
];

const SECRET_PARAMETERS: &[&str] = &[
    "token",
    "password",
    "passwd",
    "pwd",
    "secret",
    "key",
    "sig",
    "signature",
    "apikey",
    "api_key",
    "access_token",
    "auth",
    "sv",
];

fn has_front(value: &str, front: &str, least: usize) -> bool {
    value.strip_prefix(front).is_some_and(|rest| rest.len() >= least && !rest.contains(char::is_whitespace))
}

fn is_jwt(value: &str) -> bool {
    let segments: Vec<&str> = value.split('.').collect();
    matches!(segments.len(), 3 | 5)
        && value.starts_with("eyJ")
        && segments.iter().all(|segment| {
            segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'='))
        })
}

fn is_password_hash(value: &str) -> bool {
    [
        "$2a$",
        "$2b$",
        "$2y$",
        "$argon2",
        "$5$",
        "$6$",
        "$y$",
        "pbkdf2:",
        "pbkdf2_sha",
        "scrypt:",
        "{SSHA}",
        "$apr1$",
        "SCRAM-SHA-",
    ]
    .iter()
    .any(|front| value.starts_with(front))
}

/// What stands behind each `scheme://` of the value, nested schemes and lists included.
fn urls(value: &str) -> impl Iterator<Item = &str> {
    value.match_indices("://").filter_map(|(at, _)| value.get(at + 3..))
}

/// `user@`, `:password@` or both before the first `/`, `?` or `#` of the authority. A password may itself hold `/` or
/// `?` without being encoded, so an `@` further on counts when a `:` stands before it and no path can begin earlier.
fn has_userinfo(after_scheme: &str) -> bool {
    let authority = after_scheme.split(['/', '?', '#', ' ', ',']).next().unwrap_or_default();
    if authority.contains('@') {
        return true;
    }
    let Some((before, _)) = after_scheme.rsplit_once('@') else { return false };
    // `host:8080/a@b` is a port and a path; anything else between `:` and `@` is a password with odd characters.
    before.split_once(':').is_some_and(|(_, rest)| {
        let port = rest.split(['/', '?', '#']).next().unwrap_or_default();
        port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn has_secret_query(after_scheme: &str) -> bool {
    let Some((_, query)) = after_scheme.split_once('?') else { return false };
    query.split(['&', ';']).filter_map(|pair| pair.split_once('=')).any(|(name, value)| {
        let name = name.to_ascii_lowercase();
        !value.is_empty()
            && SECRET_PARAMETERS.iter().any(|word| name == *word || name.ends_with(&format!("_{word}")))
    })
}

/// `host=… password=…`, `AccountKey=…;`, `Server=…;Pwd=…`.
fn is_keyword_dsn(value: &str) -> bool {
    value.split([' ', ';', ',']).filter_map(|pair| pair.split_once('=')).any(|(name, rest)| {
        let name = name.trim().to_ascii_lowercase();
        !rest.is_empty()
            && matches!(
                name.as_str(),
                "password"
                    | "pwd"
                    | "passwd"
                    | "accountkey"
                    | "sharedaccesskey"
                    | "sharedaccesssignature"
                    | "secret"
                    | "token"
            )
    })
}

/// Shannon entropy in bits per character.
pub(super) fn entropy(value: &str) -> f64 {
    let mut counts = std::collections::BTreeMap::new();
    let mut total = 0_u32;
    for c in value.chars() {
        *counts.entry(c).or_insert(0_u32) += 1;
        total += 1;
    }
    counts
        .values()
        .map(|count| f64::from(*count) / f64::from(total.max(1)))
        .map(|share| -share * share.log2())
        .sum()
}

/// Values that are settings by their form alone: the reason, if this is one.
pub(super) fn setting_format(value: &str) -> Option<&'static str> {
    let value = value.trim();
    let lower = value.to_ascii_lowercase();
    let found = [
        (is_boolean(&lower), "a boolean"),
        (is_number(value), "a number"),
        (
            matches!(
                lower.as_str(),
                "debug" | "info" | "warn" | "warning" | "error" | "critical" | "fatal" | "trace" | "notset"
            ),
            "a log level",
        ),
        (WORDS.contains(&lower.as_str()), "a word from a fixed set"),
        (is_duration(&lower), "a length of time"),
        (is_email(value), "an e-mail address"),
        (is_locale(value), "a locale or time zone"),
        (is_list_of(value, is_plain_url), "a URL without credentials"),
        (is_list_of(value, is_address), "a network address"),
        (is_path(value), "a path"),
    ];
    found.into_iter().find_map(|(is, what)| is.then_some(what))
}

/// `true`, `off`, …; not `0` and `1`, which are numbers.
pub(super) fn is_boolean(lower: &str) -> bool {
    matches!(lower, "true" | "false" | "yes" | "no" | "on" | "off" | "enabled" | "disabled")
}

const WORDS: &[&str] = &[
    "development",
    "dev",
    "staging",
    "production",
    "prod",
    "test",
    "testing",
    "local",
    "ci",
    "default",
    "none",
    "null",
    "auto",
    "lax",
    "strict",
    "simple",
    "redis",
    "memcached",
    "filesystem",
    "memory",
    "sqlite",
    "postgresql",
    "postgres",
    "mysql",
    "json",
    "yaml",
    "text",
    "console",
    "stdout",
    "stderr",
    "http",
    "https",
    "tcp",
    "udp",
    "tls",
    "ssl",
    "starttls",
    "smtp",
    "utf-8",
    "utf8",
    "latin-1",
    "gzip",
    "hs256",
    "hs384",
    "hs512",
    "rs256",
    "rs512",
    "es256",
    "eddsa",
    "sha256",
    "sha512",
    "bcrypt",
    "argon2",
    "gevent",
    "eventlet",
    "threading",
    "prefork",
    "solo",
    "sync",
    "asyncio",
    "uvicorn",
    "gunicorn",
    "require",
    "verify-full",
    "verify-ca",
    "prefer",
    "allow",
    "disable",
    "headers",
    "cookies",
    "bearer",
    "public",
    "s3",
    "gcs",
    "disk",
    "cpu",
    "gpu",
    "osrm",
    "haversine",
    "google",
    "mapbox",
];

fn is_number(value: &str) -> bool {
    let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    // Longer runs of digits may be a card, an account or a numeric token.
    let few =
        |text: &str| !text.is_empty() && text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    few(whole) && few(part)
}

fn is_duration(lower: &str) -> bool {
    let digits = lower.bytes().take_while(u8::is_ascii_digit).count();
    let unit = lower.get(digits..).unwrap_or_default().trim();
    (1..=6).contains(&digits)
        && matches!(
            unit,
            "ms" | "s"
                | "sec"
                | "m"
                | "min"
                | "h"
                | "d"
                | "w"
                | "days"
                | "hours"
                | "minutes"
                | "seconds"
                | "b"
                | "k"
                | "kb"
                | "mb"
                | "gb"
                | "mib"
                | "gib"
                | "%"
        )
}

fn is_email(value: &str) -> bool {
    let plain = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+'))
    };
    // `Name <a@b.fr>` is how senders are written.
    let address = value.rsplit_once('<').and_then(|(_, rest)| rest.strip_suffix('>')).unwrap_or(value);
    address.split_once('@').is_some_and(|(user, host)| plain(user) && is_domain(host) && user.len() <= 64)
}

fn is_locale(value: &str) -> bool {
    let (language, rest) = value.split_at_checked(2).unwrap_or_default();
    let bare = rest.split('.').next().unwrap_or_default();
    let country = bare.strip_prefix(['_', '-']);
    let locale = language.bytes().all(|byte| byte.is_ascii_lowercase())
        && !language.is_empty()
        && country.is_none_or(|country| {
            country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase())
        })
        && (rest.is_empty() || country.is_some());
    let zones =
        ["Europe/", "America/", "Asia/", "Africa/", "Australia/", "Pacific/", "Atlantic/", "Indian/", "Etc/"];
    locale || value == "UTC" || (zones.iter().any(|zone| value.starts_with(zone)) && value.len() < 40)
}

fn is_list_of(value: &str, one: fn(&str) -> bool) -> bool {
    let value = value.trim_start_matches('[').trim_end_matches(']');
    let mut items = value
        .split([',', ' '])
        .map(|item| item.trim().trim_matches(['"', '\'']))
        .filter(|item| !item.is_empty())
        .peekable();
    items.peek().is_some() && items.all(one)
}

/// A URL without user information, secret parameters or a part that looks drawn at random.
fn is_plain_url(value: &str) -> bool {
    let Some((scheme, rest)) = value.split_once("://") else { return false };
    let scheme_ok = !scheme.is_empty()
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    let (authority, tail) = rest.split_once('/').unwrap_or((rest, ""));
    let authority_ok =
        authority == "*" || is_host_port(authority) || (authority.is_empty() && is_path(&format!("/{tail}")));
    scheme_ok
        && authority_ok
        && !has_userinfo(rest)
        && !has_secret_query(rest)
        && !tail.split(['/', '?', '&', '=', '#']).any(looks_random)
}

/// `host:port`, an address, a network, or a name with a suffix that only hosts have.
fn is_address(value: &str) -> bool {
    let host = value.split(['/', ':']).next().unwrap_or_default();
    let known = host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok()
        || value.parse::<std::net::IpAddr>().is_ok();
    let suffixed =
        HOST_SUFFIXES.iter().any(|suffix| host.ends_with(suffix)) && is_domain(host.trim_start_matches("*."));
    let port = value.strip_prefix(host).and_then(|rest| rest.strip_prefix(':')).is_some_and(|port| {
        port.len() <= 5
            && !port.is_empty()
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && is_host_port(value)
    });
    (known || suffixed || port) && !value.split(['/', '.', ':']).any(looks_random)
}

const HOST_SUFFIXES: &[&str] = &[
    ".com",
    ".org",
    ".net",
    ".io",
    ".fr",
    ".be",
    ".ch",
    ".eu",
    ".ca",
    ".de",
    ".dev",
    ".app",
    ".local",
    ".internal",
    ".svc",
    ".lan",
];

fn is_host_port(authority: &str) -> bool {
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "0"));
    let host_ok = host.split('.').all(|label| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'*'))
    });
    host_ok
        && !port.is_empty()
        && port.len() <= 5
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && !host.split('.').any(looks_random)
}

fn is_domain(host: &str) -> bool {
    host.contains('.')
        && is_host_port(host)
        && host.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_alphabetic()))
}

fn is_path(value: &str) -> bool {
    let rooted = ["/", "./", "../", "~/"].iter().any(|front| value.starts_with(front))
        || value
            .get(1..3)
            .is_some_and(|rest| rest == ":\\" && value.starts_with(|c: char| c.is_ascii_alphabetic()));
    let characters = value.chars().all(|c| c.is_ascii_alphanumeric() || "/._-~:\\+@ *".contains(c));
    // Base64 may begin with a slash: a path has segments that somebody wrote.
    rooted && characters && value.len() > 1 && !value.split(['/', '\\']).any(looks_random)
}

/// Long, and mixing letters and digits as nobody writes a word.
pub(super) fn looks_random(piece: &str) -> bool {
    let letters = piece.bytes().filter(u8::is_ascii_alphabetic).count();
    let digits = piece.bytes().filter(u8::is_ascii_digit).count();
    let mixed_case = piece.bytes().any(|byte| byte.is_ascii_uppercase())
        && piece.bytes().any(|byte| byte.is_ascii_lowercase());
    piece.len() >= 16
        && letters >= 1
        && (digits >= 3 || (digits >= 1 && mixed_case) || (mixed_case && piece.len() >= 24))
        && entropy(piece) >= 3.0
}

/// A short word that somebody chose for people to read.
pub(super) fn is_plain_word(value: &str) -> bool {
    value.len() <= 40
        && value.starts_with(|c: char| c.is_ascii_alphabetic())
        && value.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'.' | b'_' | b'-' | b'/' | b':')
        })
        && !value.split(['/', '.', ' ', ':']).any(looks_random)
}
