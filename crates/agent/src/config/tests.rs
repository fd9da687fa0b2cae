//! A whole configuration, and what each mistake in it is told as.

use std::path::Path;
use std::time::Duration;

use super::*;

const WHOLE: &str = r#"
[server]
address = "https://vault.example:8200"
ca_cert = "ca.pem"
timeout = "3s"

[auto_auth]
method = "approle"
role_id_file = "/etc/coffre/role_id"
wrapped_secret_id_file = "/run/coffre/wrapped"
expected_creation_path = "auth/approle/role/atmr-api/secret-id"
self_issue_role = "atmr-api"

[state]
directory = "/var/lib/coffre-agent"

[[sink]]
file = "/run/atmr/token"
mode = "0440"
user = "app"
wrap_ttl = "5m"

[[template]]
contents = "{{ secret('kv/data/x', 'value') }}"
destination = "/run/atmr/x"
command = ["systemctl", "reload", "atmr"]

[[template]]
source = "nginx.conf.j2"
destination = "/run/atmr/nginx.conf"
validate = ["nginx", "-t", "-c", "{}"]
require_tmpfs = true

[environment]
names = ["FLASK_ENV"]

[listener]
socket = "/run/coffre/agent.sock"
mode = "0660"
group = "app"
allow_users = ["app", 1001]
allow_paths = ["atmr/data/prod/*"]

[cache]
soft = "1m"
hard = 1800

[[process]]
name = "web"
command = ["gunicorn", "app:app"]
secrets = { SECRET_KEY = "atmr/data/prod/flask#value" }
stop_signal = "QUIT"
on_change = "restart"
on_crash = "backoff"
grace = "5s"
redact = true
"#;

fn accounts() -> Accounts {
    Accounts::parse("root:x:0:0::/:\napp:x:900:901::/:\n", "root:x:0:\napp:x:901:\n")
}

fn read(text: &str) -> Result<Config, String> {
    parse(Path::new("/etc/coffre/agent.toml"), text, &accounts()).map_err(|error| error.to_string())
}

#[test]
fn everything_is_read() {
    let config = read(WHOLE).unwrap();
    assert_eq!(
        config.server.ca_file.as_deref(),
        Some(Path::new("/etc/coffre/ca.pem")),
        "relative to the file"
    );
    let Method::AppRole(role) = &config.auth else { panic!("{:?}", config.auth) };
    let secret_id = role.secret_id.as_ref().unwrap();
    assert_eq!(secret_id.wrapped_at.as_deref(), Some("auth/approle/role/atmr-api/secret-id"));
    assert!(secret_id.remove, "a wrapping token is of no use after it was opened");
    assert_eq!((config.sinks[0].place.mode, config.sinks[0].place.user), (0o440, Some(900)));
    assert_eq!((config.templates[0].place.mode, config.templates[0].place.user), (0o400, None));
    assert!(config.templates[1].place.require_tmpfs);
    let listener = config.listener.unwrap();
    assert_eq!((listener.users, listener.group, listener.mode), (vec![900, 1001], Some(901), 0o660));
    assert_eq!((config.cache.soft, config.cache.hard), (Duration::from_secs(60), Duration::from_secs(1800)));
}

/// Each change to the whole, and what its error must say.
#[test]
fn errors_name_the_line_and_the_next_step() {
    let cases = [
        ("address = \"https", "adress = \"https", "agent.toml:2: [server] needs `address`"),
        (
            "timeout = \"3s\"",
            "time_out = \"3s\"",
            "agent.toml:5: `time_out` is not known in [server]; known are address,",
        ),
        ("timeout = \"3s\"", "timeout = \"fast\"", "agent.toml:5: `timeout` must be a duration"),
        ("[server]", "[server", "agent.toml:2: this is not TOML"),
        ("[cache]", "[caches]", "agent.toml:44: `caches` is not known here; known are server, auto_auth,"),
        ("method = \"approle\"", "method = \"ldap\"", "agent.toml:8: `method` must be"),
        (
            "expected_creation_path",
            "# expected_creation_path",
            "agent.toml:7: [auto_auth] needs `expected_creation_path`",
        ),
        (
            "[state]\ndirectory = \"/var/lib/coffre-agent\"",
            "",
            "agent.toml:12: `self_issue_role` keeps a secret_id",
        ),
        ("mode = \"0440\"", "mode = \"0444\"", "agent.toml:19: `mode` lets everybody read"),
        ("mode = \"0440\"", "mode = \"0740\"", "agent.toml:19: `mode` must be a mode"),
        ("user = \"app\"", "user = \"nobody-here\"", "agent.toml:20: this host knows no such user"),
        (
            "/run/atmr/nginx.conf",
            "/run/atmr/x",
            "agent.toml:30: this file is already written by /etc/coffre/agent.toml:25",
        ),
        ("/run/atmr/nginx.conf", "/run/atmr/..", "agent.toml:30: `destination` must name a file"),
        (
            "[\"systemctl\", \"reload\", \"atmr\"]",
            "\"systemctl reload\"",
            "agent.toml:26: `command` must be a list",
        ),
        ("mode = \"0660\"", "mode = \"0640\"", "agent.toml:39: `mode` of the socket must be"),
        ("\"atmr/data/prod/*\"", "\"atmr/*/prod\"", "agent.toml:42: `allow_paths` takes paths"),
        ("hard = 1800", "hard = 30", "agent.toml:44: `soft` is longer than `hard`"),
        ("hard = 1800", "hard = \"2d\"", "agent.toml:46: `hard` is above a day"),
        ("name = \"web\"", "", "agent.toml:48: [[process]] needs `name`"),
        ("name = \"web\"", "name = \"a b\"", "agent.toml:49: `name` takes letters"),
        ("[\"gunicorn\", \"app:app\"]", "[]", "agent.toml:50: `command` must be a program"),
        ("secrets = {", "secret = {", "agent.toml:48: [[process]] needs `secrets`"),
        ("flask#value", "flask", "agent.toml:51: `SECRET_KEY` must be an API path and a field"),
        ("atmr/data/prod/flask#", "/atmr/../x#", "agent.toml:51: `SECRET_KEY` must be an API path"),
        ("\"atmr/data/prod/flask#value\"", "5", "agent.toml:51: each of `secrets` must be a text"),
        ("SECRET_KEY = ", "LD_PRELOAD = ", "agent.toml:51: `LD_PRELOAD` steers how programs run"),
        ("stop_signal = \"QUIT\"", "stop_signal = \"KILL\"", "agent.toml:52: `stop_signal` must be"),
        ("\"restart\"", "\"signal:HUP\"", "agent.toml:53: `on_change`: a signal cannot bring new values"),
        ("\"restart\"", "\"reload\"", "agent.toml:53: `on_change` must be"),
        ("\"restart\"", "\"hook\"", "agent.toml:48: on_change = \"hook\" needs the program"),
        ("\"backoff\"", "\"backoff\"\nhook = [\"x\"]", "agent.toml:48: `hook` is run with on_change"),
        ("\"backoff\"", "\"always\"", "agent.toml:54: `on_crash` must be"),
        ("redact = true", "redacted = true", "agent.toml:56: `redacted` is not known in [[process]]"),
    ];
    for (from, to, said) in cases {
        assert!(WHOLE.contains(from), "{from}");
        let error = read(&WHOLE.replacen(from, to, 1)).unwrap_err();
        assert!(error.contains(said), "{to}: {error}");
    }
}

#[test]
fn a_program_is_read_as_it_is_meant() {
    let config = read(WHOLE).unwrap();
    let web = &config.processes[0];
    let at = FieldPath { path: "atmr/data/prod/flask".to_owned(), field: "value".to_owned() };
    assert_eq!(web.secrets, [("SECRET_KEY".to_owned(), at)].into());
    assert_eq!((web.policy.stop_signal, web.policy.grace), (3, Duration::from_secs(5)));
    assert_eq!(web.policy.min_uptime, Duration::from_secs(10), "the usual one");
    let spec = web.spec();
    assert_eq!((spec.program, spec.args, spec.redact), ("gunicorn".into(), vec!["app:app".into()], true));
    let second = format!("{WHOLE}\n[[process]]\nname = \"web\"\ncommand = [\"x\"]\nsecrets = {{}}\n");
    let error = read(&second).unwrap_err();
    assert!(
        error.starts_with("/etc/coffre/agent.toml:58: the process at /etc/coffre/agent.toml:48"),
        "{error}"
    );
    let allowed = WHOLE.replacen("SECRET_KEY = ", "PATH = ", 1) + "allow = [\"PATH\"]\n";
    assert!(read(&allowed).is_ok());
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    for line in ["secret_id = \"s3cr3t-canary\"", "role_id_file = 5\nsecret_id_file = [\"s3cr3t-canary\"]"] {
        let text =
            format!("[server]\naddress = \"https://v:1\"\n[auto_auth]\nmethod = \"approle\"\n{line}\n");
        let error = read(&text).unwrap_err();
        assert!(!error.contains("canary"), "{error}");
    }
}

#[test]
fn half_a_file_is_refused_at_its_line() {
    for cut in 1..WHOLE.len() - 1 {
        let Some(half) = WHOLE.get(..cut) else { continue };
        // Some halves are whole configurations; what counts is that nothing panics and errors have a place.
        if let Err(error) = read(half) {
            assert!(error.starts_with("/etc/coffre/agent.toml:"), "{error}");
        }
    }
}
