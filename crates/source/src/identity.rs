//! Who the application is to the server.

use std::path::PathBuf;

use coffre_client::{Client, Error, login};
use coffre_secret::SecretText;

/// Identity files are small.
const LARGEST: u64 = 64 << 10;

/// How the token is got.
#[derive(Debug)]
pub enum Identity {
    /// AppRole.
    AppRole {
        /// Where the method is enabled, `approle` by default.
        mount: String,
        /// The role.
        role_id: SecretText,
        /// Its secret, if the role wants one.
        secret_id: Option<SecretId>,
    },
    /// A token that is already there.
    Token(SecretText),
}

/// AppRole's secret.
#[derive(Debug)]
pub enum SecretId {
    /// As it is.
    Plain(SecretText),
    /// Behind a wrapping token, to be opened once.
    Wrapped(SecretText),
}

/// The identity is incomplete.
#[derive(Debug, thiserror::Error)]
pub enum NoIdentity {
    /// Nothing was given.
    #[error(
        "there is no identity: set VAULT_ROLE_ID and VAULT_SECRET_ID (or VAULT_ROLE_ID_FILE and VAULT_SECRET_ID_FILE), \
         or, in development, VAULT_TOKEN"
    )]
    Nothing,
    /// A file could not be read.
    #[error("cannot read {}, named by {variable}", path.display())]
    File {
        /// The variable that names it.
        variable: String,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl Identity {
    /// Reads `ROLE_ID`, `SECRET_ID`, `WRAPPED_SECRET_ID` (each also as `…_FILE`), `APPROLE_MOUNT` and `TOKEN` through
    /// `lookup`, which adds the prefixes. An AppRole wins over a token. `stored` is a token kept by `login`.
    pub fn of(
        lookup: &dyn Fn(&str) -> Option<String>,
        stored: Option<SecretText>,
    ) -> Result<Self, NoIdentity> {
        let Some(role_id) = value_or_file(lookup, "ROLE_ID")? else {
            let token = lookup("TOKEN").map(SecretText::new).or(stored).filter(|token| !token.is_empty());
            return token.map(Self::Token).ok_or(NoIdentity::Nothing);
        };
        let mount = lookup("APPROLE_MOUNT").unwrap_or_else(|| "approle".to_owned());
        let secret_id = match value_or_file(lookup, "WRAPPED_SECRET_ID")? {
            Some(token) => Some(SecretId::Wrapped(token)),
            None => value_or_file(lookup, "SECRET_ID")?.map(SecretId::Plain),
        };
        Ok(Self::AppRole { mount, role_id, secret_id })
    }

    /// Logs in. After a wrapped secret_id was opened it is kept, since it opens only once.
    pub async fn client(&mut self, client: &Client) -> Result<LoggedIn, Error> {
        let (mount, role_id, secret_id) = match self {
            Self::Token(token) => {
                let client = client.with_token(token.duplicate());
                return Ok(LoggedIn { client, own_token: false });
            }
            Self::AppRole { mount, role_id, secret_id } => (mount, role_id, secret_id),
        };
        if let Some(SecretId::Wrapped(token)) = secret_id {
            let opened = login::unwrap_secret_id(client, mount, token).await?;
            *secret_id = Some(SecretId::Plain(opened));
        }
        let plain = match secret_id {
            Some(SecretId::Plain(plain)) => Some(&*plain),
            _ => None,
        };
        let auth = login::approle(client, mount, role_id, plain).await?;
        Ok(LoggedIn { client: client.with_token(auth.client_token), own_token: true })
    }
}

/// A client that may read.
#[derive(Debug)]
pub struct LoggedIn {
    /// With the token.
    pub client: Client,
    /// Whether the token was made for this start, so that it can be ended after it.
    pub own_token: bool,
}

fn value_or_file(
    lookup: &dyn Fn(&str) -> Option<String>,
    name: &str,
) -> Result<Option<SecretText>, NoIdentity> {
    let trimmed = |text: &str| SecretText::from(text.trim());
    if let Some(value) = lookup(name) {
        return Ok(Some(trimmed(&value)).filter(|value| !value.is_empty()));
    }
    let variable = format!("{name}_FILE");
    let Some(path) = lookup(&variable).map(PathBuf::from) else { return Ok(None) };
    let read = || {
        let mut text = SecretText::default();
        let file = std::io::Read::take(std::fs::File::open(&path)?, LARGEST);
        let read = std::io::Read::read_to_string(&mut { file }, text.expose_mut())?;
        if read as u64 == LARGEST {
            return Err(std::io::Error::other("it is larger than 64 KiB, and no identity"));
        }
        Ok(text)
    };
    match read() {
        // EXPOSE: trimmed; wrapped again.
        Ok(text) => Ok(Some(trimmed(text.expose())).filter(|value| !value.is_empty())),
        Err(source) => Err(NoIdentity::File { variable, path, source }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn of(pairs: &[(&str, &str)], stored: Option<&str>) -> Result<Identity, NoIdentity> {
        let env: BTreeMap<_, _> = pairs.iter().copied().collect();
        Identity::of(&|name| env.get(name).map(|value| (*value).to_owned()), stored.map(SecretText::from))
    }

    #[test]
    fn an_approle_wins_over_a_token() {
        let both = of(&[("ROLE_ID", "r"), ("SECRET_ID", "s"), ("TOKEN", "t")], None).unwrap();
        assert!(matches!(both, Identity::AppRole { secret_id: Some(SecretId::Plain(_)), .. }));
        let wrapped = of(&[("ROLE_ID", "r"), ("WRAPPED_SECRET_ID", "w"), ("SECRET_ID", "s")], None).unwrap();
        assert!(matches!(wrapped, Identity::AppRole { secret_id: Some(SecretId::Wrapped(_)), .. }));
        assert!(matches!(of(&[("TOKEN", "t")], None).unwrap(), Identity::Token(_)));
        assert!(matches!(of(&[], Some("t")).unwrap(), Identity::Token(_)));
        assert!(matches!(of(&[("ROLE_ID", " ")], None), Err(NoIdentity::Nothing)));
        for file in ["/none", "/dev/zero"] {
            assert!(matches!(of(&[("ROLE_ID_FILE", file)], None), Err(NoIdentity::File { .. })), "{file}");
        }
    }
}
