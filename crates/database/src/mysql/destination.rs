//! Where a server is: Vault's `connection_url` for MySQL has the form of Go's driver
//! (<https://github.com/go-sql-driver/mysql#dsn-data-source-name>), of which what can harm is left out: Unix sockets,
//! parameters that read files or send passwords in clear text, and a login that stands in the URL itself.

use crate::{Error, ErrorKind};

/// What a connection URL says. Its parameters are an allow-list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Destination {
    /// A name or an address, without brackets.
    pub(super) host: String,
    /// 1 to 65535; 3306.
    pub(super) port: u16,
    /// The one that statements mean that name none.
    pub(super) database: Option<String>,
    /// What `tls=` asks for; `None`: the other settings decide.
    pub(super) tls: Option<Wanted>,
}

/// How much TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// None.
    Off,
    /// The certificate and its name are checked.
    Verified,
    /// Nothing is checked: whoever is in between reads along.
    Unverified,
}

/// The places of the login; a URL with a login of its own would keep it in the open.
const LOGIN: &str = "{{username}}:{{password}}@";
const FORM: &str =
    "`connection_url` is {{username}}:{{password}}@tcp(host:port)/database, with `tls` as its only parameter";

/// Reads a URL as Go's MySQL driver, and so Vault, has it: `{{username}}:{{password}}@tcp(host:port)/database?tls=true`.
pub(super) fn parse(url: &str) -> Result<Destination, Error> {
    let wrong = || Error::new(ErrorKind::Invalid, FORM);
    if url.len() > 2048 {
        return Err(wrong());
    }
    let rest = url.strip_prefix(LOGIN).and_then(|rest| rest.strip_prefix("tcp(")).ok_or_else(wrong)?;
    let (address, rest) = rest.split_once(')').ok_or_else(wrong)?;
    let rest = rest.strip_prefix('/').ok_or_else(wrong)?;
    let (database, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?)
        }
        _ => (address, 3306),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let plain = |text: &str, more: &[u8]| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    if host.is_empty() || !plain(host, b".-_:") || !plain(database, b"-_$") {
        return Err(wrong());
    }
    let database = (!database.is_empty()).then(|| database.to_owned());
    Ok(Destination { host: host.to_owned(), port, database, tls: wanted(parameters)? })
}

/// Reads what follows the question mark; the last of repeated parameters counts.
fn wanted(parameters: &str) -> Result<Option<Wanted>, Error> {
    let mut tls = None;
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        tls = Some(match parameter.split_once('=') {
            Some(("tls", "false")) => Wanted::Off,
            Some(("tls", "true" | "custom")) => Wanted::Verified,
            Some(("tls", "skip-verify")) => Wanted::Unverified,
            // `preferred` is what an attacker in between prefers too.
            _ => {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    "the only parameter of `connection_url` is `tls`: true, custom, skip-verify or false",
                ));
            }
        });
    }
    Ok(tls)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn urls_of_vault_are_read() {
        let read = |rest: &str| parse(&format!("{LOGIN}{rest}")).unwrap();
        let one = read("tcp(db.example.org:3307)/shop?tls=true");
        assert_eq!(
            (one.host.as_str(), one.port, one.database.as_deref()),
            ("db.example.org", 3307, Some("shop"))
        );
        assert_eq!(one.tls, Some(Wanted::Verified));
        let one = read("tcp(127.0.0.1)/");
        assert_eq!((one.host.as_str(), one.port, one.database, one.tls), ("127.0.0.1", 3306, None, None));
        let one = read("tcp([::1]:3306)/?tls=skip-verify");
        assert_eq!((one.host.as_str(), one.port, one.tls), ("::1", 3306, Some(Wanted::Unverified)));
    }

    #[test]
    fn nothing_else_is() {
        for url in [
            "",
            "root:secret@tcp(h:1)/",
            "{{username}}:{{password}}@unix(/run/mysqld.sock)/",
            "{{username}}:{{password}}@tcp(h:0)/",
            "{{username}}:{{password}}@tcp(h:x)/",
            "{{username}}:{{password}}@tcp()/",
            "{{username}}:{{password}}@tcp(h:1)",
            "{{username}}:{{password}}@tcp(h:1)/?allowAllFiles=true",
            "{{username}}:{{password}}@tcp(h:1)/?tls=preferred",
            "{{username}}:{{password}}@tcp(h:1)/?tls=true&allowCleartextPasswords=1",
            "{{username}}:{{password}}@tcp(h/x:1)/",
            "mysql://{{username}}:{{password}}@h/",
        ] {
            let refused = parse(url).unwrap_err();
            assert!(refused.kind() == ErrorKind::Invalid && !refused.to_string().contains("secret"), "{url}");
        }
    }

    proptest! {
        #[test]
        fn any_text_ends_in_a_destination_or_an_error(text in ".{0,80}") {
            let _ended = parse(&text);
            let _ended = parse(&format!("{LOGIN}tcp({text}"));
        }
    }
}
