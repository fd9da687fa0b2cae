//! Who the application is to the server.

use std::path::{Path, PathBuf};

use coffre_client::{Auth, Client, Error, login};
use coffre_secret::SecretText;

/// Identity files are small.
const LARGEST: u64 = 64 << 10;

/// Where a pod's token is mounted.
const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

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
    /// Kubernetes: the pod's service account.
    Kubernetes {
        /// Where the method is enabled, `kubernetes` by default.
        mount: String,
        /// The method's role.
        role: String,
        /// The pod's token, which the cluster replaces: read anew at every login.
        token_file: PathBuf,
    },
    /// A name and a password.
    Userpass {
        /// Where the method is enabled, `userpass` by default.
        mount: String,
        /// The name.
        username: String,
        /// The password.
        password: SecretText,
    },
    /// A token that is already there.
    Token(SecretText),
    /// None of our own: an agent on this host, reached over a socket, asks in its name.
    Agent,
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
         or VAULT_KUBERNETES_ROLE in a pod, or, in development, VAULT_TOKEN"
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
    /// Reads through `lookup`, which adds the prefixes, in this order:
    /// 1. `ROLE_ID` with `SECRET_ID` or `WRAPPED_SECRET_ID` (each also as `…_FILE`), `APPROLE_MOUNT`;
    /// 2. `KUBERNETES_ROLE`, `KUBERNETES_MOUNT`, `KUBERNETES_TOKEN_FILE`;
    /// 3. `USERNAME` with `PASSWORD` (also `…_FILE`), `USERPASS_MOUNT`;
    /// 4. `TOKEN`, then `stored`, a token kept by `login`;
    /// 5. nothing, where `AGENT_ADDR` or `ADDR` is a socket of this host.
    pub fn of(
        lookup: &dyn Fn(&str) -> Option<String>,
        stored: Option<SecretText>,
    ) -> Result<Self, NoIdentity> {
        let Some(role_id) = value_or_file(lookup, "ROLE_ID")? else {
            return Self::without_role(lookup, stored);
        };
        let mount = lookup("APPROLE_MOUNT").unwrap_or_else(|| "approle".to_owned());
        let secret_id = match value_or_file(lookup, "WRAPPED_SECRET_ID")? {
            Some(token) => Some(SecretId::Wrapped(token)),
            None => value_or_file(lookup, "SECRET_ID")?.map(SecretId::Plain),
        };
        Ok(Self::AppRole { mount, role_id, secret_id })
    }

    fn without_role(
        lookup: &dyn Fn(&str) -> Option<String>,
        stored: Option<SecretText>,
    ) -> Result<Self, NoIdentity> {
        let stated = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        let mount = |name: &str, usual: &str| stated(name).unwrap_or_else(|| usual.to_owned());
        if let Some(role) = stated("KUBERNETES_ROLE") {
            let token_file = PathBuf::from(mount("KUBERNETES_TOKEN_FILE", POD_TOKEN));
            return Ok(Self::Kubernetes { mount: mount("KUBERNETES_MOUNT", "kubernetes"), role, token_file });
        }
        if let (Some(username), Some(password)) = (stated("USERNAME"), value_or_file(lookup, "PASSWORD")?) {
            return Ok(Self::Userpass { mount: mount("USERPASS_MOUNT", "userpass"), username, password });
        }
        let token = lookup("TOKEN").map(SecretText::new).or(stored).filter(|token| !token.is_empty());
        let address = stated("AGENT_ADDR").or_else(|| stated("ADDR"));
        let socket = address.is_some_and(|address| address.trim().starts_with("unix:"));
        token.map(Self::Token).or_else(|| socket.then_some(Self::Agent)).ok_or(NoIdentity::Nothing)
    }

    /// Logs in. After a wrapped secret_id was opened it is kept, since it opens only once.
    pub async fn client(&mut self, client: &Client) -> Result<LoggedIn, Error> {
        Ok(match self.log_in(client).await? {
            Got::Auth(auth) => LoggedIn {
                client: client.with_token(auth.client_token.duplicate()),
                own_token: true,
                auth: Some(auth),
            },
            Got::Theirs(client) => LoggedIn { client, own_token: false, auth: None },
        })
    }

    /// What a server counts wrong tries of, to lock the role or the user: AppRole's secret_id, a user's password.
    #[must_use]
    pub const fn guessable(&self) -> Option<&SecretText> {
        match self {
            Self::AppRole { secret_id: Some(SecretId::Plain(secret)), .. }
            | Self::Userpass { password: secret, .. } => Some(secret),
            _ => None,
        }
    }

    async fn log_in(&mut self, client: &Client) -> Result<Got, Error> {
        match self {
            Self::Token(token) => Ok(Got::Theirs(client.with_token(token.duplicate()))),
            Self::Agent => Ok(Got::Theirs(client.without_token())),
            Self::Kubernetes { mount, role, token_file } => {
                let jwt = read_file(token_file).map_err(|cause| login::unreadable(token_file, cause))?;
                login::kubernetes(client, mount, role, &jwt).await.map(Got::Auth)
            }
            Self::Userpass { mount, username, password } => {
                login::userpass(client, mount, username, password).await.map(Got::Auth)
            }
            Self::AppRole { mount, role_id, secret_id } => {
                approle(client, mount, role_id, secret_id).await.map(Got::Auth)
            }
        }
    }
}

enum Got {
    Auth(Auth),
    Theirs(Client),
}

async fn approle(
    client: &Client,
    mount: &str,
    role_id: &SecretText,
    secret_id: &mut Option<SecretId>,
) -> Result<Auth, Error> {
    if let Some(SecretId::Wrapped(token)) = secret_id {
        let opened = login::unwrap_secret_id(client, mount, token).await?;
        *secret_id = Some(SecretId::Plain(opened));
    }
    let plain = match secret_id {
        Some(SecretId::Plain(plain)) => Some(&*plain),
        _ => None,
    };
    login::approle(client, mount, role_id, plain).await
}

/// A client that may read.
#[derive(Debug)]
pub struct LoggedIn {
    /// With the token.
    pub client: Client,
    /// Whether the token was made for this start, so that it can be ended after it.
    pub own_token: bool,
    /// What the login said, unless the token was there before: how long it lives, what it may.
    pub auth: Option<Auth>,
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
    match read_file(&path) {
        Ok(text) => Ok(Some(text).filter(|value| !value.is_empty())),
        Err(source) => Err(NoIdentity::File { variable, path, source }),
    }
}

/// A small text, without the white space around it.
fn read_file(path: &Path) -> std::io::Result<SecretText> {
    let mut text = SecretText::default();
    let file = std::io::Read::take(std::fs::File::open(path)?, LARGEST);
    let read = std::io::Read::read_to_string(&mut { file }, text.expose_mut())?;
    if read as u64 == LARGEST {
        return Err(std::io::Error::other("it is larger than 64 KiB, and no identity"));
    }
    // EXPOSE: trimmed; wrapped again.
    Ok(SecretText::from(text.expose().trim()))
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
        let pod = of(&[("KUBERNETES_ROLE", "web"), ("TOKEN", "t")], None).unwrap();
        assert!(matches!(pod, Identity::Kubernetes { mount, .. } if mount == "kubernetes"));
        let person = of(&[("USERNAME", "u"), ("PASSWORD", "p")], None).unwrap();
        assert!(matches!(person, Identity::Userpass { mount, .. } if mount == "userpass"));
        assert!(
            matches!(of(&[("USERNAME", "u")], None), Err(NoIdentity::Nothing)),
            "half an identity is none"
        );
        assert!(matches!(of(&[("ADDR", "unix:///run/a.sock")], None), Ok(Identity::Agent)));
        let own = of(&[("ADDR", "unix:///run/a.sock"), ("TOKEN", "t")], None);
        assert!(matches!(own, Ok(Identity::Token(_))), "an identity of its own wins");
        assert!(matches!(of(&[], Some("t")).unwrap(), Identity::Token(_)));
        assert!(matches!(of(&[("ROLE_ID", " ")], None), Err(NoIdentity::Nothing)));
        for file in ["/none", "/dev/zero"] {
            assert!(matches!(of(&[("ROLE_ID_FILE", file)], None), Err(NoIdentity::File { .. })), "{file}");
        }
    }
}
