//! Addresses of servers with user and password in them (RFC 3986): `postgresql://user:password@host:5432/database`.

use coffre_secret::{Secret, SecretText};

/// The parts of one. User and password are decoded; the rest is as it stands.
pub(crate) struct Address {
    scheme: String,
    user: Option<SecretText>,
    password: Option<SecretText>,
    host: String,
    port: Option<u16>,
    /// Without the slash before it, as it stands.
    database: Option<String>,
    /// From `?` or `#` on.
    rest: String,
}

impl Address {
    /// `None` if the text is no such address.
    pub(crate) fn parse(text: &SecretText) -> Option<Self> {
        // EXPOSE: taken apart; what is secret is wrapped again.
        let (scheme, after) = text.expose().split_once("://")?;
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        if scheme.is_empty() || !scheme.chars().all(legal) {
            return None;
        }
        let end = after.find(['/', '?', '#']).unwrap_or(after.len());
        let (authority, tail) = after.split_at_checked(end)?;
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, authority),
        };
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
            None => (None, None),
            Some((user, password)) => (Some(decoded(user)?), Some(decoded(password)?)),
        };
        let (host, port) = host_and_port(place)?;
        let (path, rest) = tail.split_at_checked(tail.find(['?', '#']).unwrap_or(tail.len()))?;
        let some = |text: Option<SecretText>| text.filter(|text| !text.is_empty());
        Some(Self {
            scheme: scheme.to_owned(),
            user: some(user),
            password: some(password),
            host: host.to_owned(),
            port,
            database: path.strip_prefix('/').filter(|path| !path.is_empty()).map(str::to_owned),
            rest: rest.to_owned(),
        })
    }

    pub(crate) fn user(&self) -> Option<&SecretText> {
        self.user.as_ref()
    }

    pub(crate) fn password(&self) -> Option<&SecretText> {
        self.password.as_ref()
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) const fn port(&self) -> Option<u16> {
        self.port
    }

    /// The database's name, decoded.
    pub(crate) fn database(&self) -> Option<String> {
        // EXPOSE: the name of a database.
        decoded(self.database.as_ref()?).map(|name| name.expose().clone())
    }

    /// From `?` on, as it stands.
    pub(crate) fn query(&self) -> &str {
        &self.rest
    }

    /// A part by the name that templates use.
    pub(crate) fn piece(&self, name: &str) -> Option<SecretText> {
        match name {
            "host" => Some(SecretText::from(self.host.as_str())),
            "port" => self.port.map(|port| SecretText::new(port.to_string())),
            "database" | "dbname" => self.database().map(SecretText::new),
            _ => None,
        }
    }

    /// The same place with another user.
    pub(crate) fn with_credentials(&self, user: &SecretText, password: &SecretText) -> SecretText {
        let mut made: SecretText =
            Secret::new(String::with_capacity(user.len() * 3 + password.len() * 3 + 256));
        let out = made.expose_mut();
        out.push_str(&self.scheme);
        out.push_str("://");
        // EXPOSE: goes from one secret into another.
        push_encoded(out, user.expose());
        out.push(':');
        push_encoded(out, password.expose());
        out.push('@');
        out.push_str(&self.host);
        if let Some(port) = self.port {
            out.push_str(&format!(":{port}"));
        }
        if let Some(database) = &self.database {
            out.push('/');
            out.push_str(database);
        }
        out.push_str(&self.rest);
        made
    }
}

fn host_and_port(place: &str) -> Option<(&str, Option<u16>)> {
    let after_bracket = place.rfind(']').map_or(0, |at| at + 1);
    let (before, after) = place.split_at_checked(after_bracket)?;
    match after.rfind(':') {
        None => Some((place, None)),
        Some(colon) => {
            let (host, port) = place.split_at_checked(before.len() + colon)?;
            let port = port.strip_prefix(':').filter(|port| !port.is_empty());
            Some((host, port.map(str::parse).transpose().ok()?))
        }
    }
}

/// Percent-decoded; `None` if that gives no text. A `%` without two digits after it stands for itself.
fn decoded(text: &str) -> Option<SecretText> {
    let mut bytes: Secret<Vec<u8>> = Secret::new(Vec::with_capacity(text.len()));
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.split_at_checked(2).filter(|_| *first == b'%');
        let byte = digits.and_then(|(digits, after)| {
            let text = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'))?;
            Some((u8::from_str_radix(text, 16).ok()?, after))
        });
        let (byte, after) = byte.unwrap_or((*first, after));
        bytes.expose_mut().push(byte);
        rest = after;
    }
    // EXPOSE: checked and wrapped again.
    std::str::from_utf8(bytes.expose()).ok().map(SecretText::from)
}

/// RFC 3986, 2.3: all but unreserved characters.
pub(crate) fn push_encoded(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<[String; 5]> {
        let address = Address::parse(&text.into())?;
        let text = |secret: Option<&SecretText>| secret.map_or_else(String::new, |s| s.expose().clone());
        Some([
            text(address.user()),
            text(address.password()),
            address.host().to_owned(),
            address.port().map_or_else(String::new, |port| port.to_string()),
            address.database().unwrap_or_default(),
        ])
    }

    #[test]
    fn parts() {
        let of = |text| shown(text).unwrap().join(" ");
        assert_eq!(of("postgresql://u:p%40%2F@db:5432/app?sslmode=require"), "u p@/ db 5432 app");
        assert_eq!(of("postgresql+psycopg://u:a@b@[::1]:5432/app"), "u a@b [::1] 5432 app");
        assert_eq!(of("redis://:p@cache/0"), " p cache  0");
        assert_eq!(of("redis://[::1]"), "  [::1]  ");
        assert_eq!(of("mysql://u:100%@h"), "u 100% h  ");
        for bad in ["", "no address", "://h", "a b://h", "x://h:port/", "x://u:%ff@h"] {
            assert_eq!(shown(bad), None, "{bad}");
        }
    }

    #[test]
    fn another_user_at_the_same_place() {
        let address =
            Address::parse(&"postgresql://old:gone@db:5432/app%20one?sslmode=require".into()).unwrap();
        let made = address.with_credentials(&"v-api".into(), &"a/b@c".into());
        assert_eq!(made.expose(), "postgresql://v-api:a%2Fb%40c@db:5432/app%20one?sslmode=require");
        assert_eq!(Address::parse(&made).unwrap().password().unwrap().expose(), "a/b@c");
    }
}
