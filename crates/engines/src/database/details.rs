//! A connection as the database crate wants it, and as people may see it.

use std::time::Duration;

use coffre_api::Refusal;
use coffre_api::database::ConnectionDetails;
use coffre_database::{Limits, PasswordAuthentication, Plugin, Settings, Tls};
use coffre_secret::SecretText;
use serde_json::Value;

use super::model::Connection;

/// Stands where a password was.
const MASK: &str = "*****";
/// The most connections of a pool.
const MOST_OPEN: i64 = 64;

/// What a connection may name as its `plugin_name`, in order.
pub const PLUGINS: [&str; 7] = [
    "mysql-aurora-database-plugin",
    "mysql-database-plugin",
    "mysql-legacy-database-plugin",
    "mysql-rds-database-plugin",
    "postgresql-database-plugin",
    "redis-database-plugin",
    "valkey-database-plugin",
];

/// The plugin of this name.
pub(super) fn plugin(name: &str) -> Result<Plugin, Refusal> {
    Ok(match name {
        "" => return Err(Refusal::invalid("empty plugin name")),
        "postgresql-database-plugin" => Plugin::Postgresql,
        "mysql-database-plugin" => Plugin::Mysql,
        "mysql-aurora-database-plugin" | "mysql-rds-database-plugin" | "mysql-legacy-database-plugin" => {
            Plugin::MysqlLegacy
        }
        "redis-database-plugin" => Plugin::Redis,
        "valkey-database-plugin" => Plugin::Valkey,
        _ => {
            return Err(Refusal::invalid(
                "error creating database object: unknown plugin: there are postgresql-, mysql-, redis- and valkey-database-plugin",
            ));
        }
    })
}

/// Settings with the given password, checked as far as that can be done without the database.
pub(super) fn settings(connection: &Connection, password: SecretText) -> Result<Settings, Refusal> {
    let plugin = plugin(&connection.plugin_name)?;
    let port = connection.port.map(u16::try_from).transpose();
    Ok(Settings {
        plugin,
        // EXPOSE: the connector puts the password into it.
        url: connection.url.as_ref().map(|url| url.expose().to_owned()).filter(|url| !url.is_empty()),
        host: connection.host.clone().filter(|host| !host.is_empty()),
        port: port.map_err(|_| Refusal::invalid("port must be a number from 1 to 65535"))?,
        username: connection.username.clone().unwrap_or_default(),
        password,
        tls: tls(connection),
        limits: limits(connection)?,
        authentication: authentication(connection)?,
        raw_url: connection.raw_url.unwrap_or(false),
    })
}

/// Both spellings of the trust anchors are one.
fn tls(connection: &Connection) -> Tls {
    let given = |text: &Option<String>| text.clone().filter(|pem| !pem.trim().is_empty());
    Tls {
        required: connection.tls.unwrap_or(false),
        ca: given(&connection.tls_ca).or_else(|| given(&connection.ca_cert)),
        // EXPOSE: copied into another value that wipes itself.
        client: connection
            .tls_client
            .as_ref()
            .filter(|pem| !pem.is_empty())
            .map(|pem| SecretText::from(pem.expose())),
        insecure: connection.insecure_tls.unwrap_or(false),
    }
}

/// The pool, within bounds.
fn limits(connection: &Connection) -> Result<Limits, Refusal> {
    let usual = Limits::default();
    let open = match connection.max_open.unwrap_or(0) {
        0 => usual.max_open,
        open @ 1..=MOST_OPEN => u32::try_from(open).unwrap_or(usual.max_open),
        _ => return Err(Refusal::invalid(format!("max_open_connections must be from 1 to {MOST_OPEN}"))),
    };
    let max_idle = match connection.max_idle.unwrap_or(0) {
        0 => open,
        idle => u32::try_from(idle).unwrap_or(0).min(open),
    };
    let max_lifetime = Duration::from_secs(connection.max_lifetime.unwrap_or(0));
    Ok(Limits { max_open: open, max_idle, max_lifetime, ..usual })
}

/// How PostgreSQL is told passwords.
fn authentication(connection: &Connection) -> Result<PasswordAuthentication, Refusal> {
    match connection.authentication.as_deref().unwrap_or_default() {
        "" | "scram-sha-256" => Ok(PasswordAuthentication::ScramSha256),
        "password" => Ok(PasswordAuthentication::Password),
        _ => Err(Refusal::invalid("password_authentication must be scram-sha-256 or password")),
    }
}

/// What was written, without secrets.
pub(super) fn shown(connection: &Connection) -> ConnectionDetails {
    let text = |text: &Option<String>| text.clone().map(Value::from);
    let url = connection.url.as_ref().map(|url| Value::from(masked(url.expose()))); // EXPOSE: masked.
    let template = Some(connection.username_template.clone()).filter(|template| !template.is_empty());
    let all = [
        ("connection_url", url),
        ("username", text(&connection.username)),
        ("username_template", template.map(Value::from)),
        ("max_open_connections", connection.max_open.map(Value::from)),
        ("max_idle_connections", connection.max_idle.map(Value::from)),
        ("max_connection_lifetime", connection.max_lifetime.map(|secs| Value::from(format!("{secs}s")))),
        ("disable_escaping", connection.raw_url.map(Value::from)),
        ("password_authentication", text(&connection.authentication)),
        ("tls_ca", text(&connection.tls_ca)),
        ("host", text(&connection.host)),
        ("port", connection.port.map(Value::from)),
        ("tls", connection.tls.map(Value::from)),
        ("insecure_tls", connection.insecure_tls.map(Value::from)),
        ("ca_cert", text(&connection.ca_cert)),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Whether a URL holds a password instead of a place for one.
pub(super) fn holds_password(url: &str) -> bool {
    masked(url) != url
}

/// The URL with anything that may be a password hidden. Places for one stay.
fn masked(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let (userinfo, place) = rest.rsplit_once('@').map_or(("", rest), |(userinfo, place)| (userinfo, place));
    let told = |text: &str| {
        let text = text.to_ascii_lowercase();
        text.contains("pass") || text.contains("pwd")
    };
    if told(&place.replace("{{password}}", "")) && place.contains('=') {
        return MASK.to_owned();
    }
    let Some((user, password)) = userinfo.split_once(':') else { return url.to_owned() };
    if matches!(password.trim(), "{{password}}" | "{{ password }}" | "") {
        return url.to_owned();
    }
    let scheme = if scheme.is_empty() { String::new() } else { format!("{scheme}://") };
    format!("{scheme}{user}:{MASK}@{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_catalog_lists_is_known_and_in_order() {
        assert!(PLUGINS.is_sorted() && PLUGINS.iter().all(|name| plugin(name).is_ok()));
        assert!(plugin("oracle-database-plugin").is_err());
    }

    #[test]
    fn passwords_in_urls_are_hidden() {
        let same = "postgresql://{{username}}:{{password}}@db:5432/app?sslmode=require";
        assert_eq!(masked(same), same);
        assert_eq!(
            masked("{{username}}:{{password}}@tcp(db:3306)/"),
            "{{username}}:{{password}}@tcp(db:3306)/"
        );
        assert_eq!(masked("postgresql://u:p@ss:w@db/x"), "postgresql://u:*****@db/x");
        assert_eq!(masked("u:hunter2@tcp(db:3306)/"), "u:*****@tcp(db:3306)/");
        assert_eq!(masked("host=db user=u password=hunter2"), MASK);
        assert_eq!(masked("postgresql://db/x?user=u&password=hunter2"), MASK);
        assert!(holds_password("postgresql://u:p@db/x") && !holds_password(same));
    }

    #[test]
    fn limits_have_bounds() {
        let of = |max_open| limits(&Connection { max_open, ..Connection::default() });
        assert_eq!(of(None).unwrap(), Limits::default());
        assert_eq!(of(Some(1)).unwrap().max_idle, 1);
        for bad in [-1, 65, i64::MAX] {
            assert!(of(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let connection: Connection = serde_json::from_str(
            r#"{"url": "postgresql://u:canary@db/x", "password": "canary", "tls_client": "canary", "username": "u"}"#,
        )
        .unwrap();
        let shown = serde_json::to_string(&shown(&connection)).unwrap();
        assert!(!shown.contains("canary") && shown.contains("\"username\":\"u\""), "{shown}");
    }
}
