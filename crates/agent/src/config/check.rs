//! What was written becomes what is meant.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::accounts::Accounts;
use super::error::{ConfigError, Spot};
use super::fields::{At, Fields};
use super::meant::{
    AppRole, Cache, Config, FilePlace, Kubernetes, ListenerSettings, Method, SecretIdFile, Server, Sink,
    TemplateSettings, TemplateText,
};

const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
const MOST_CONNECTIONS: u64 = 4_096;
const MOST_ENTRIES: u64 = 100_000;
const DAY: Duration = Duration::from_secs(86_400);

impl Config {
    /// Checks the tables of a file.
    pub(super) fn check(mut fields: Fields<'_>, accounts: &Accounts) -> Result<Self, ConfigError> {
        let Some(server) = fields.table("server")? else {
            return Err(
                fields.wrong("there is no [server]; write [server] with address = \"https://host:8200\"")
            );
        };
        let Some(auth) = fields.table("auto_auth")? else {
            return Err(fields.wrong("there is no [auto_auth]; write [auto_auth] with method = \"approle\""));
        };
        let state = fields.table("state")?.map(state).transpose()?;
        let mut places = Places::default();
        let mut sinks = Vec::new();
        for table in fields.tables("sink")? {
            sinks.push(sink(table, accounts, &mut places)?);
        }
        let mut templates = Vec::new();
        for table in fields.tables("template")? {
            templates.push(template(table, accounts, &mut places)?);
        }
        let processes = super::process::processes(fields.tables("process")?)?;
        let environment = fields.table("environment")?.map(environment).transpose()?;
        let listener = fields.table("listener")?.map(|table| listener(table, accounts)).transpose()?;
        let cache = fields.table("cache")?.map_or(Ok(Cache::default()), cache)?;
        let auth = self::auth(auth, state.is_some())?;
        let config = Self {
            server: self::server(server)?,
            auth,
            state,
            sinks,
            templates,
            processes,
            environment: environment.unwrap_or_default(),
            listener,
            cache,
        };
        fields.done()?;
        Ok(config)
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            soft: Duration::from_secs(300),
            hard: Duration::from_secs(3_600),
            negative: Duration::from_secs(10),
            wait: Duration::from_secs(2),
            entries: 1_000,
        }
    }
}

fn server(mut fields: Fields<'_>) -> Result<Server, ConfigError> {
    let address = fields.text("address")?;
    let address = fields.required("address", address, "\"https://vault.example:8200\"")?;
    let known = ["https://", "http://", "unix://"].iter().any(|scheme| address.value.starts_with(scheme));
    if !known || address.value.contains('@') {
        return Err(
            address.wrong("`address` must be https://host:port (or http:// for a test), without a user name")
        );
    }
    let (client_cert, client_key) = (fields.path("client_cert")?, fields.path("client_key")?);
    if let (Some(lone), None) | (None, Some(lone)) = (&client_cert, &client_key) {
        return Err(lone.wrong("`client_cert` and `client_key` go together: give both"));
    }
    let server = Server {
        address: address.value,
        namespace: fields.text("namespace")?.map(value),
        ca_file: fields.path("ca_cert")?.map(value),
        ca_path: fields.path("ca_path")?.map(value),
        client_cert: client_cert.map(value),
        client_key: client_key.map(value),
        tls_server_name: fields.text("tls_server_name")?.map(value),
        tls_skip_verify: fields.flag("tls_skip_verify")?.is_some_and(value),
        timeout: fields.duration("timeout")?.map_or(Duration::from_secs(10), value),
    };
    fields.done()?;
    Ok(server)
}

fn auth(mut fields: Fields<'_>, has_state: bool) -> Result<Method, ConfigError> {
    let method = fields.text("method")?;
    let method = fields.required("method", method, "\"approle\"")?;
    let method = match method.value.as_str() {
        "approle" => Method::AppRole(approle(&mut fields, has_state)?),
        "kubernetes" => {
            let role = fields.text("role")?;
            Method::Kubernetes(Kubernetes {
                mount: mount(&mut fields, "kubernetes")?,
                role: fields.required("role", role, "\"atmr-api\"")?.value,
                token_file: fields.path("token_file")?.map_or_else(|| PathBuf::from(POD_TOKEN), value),
            })
        }
        "token_file" => {
            let file = fields.path("token_file")?;
            Method::TokenFile(fields.required("token_file", file, "\"/run/atmr/token\"")?.value)
        }
        _ => return Err(method.wrong("`method` must be \"approle\", \"kubernetes\" or \"token_file\"")),
    };
    fields.done()?;
    Ok(method)
}

fn approle(fields: &mut Fields<'_>, has_state: bool) -> Result<AppRole, ConfigError> {
    let role_id = fields.path("role_id_file")?;
    let plain = fields.path("secret_id_file")?;
    let wrapped = fields.path("wrapped_secret_id_file")?;
    let created_at = fields.text("expected_creation_path")?;
    let remove = fields.flag("remove_after_reading")?;
    let mount = mount(fields, "approle")?;
    let self_issue = fields.text("self_issue_role")?;
    if let Some(role) = self_issue.as_ref().filter(|_| !has_state) {
        return Err(role.wrong(
            "`self_issue_role` keeps a secret_id for the next start: say where, [state] with directory = \"/var/lib/coffre-agent\"",
        ));
    }
    let secret_id = match (plain, wrapped) {
        (Some(_), Some(second)) => {
            return Err(
                second.wrong("`secret_id_file` and `wrapped_secret_id_file` exclude each other: keep one")
            );
        }
        (Some(file), None) => {
            if let Some(path) = created_at {
                return Err(
                    path.wrong("`expected_creation_path` belongs to `wrapped_secret_id_file`: remove it")
                );
            }
            Some(SecretIdFile { file: file.value, wrapped_at: None, remove: remove.is_some_and(value) })
        }
        (None, Some(file)) => {
            let example = format!("\"auth/{mount}/role/atmr-api/secret-id\"");
            let path = fields.required("expected_creation_path", created_at, &example)?;
            let wrapped_at = Some(path.value.trim_matches('/').to_owned());
            Some(SecretIdFile { file: file.value, wrapped_at, remove: remove.is_none_or(value) })
        }
        (None, None) => None,
    };
    let role_id = fields.required("role_id_file", role_id, "\"/etc/coffre/role_id\"")?.value;
    Ok(AppRole { mount, role_id, secret_id, self_issue: self_issue.map(value) })
}

fn mount(fields: &mut Fields<'_>, usual: &str) -> Result<String, ConfigError> {
    let mount = fields.text("mount")?.map(|mount| mount.value.trim_matches('/').to_owned());
    Ok(mount.filter(|mount| !mount.is_empty()).unwrap_or_else(|| usual.to_owned()))
}

fn state(mut fields: Fields<'_>) -> Result<PathBuf, ConfigError> {
    let directory = fields.path("directory")?;
    let directory = fields.required("directory", directory, "\"/var/lib/coffre-agent\"")?;
    fields.done()?;
    Ok(directory.value)
}

fn environment(mut fields: Fields<'_>) -> Result<Vec<String>, ConfigError> {
    let names = fields.texts("names")?;
    let names = fields.required("names", names, "[\"FLASK_ENV\"]")?;
    fields.done()?;
    Ok(names.value)
}

/// Which files are written already, so that no two writers fight over one.
#[derive(Default)]
struct Places(BTreeMap<PathBuf, Spot>);

fn place(
    fields: &mut Fields<'_>,
    key: &'static str,
    accounts: &Accounts,
    places: &mut Places,
) -> Result<FilePlace, ConfigError> {
    let path = fields.path(key)?;
    let path = fields.required(key, path, "\"/run/atmr/secret\"")?;
    if path.value.file_name().is_none() || path.value.components().any(|part| part.as_os_str() == "..") {
        return Err(path.wrong(format!("`{key}` must name a file, without `..`")));
    }
    if let Some(first) = places.0.insert(path.value.clone(), path.spot.clone()) {
        return Err(path.wrong(format!("this file is already written by {first}: name another")));
    }
    let mode = fields.mode("mode")?;
    if let Some(open) = mode.as_ref().filter(|mode| mode.value & 0o006 != 0) {
        return Err(
            open.wrong("`mode` lets everybody read or write the file: use \"0400\", \"0440\" or \"0640\"")
        );
    }
    Ok(FilePlace {
        path: path.value,
        mode: mode.map_or(0o400, value),
        user: user(fields, accounts)?,
        group: group(fields, accounts)?,
        require_tmpfs: fields.flag("require_tmpfs")?.is_some_and(value),
    })
}

fn user(fields: &mut Fields<'_>, accounts: &Accounts) -> Result<Option<u32>, ConfigError> {
    let word = fields.word("user")?;
    word.map(|word| accounts.user(&word.value).ok_or_else(|| unknown(&word, "user"))).transpose()
}

fn group(fields: &mut Fields<'_>, accounts: &Accounts) -> Result<Option<u32>, ConfigError> {
    let word = fields.word("group")?;
    word.map(|word| accounts.group(&word.value).ok_or_else(|| unknown(&word, "group"))).transpose()
}

fn unknown<T>(word: &At<T>, what: &str) -> ConfigError {
    word.wrong(format!("this host knows no such {what}: make it, or write its number"))
}

fn sink(mut fields: Fields<'_>, accounts: &Accounts, places: &mut Places) -> Result<Sink, ConfigError> {
    let place = place(&mut fields, "file", accounts, places)?;
    let wrap_ttl = fields.duration("wrap_ttl")?.map(value);
    fields.done()?;
    Ok(Sink { place, wrap_ttl })
}

fn template(
    mut fields: Fields<'_>,
    accounts: &Accounts,
    places: &mut Places,
) -> Result<TemplateSettings, ConfigError> {
    let (file, inline) = (fields.path("source")?, fields.long_text("contents")?);
    let text = match (file, inline) {
        (Some(file), None) => TemplateText::File(file.value),
        (None, Some(text)) => TemplateText::Inline(text.value),
        (Some(_), Some(second)) => {
            return Err(second.wrong("`source` and `contents` exclude each other: keep one"));
        }
        (None, None) => {
            return Err(
                fields.wrong("[[template]] needs `source`, the template's file, or `contents`, its text")
            );
        }
    };
    let place = place(&mut fields, "destination", accounts, places)?;
    let settings = TemplateSettings {
        text,
        place,
        validate: command(&mut fields, "validate")?,
        command: command(&mut fields, "command")?,
        timeout: fields.duration("timeout")?.map_or(Duration::from_secs(30), value),
    };
    fields.done()?;
    Ok(settings)
}

/// A program and its arguments. No shell stands between, so nothing in them is interpreted.
pub(super) fn command(fields: &mut Fields<'_>, key: &'static str) -> Result<Vec<String>, ConfigError> {
    let Some(words) = fields.texts(key)? else { return Ok(vec![]) };
    let program = words.value.first().filter(|program| !program.is_empty());
    if program.is_none() || words.value.iter().any(|word| word.contains('\0')) {
        return Err(
            words.wrong(format!("`{key}` must be a program and its arguments, such as [\"nginx\", \"-t\"]"))
        );
    }
    Ok(words.value)
}

fn listener(mut fields: Fields<'_>, accounts: &Accounts) -> Result<ListenerSettings, ConfigError> {
    let socket = fields.path("socket")?;
    let socket = fields.required("socket", socket, "\"/run/coffre/agent.sock\"")?;
    // sun_path has 108 bytes with its end (unix(7)).
    if socket.value.as_os_str().len() > 107 {
        return Err(
            socket.wrong("`socket` is longer than 107 bytes, which the system cannot bind: shorten the path")
        );
    }
    let mode = fields.mode("mode")?;
    if let Some(other) = mode.as_ref().filter(|mode| !matches!(mode.value, 0o600 | 0o660)) {
        return Err(other.wrong("`mode` of the socket must be \"0600\" or \"0660\""));
    }
    let connections = fields.number("max_connections")?;
    if let Some(wrong) = connections.as_ref().filter(|n| n.value == 0 || n.value > MOST_CONNECTIONS) {
        return Err(wrong.wrong(format!("`max_connections` must be from 1 to {MOST_CONNECTIONS}")));
    }
    let settings = ListenerSettings {
        socket: socket.value,
        mode: mode.map_or(0o600, value),
        user: user(&mut fields, accounts)?,
        group: group(&mut fields, accounts)?,
        users: ids(fields.words("allow_users")?, "user", |word| accounts.user(word))?,
        groups: ids(fields.words("allow_groups")?, "group", |word| accounts.group(word))?,
        allow: patterns(fields.texts("allow_paths")?)?,
        connections: connections.and_then(|n| usize::try_from(n.value).ok()).unwrap_or(256),
        timeout: fields.duration("timeout")?.map_or(Duration::from_secs(10), value),
    };
    fields.done()?;
    Ok(settings)
}

fn ids(
    words: Option<At<Vec<String>>>,
    what: &str,
    find: impl Fn(&str) -> Option<u32>,
) -> Result<Vec<u32>, ConfigError> {
    let Some(words) = words else { return Ok(vec![]) };
    words.value.iter().map(|word| find(word).ok_or_else(|| unknown(&words, what))).collect()
}

fn patterns(list: Option<At<Vec<String>>>) -> Result<Vec<String>, ConfigError> {
    let Some(list) = list else { return Ok(vec![]) };
    let sound = |text: &String| !text.is_empty() && !text.trim_end_matches('*').contains('*');
    if list.value.is_empty() || !list.value.iter().all(sound) {
        return Err(list.wrong(
            "`allow_paths` takes paths such as \"atmr/data/prod/*\"; `*` may stand at the end alone",
        ));
    }
    Ok(list.value.into_iter().map(|text| text.trim_start_matches('/').to_owned()).collect())
}

fn cache(mut fields: Fields<'_>) -> Result<Cache, ConfigError> {
    let usual = Cache::default();
    let entries = fields.number("max_entries")?;
    if let Some(wrong) = entries.as_ref().filter(|n| n.value == 0 || n.value > MOST_ENTRIES) {
        return Err(wrong.wrong(format!("`max_entries` must be from 1 to {MOST_ENTRIES}")));
    }
    let hard = fields.duration("hard")?;
    let cache = Cache {
        soft: fields.duration("soft")?.map_or(usual.soft, value),
        hard: hard.as_ref().map_or(usual.hard, |hard| hard.value),
        negative: fields.duration("negative")?.map_or(usual.negative, value),
        wait: fields.duration("wait")?.map_or(usual.wait, value),
        entries: entries.and_then(|n| usize::try_from(n.value).ok()).unwrap_or(usual.entries),
    };
    if let Some(hard) = hard.as_ref().filter(|hard| hard.value > DAY) {
        return Err(hard.wrong("`hard` is above a day: a revoked value must not be served that long"));
    }
    if cache.soft > cache.hard {
        return Err(
            fields.wrong("`soft` is longer than `hard`: a value is read anew before it may not be served")
        );
    }
    fields.done()?;
    Ok(cache)
}

fn value<T>(at: At<T>) -> T {
    at.value
}
