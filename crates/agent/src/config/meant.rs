use std::path::PathBuf;
use std::time::Duration;

use super::process::ProcessSettings;

/// What an agent is to do: everything checked that can be checked without the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the secrets are.
    pub server: Server,
    /// Who the agent is to it.
    pub auth: Method,
    /// Where the agent keeps what must survive a restart: its own secret_id. A folder for the agent alone.
    pub state: Option<PathBuf>,
    /// Files with the token.
    pub sinks: Vec<Sink>,
    /// Files made from templates.
    pub templates: Vec<TemplateSettings>,
    /// Programs that are started with secrets in their environment.
    pub processes: Vec<ProcessSettings>,
    /// The variables of the agent's own environment that templates may read with `env`.
    pub environment: Vec<String>,
    /// The socket for programs of this host.
    pub listener: Option<ListenerSettings>,
    /// How long what was read is used.
    pub cache: Cache,
}

/// `[server]`: the Vault-compatible server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// `https://host:port`.
    pub address: String,
    /// Sent as `X-Vault-Namespace`.
    pub namespace: Option<String>,
    /// PEM file with the only trust anchors.
    pub ca_file: Option<PathBuf>,
    /// Folder with the only trust anchors.
    pub ca_path: Option<PathBuf>,
    /// Our own certificate.
    pub client_cert: Option<PathBuf>,
    /// Its key.
    pub client_key: Option<PathBuf>,
    /// The name that the server's certificate must carry.
    pub tls_server_name: Option<String>,
    /// Whether any certificate is accepted. Never outside a laboratory.
    pub tls_skip_verify: bool,
    /// For one request. Default 10 seconds.
    pub timeout: Duration,
}

/// `[auto_auth]`: a way to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// `method = "approle"`.
    AppRole(AppRole),
    /// `method = "kubernetes"`.
    Kubernetes(Kubernetes),
    /// `method = "token_file"`: a token that somebody else keeps alive.
    TokenFile(PathBuf),
}

/// AppRole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppRole {
    /// Where the method is enabled. Default `approle`.
    pub mount: String,
    /// The file with the role_id.
    pub role_id: PathBuf,
    /// The file with the secret_id, if the role wants one.
    pub secret_id: Option<SecretIdFile>,
    /// The role's name, so that the agent gives itself secret_ids after its first login.
    pub self_issue: Option<String>,
}

/// Where the first secret_id lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretIdFile {
    /// The file.
    pub file: PathBuf,
    /// The path at which it must have been made, if the file holds a wrapping token.
    pub wrapped_at: Option<String>,
    /// Whether the file is removed after the first login.
    pub remove: bool,
}

/// Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubernetes {
    /// Where the method is enabled. Default `kubernetes`.
    pub mount: String,
    /// The method's role.
    pub role: String,
    /// The pod's token. Default as Kubernetes mounts it.
    pub token_file: PathBuf,
}

/// A file that the agent writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePlace {
    /// Where.
    pub path: PathBuf,
    /// Its mode. Default 0400.
    pub mode: u32,
    /// Its owner; without one, the agent's.
    pub user: Option<u32>,
    /// Its group; without one, the agent's.
    pub group: Option<u32>,
    /// Whether the folder must be in memory (tmpfs, ramfs). If not, a disk is a warning.
    pub require_tmpfs: bool,
}

/// `[[sink]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sink {
    /// The file.
    pub place: FilePlace,
    /// If set, the file holds a wrapping token with this life, in a JSON document.
    pub wrap_ttl: Option<Duration>,
}

/// `[[template]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateSettings {
    /// The template.
    pub text: TemplateText,
    /// The file that is made.
    pub place: FilePlace,
    /// A program that looks at the new file before it takes its place; `{}` stands for its path. Empty: none.
    pub validate: Vec<String>,
    /// A program that runs after the file changed. Empty: none.
    pub command: Vec<String>,
    /// For each of the two. Default 30 seconds.
    pub timeout: Duration,
}

/// Where a template stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateText {
    /// In a file of its own.
    File(PathBuf),
    /// In the configuration.
    Inline(String),
}

/// `[listener]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    /// The socket's path.
    pub socket: PathBuf,
    /// The socket's mode: 0600 or 0660.
    pub mode: u32,
    /// The socket's owner; without one, the agent's.
    pub user: Option<u32>,
    /// The socket's group; without one, the agent's.
    pub group: Option<u32>,
    /// Users who may ask; the agent's own and root always may.
    pub users: Vec<u32>,
    /// Groups who may ask.
    pub groups: Vec<u32>,
    /// The paths that may be asked for: exact, or with `*` at the end. Empty: whatever the agent's token may read.
    pub allow: Vec<String>,
    /// At the same time. Default 256.
    pub connections: usize,
    /// For a request's head and for its answer. Default 10 seconds.
    pub timeout: Duration,
}

/// `[cache]`; see the table of states in the manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cache {
    /// After this a value is read anew, while the old one is served. Default 5 minutes.
    pub soft: Duration,
    /// After this a value is not served any more. Default 1 hour.
    pub hard: Duration,
    /// How long "nothing there" and "not allowed" are remembered. Default 10 seconds.
    pub negative: Duration,
    /// How long somebody who asks is kept waiting. Default 2 seconds.
    pub wait: Duration,
    /// Documents at most. Default 1000.
    pub entries: usize,
}
