use std::fmt;

use coffre_manifest::{Kind, Manifest};
use coffre_secret::{Secret, SecretText};

use crate::address::{Address, push_encoded};
use crate::core::Core;
use crate::error::{Error, ErrorKind};
use crate::value::Value;

/// User, password and place of a database, from one snapshot.
pub struct DatabaseCredentials {
    address: Address,
    user: SecretText,
    password: SecretText,
}

impl DatabaseCredentials {
    /// The user's name, decoded. Say why at the call: `// EXPOSE: …`.
    #[must_use]
    pub fn expose_username(&self) -> &str {
        // EXPOSE: handed on; the caller explains.
        self.user.expose()
    }

    /// The password, decoded; empty if there is none. Say why at the call: `// EXPOSE: …`.
    #[must_use]
    pub fn expose_password(&self) -> &str {
        // EXPOSE: handed on; the caller explains.
        self.password.expose()
    }

    /// The host, `[…]` around an IPv6 address; empty if the address names none.
    #[must_use]
    pub fn host(&self) -> &str {
        self.address.host()
    }

    /// The port, if one is named.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.address.port()
    }

    /// The database's name, decoded; empty if none is named.
    #[must_use]
    pub fn database(&self) -> String {
        self.address.database().unwrap_or_default()
    }

    /// What follows the database in the address, with its `?`: `?sslmode=require`.
    #[must_use]
    pub fn query(&self) -> &str {
        self.address.query()
    }

    /// The whole as an address with this scheme (`postgresql`, `postgresql+psycopg`), percent-encoded (RFC 3986).
    #[must_use]
    pub fn url(&self, scheme: &str) -> SecretText {
        let room = (self.user.len() + self.password.len()) * 3 + 512;
        let mut made: SecretText = Secret::new(String::with_capacity(room));
        let out = made.expose_mut();
        out.push_str(scheme);
        out.push_str("://");
        // EXPOSE: goes from one secret into another.
        push_encoded(out, self.user.expose());
        if !self.password.is_empty() {
            out.push(':');
            push_encoded(out, self.password.expose());
        }
        if !self.user.is_empty() || !self.password.is_empty() {
            out.push('@');
        }
        out.push_str(self.host());
        if let Some(port) = self.port() {
            out.push_str(&format!(":{port}"));
        }
        out.push('/');
        push_encoded(out, &self.database());
        out.push_str(self.query());
        made
    }
}

impl fmt::Debug for DatabaseCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseCredentials([secret])")
    }
}

/// Which variable holds the database's address.
pub(crate) fn variable(core: &Core) -> Result<String, Error> {
    let Some(manifest) = &core.facts.manifest else { return Ok(USUAL.to_owned()) };
    let postgresql = |entry: &&coffre_manifest::Entry| entry.kind == Kind::Postgresql;
    let found = manifest.entry(USUAL).or_else(|| Manifest::entries(manifest).iter().find(postgresql));
    found.map(|entry| entry.name.clone()).ok_or_else(|| {
        let message = "the manifest has neither DATABASE_URL nor another variable of the kind postgresql";
        Error::new(ErrorKind::NotFound, message)
    })
}

const USUAL: &str = "DATABASE_URL";

/// Takes a value apart.
pub(crate) fn of(value: &Value, name: &str) -> Result<DatabaseCredentials, Error> {
    // EXPOSE: taken apart; what is secret is wrapped again.
    let address = Address::parse(&SecretText::from(value.expose())).ok_or_else(|| {
        let message = format!("{name} is no address such as postgresql://user:password@host:5432/database");
        Error::new(ErrorKind::Invalid, message)
    })?;
    let copy = |text: Option<&SecretText>| text.map(SecretText::duplicate).unwrap_or_default();
    let (user, password) = (copy(address.user()), copy(address.password()));
    Ok(DatabaseCredentials { address, user, password })
}
