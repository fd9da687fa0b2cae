//! Connection strings: `postgresql://…` and `key=value`, with the few parameters that mean a server, a database and a user.
//!
//! A connection string comes from an API; libpq's would let it read files of ours and reach sockets of ours (`passfile`,
//! `service`, `sslkey`, a host that is a path). So what is not on the list is refused by name. The values of `{{username}}`
//! and `{{password}}` are put into the parts after the string is taken apart, so that none of them makes another part.

use std::fmt;
use std::time::Duration;

use coffre_secret::SecretText;
use percent_encoding::percent_decode_str;

use crate::{Error, ErrorKind, Settings};

/// The longest connection string.
const MAX_BYTES: usize = 4096;

/// How much TLS. As in libpq, `require` checks the certificate's issuer as soon as trust anchors are configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Disable,
    /// If the server has it; nothing is checked.
    Prefer,
    Require,
    /// An issuer that is trusted.
    VerifyCa,
    /// And the host's name.
    VerifyFull,
}

/// A server, a database and a user.
pub(super) struct Destination {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) database: String,
    pub(super) user: String,
    pub(super) password: SecretText,
    pub(super) mode: Mode,
    pub(super) application: String,
    pub(super) connect_timeout: Option<Duration>,
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Destination").field("database", &self.database).finish_non_exhaustive()
    }
}

impl Destination {
    /// Of the settings' `connection_url`; or of `host` and `port`, with the user's own database.
    pub(super) fn of(settings: &Settings) -> Result<Self, Error> {
        let mut parts = Parts::default();
        match &settings.url {
            Some(url) if url.len() > MAX_BYTES => {
                return Err(invalid(format!("connection_url has more than {MAX_BYTES} bytes")));
            }
            Some(url) => match url.split_once("://") {
                Some(("postgresql" | "postgres", rest)) => parts.read_url(rest, settings)?,
                Some(_) => {
                    return Err(invalid(
                        "connection_url begins with `postgresql://`, or is `key=value` pairs",
                    ));
                }
                None => parts.read_pairs(url, settings)?,
            },
            None => {
                parts.host.clone_from(&settings.host);
                parts.port = settings.port.map(|port| port.to_string());
            }
        }
        parts.finish(settings)
    }
}

/// As they are written, and filled in.
#[derive(Default)]
struct Parts {
    host: Option<String>,
    port: Option<String>,
    database: Option<String>,
    user: Option<String>,
    password: Option<SecretText>,
    mode: Option<String>,
    application: Option<String>,
    connect_timeout: Option<String>,
}

impl Parts {
    fn read_url(&mut self, rest: &str, settings: &Settings) -> Result<(), Error> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = match rest.rsplit_once('@') {
            // A password may hold a slash where people forgot to encode it.
            Some((user, rest)) => {
                self.read_user(user, settings)?;
                rest.split_once('/').unwrap_or((rest, ""))
            }
            None => rest.split_once('/').unwrap_or((rest, "")),
        };
        let (host, port) = split_port(authority)?;
        self.set("host", fill(host, settings)?)?;
        self.set("port", fill(port, settings)?)?;
        self.set("dbname", fill(database, settings)?)?;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            self.set(key, fill(value, settings)?)?;
        }
        Ok(())
    }

    fn read_user(&mut self, text: &str, settings: &Settings) -> Result<(), Error> {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        self.set("user", fill(user, settings)?)?;
        self.set("password", fill(password, settings)?)
    }

    /// `key=value key='va lue'`, with `\'` and `\\`, as libpq has it.
    fn read_pairs(&mut self, text: &str, settings: &Settings) -> Result<(), Error> {
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (key, after) = rest
                .split_once('=')
                .ok_or_else(|| invalid("connection_url is neither `postgresql://…` nor `key=value` pairs"))?;
            let (value, after) = pair_value(after.trim_start())?;
            self.set(key.trim(), filled(&value, settings))?;
            rest = after.trim_start();
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: SecretText) -> Result<(), Error> {
        if value.is_empty() {
            return Ok(());
        }
        // EXPOSE: all but the password are no secrets; it keeps its wrapper.
        let text = || Some(value.expose().clone());
        match key {
            "host" => self.host = text(),
            "port" => self.port = text(),
            "dbname" => self.database = text(),
            "user" => self.user = text(),
            "password" => self.password = Some(value),
            "sslmode" => self.mode = text(),
            "application_name" => self.application = text(),
            "connect_timeout" => self.connect_timeout = text(),
            _ => return Err(refused(key)),
        }
        Ok(())
    }

    fn finish(self, settings: &Settings) -> Result<Destination, Error> {
        let user = self.user.unwrap_or_else(|| settings.username.clone());
        let password = self.password.unwrap_or_else(|| settings.password.duplicate());
        if user.is_empty() {
            return Err(invalid("there is no user name: set username, or put one into connection_url"));
        }
        let mode = mode(self.mode.as_deref(), settings)?;
        let host = host(self.host.unwrap_or_default())?;
        let port = match self.port {
            None => 5432,
            Some(text) => text
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| invalid("the port in connection_url is one number from 1 to 65535"))?,
        };
        let database = self.database.unwrap_or_else(|| user.clone());
        for text in [&user, &database] {
            if text.chars().any(char::is_control) {
                return Err(invalid("connection_url holds a control character"));
            }
        }
        let application = self.application.unwrap_or_else(|| "coffre".to_owned());
        let application = application.chars().filter(|c| !c.is_control()).take(63).collect();
        let connect_timeout =
            match self.connect_timeout {
                None => None,
                Some(text) => Some(text.parse().map(Duration::from_secs).map_err(|_| {
                    invalid("connect_timeout in connection_url is a whole number of seconds")
                })?),
            };
        Ok(Destination { host, port, database, user, password, mode, application, connect_timeout })
    }
}

fn mode(written: Option<&str>, settings: &Settings) -> Result<Mode, Error> {
    let trusted = settings.tls.ca.is_some();
    let mode = match written {
        Some("disable") if settings.tls.required => {
            return Err(invalid("sslmode=disable contradicts the setting that demands TLS"));
        }
        Some("disable") => Mode::Disable,
        None | Some("allow" | "prefer") if settings.tls.required || trusted => Mode::VerifyFull,
        None | Some("allow" | "prefer") => Mode::Prefer,
        Some("require") if trusted => Mode::VerifyCa,
        Some("require") => Mode::Require,
        Some("verify-ca") => Mode::VerifyCa,
        Some("verify-full") => Mode::VerifyFull,
        Some(_) => {
            return Err(invalid(
                "sslmode in connection_url is one of disable, prefer, require, verify-ca, verify-full",
            ));
        }
    };
    Ok(mode)
}

/// A name or an address; never a path, never several.
fn host(text: String) -> Result<String, Error> {
    if text.is_empty() {
        return Err(invalid("connection_url names no host"));
    }
    if text.starts_with(['/', '@', '.']) || text.contains(['/', '\\']) {
        return Err(invalid(
            "the host in connection_url is a path: only hosts that are reached over TCP are allowed",
        ));
    }
    if text.contains(',') {
        return Err(invalid("connection_url names several hosts: name the one that the users are made on"));
    }
    let sound = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    if text.len() > 253 || !text.chars().all(sound) {
        return Err(invalid("the host in connection_url is neither a name nor an address"));
    }
    Ok(text)
}

fn split_port(authority: &str) -> Result<(&str, &str), Error> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) =
            rest.split_once(']').ok_or_else(|| invalid("a `[` in connection_url is not closed"))?;
        return Ok((host, rest.strip_prefix(':').unwrap_or_default()));
    }
    if authority.contains(',') {
        return host(authority.to_owned()).map(|_| (authority, ""));
    }
    match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => {
            Err(invalid("an IPv6 address in connection_url stands in [ ]"))
        }
        Some(pair) => Ok(pair),
        None => Ok((authority, "")),
    }
}

fn pair_value(text: &str) -> Result<(SecretText, &str), Error> {
    let mut value = SecretText::new(String::new());
    let quoted = text.starts_with('\'');
    let mut chars = text.char_indices().skip(usize::from(quoted));
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                let (_, next) =
                    chars.next().ok_or_else(|| invalid("connection_url ends with a backslash"))?;
                value.expose_mut().push(next);
            }
            '\'' if quoted => return Ok((value, text.get(at.saturating_add(1)..).unwrap_or_default())),
            _ if !quoted && c.is_whitespace() => return Ok((value, text.get(at..).unwrap_or_default())),
            _ => value.expose_mut().push(c),
        }
    }
    if quoted { Err(invalid("a quote in connection_url is not closed")) } else { Ok((value, "")) }
}

/// A part of a URL: percent-encoding undone, then the values put in. With `disable_escaping` the values are taken to be
/// encoded already, so it is the other way round.
fn fill(part: &str, settings: &Settings) -> Result<SecretText, Error> {
    let decode = |text: &str| {
        let decoded = percent_decode_str(text).decode_utf8();
        decoded.map(|text| SecretText::from(&*text)).map_err(|_| invalid("connection_url is not UTF-8"))
    };
    if settings.raw_url {
        // EXPOSE: to be decoded.
        decode(filled(&SecretText::from(part), settings).expose())
    } else {
        Ok(filled(&decode(part)?, settings))
    }
}

fn filled(part: &SecretText, settings: &Settings) -> SecretText {
    // EXPOSE: put into its place in the connection's own settings.
    let (mut rest, password) = (part.expose().as_str(), settings.password.expose());
    let mut made = SecretText::new(String::with_capacity(rest.len().saturating_add(password.len())));
    while let Some((before, after)) = rest.split_once("{{") {
        made.expose_mut().push_str(before);
        match after.split_once("}}") {
            Some((name, after)) if name.trim() == "username" => {
                made.expose_mut().push_str(&settings.username);
                rest = after;
            }
            Some((name, after)) if name.trim() == "password" => {
                made.expose_mut().push_str(password);
                rest = after;
            }
            _ => {
                made.expose_mut().push_str("{{");
                rest = after;
            }
        }
    }
    made.expose_mut().push_str(rest);
    made
}

fn refused(key: &str) -> Error {
    let known = [
        ("hostaddr", "hostaddr is not allowed in connection_url: put the address into host"),
        (
            "passfile",
            "passfile is not allowed in connection_url: it would read a file of the server; set password",
        ),
        ("service", "service is not allowed in connection_url: it would read a file of the server"),
        ("servicefile", "servicefile is not allowed in connection_url: it would read a file of the server"),
        (
            "options",
            "options is not allowed in connection_url: set what you need at the role (ALTER ROLE … SET)",
        ),
        (
            "sslrootcert",
            "sslrootcert is not allowed in connection_url: put the certificate's text into tls_ca",
        ),
        ("sslcert", "sslcert is not allowed in connection_url: put the text into tls_certificate_key"),
        ("sslkey", "sslkey is not allowed in connection_url: put the text into tls_certificate_key"),
    ];
    if let Some((_, sentence)) = known.iter().find(|(name, _)| *name == key) {
        return invalid(*sentence);
    }
    // A piece of a password may have come to stand here: only what looks like a parameter's name is shown.
    let shown = key.len() <= 40 && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let allowed = "host, port, dbname, user, password, sslmode, application_name, connect_timeout";
    if shown && OTHERS.contains(&key) {
        invalid(format!("{key} is not allowed in connection_url; there are {allowed}"))
    } else {
        invalid(format!("connection_url holds a parameter that is not allowed; there are {allowed}"))
    }
}

/// libpq's other parameters (its documentation, "Parameter Key Words").
const OTHERS: &[&str] = &[
    "channel_binding",
    "client_encoding",
    "fallback_application_name",
    "gssencmode",
    "gsslib",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "replication",
    "require_auth",
    "requirepeer",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslnegotiation",
    "sslpassword",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
];

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
#[path = "destination_tests.rs"]
mod tests;
