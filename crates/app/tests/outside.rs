//! Without a server: `.env` and the process environment give the same library, and say where each value stands.
#![expect(clippy::unwrap_used, reason = "test")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use coffre_app::{ErrorKind, Secrets, Settings, Source, Status};

const MANIFEST: &str = r#"
app = "atmr"
environments = ["dev", "prod"]
[secret.JWT_SECRET_KEY]
path = "jwt/secret_key"
[secret.DATABASE_URL]
path = "database/creds"
kind = "postgresql"
dynamic = { role = "atmr-api", ttl = "7d" }
template = "postgresql://{username}:{password}@{host}/{database}"
[secret.REDIS_PASSWORD]
path = "redis/password"
[secret.REDIS_URL]
template = "redis://:{REDIS_PASSWORD|pct}@cache"
[secret.UNSET]
path = "un/set"
"#;

const DOTENV: &str = "# ours\nJWT_SECRET_KEY=first\nexport REDIS_PASSWORD='p@ss'\nJWT_SECRET_KEY=hunter2\n\
DATABASE_URL=postgresql://u:p%40@db:5432/app\n";

fn project() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("coffre.toml"), MANIFEST).unwrap();
    std::fs::write(directory.path().join(".env"), DOTENV).unwrap();
    directory
}

fn open(directory: &Path, variables: &[(&str, &str)]) -> Result<Secrets, ErrorKind> {
    let variables: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let lookup = move |name: &str| variables.get(name).cloned();
    Secrets::open(Settings::from_lookup(lookup, directory).unwrap()).map_err(|error| error.kind())
}

#[test]
fn a_developers_file_gives_the_same_library() {
    let directory = project();
    let secrets = open(directory.path(), &[("COFFRE_ENV", "dev"), ("UNSET_TOO", "x")]).unwrap();
    assert_eq!(secrets.source(), Source::Dotenv);
    assert_eq!(secrets.get("JWT_SECRET_KEY").unwrap().expose(), "hunter2");
    assert_eq!(secrets.get_field("jwt/secret_key", "value").unwrap().expose(), "hunter2");
    assert_eq!(secrets.get("REDIS_URL").unwrap().expose(), "redis://:p%40ss@cache");
    let document = secrets.document("redis/password").unwrap();
    assert_eq!(document.get("value").unwrap().expose(), "p@ss");
    assert_eq!((document.version(), document.age()), (None, None));
    let database = secrets.database_credentials().unwrap();
    assert_eq!((database.expose_username(), database.expose_password()), ("u", "p@"));
    for missing in ["UNSET", "UNSET_TOO"] {
        assert_eq!(secrets.get(missing).unwrap_err().kind(), ErrorKind::NotFound);
    }
    assert_eq!(secrets.document("un/set").unwrap_err().kind(), ErrorKind::NotFound);
    let explained = secrets.explain("JWT_SECRET_KEY").unwrap();
    assert_eq!((explained.origin, explained.line), (".env", Some(4)), "the last one counts");
    assert!(explained.to_string().contains(".env:4"), "{explained}");
    assert_eq!(secrets.explain("REDIS_URL").unwrap().origin, "composed");
    assert!(secrets.metrics().contains("coffre_secrets_fallback_active 0"));
    secrets.close();
    assert_eq!(secrets.get("JWT_SECRET_KEY").unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn going_back_to_dotenv_is_allowed_everywhere_and_loud() {
    let directory = project();
    let variables =
        [("USE_VAULT", "false"), ("VAULT_ADDR", "http://127.0.0.1:1"), ("JWT_SECRET_KEY", "stronger")];
    let log = captured(|| {
        let secrets = open(directory.path(), &variables).unwrap();
        assert_eq!(secrets.source().to_string(), "dotenv (USE_VAULT=false)");
        assert_eq!(
            secrets.get("JWT_SECRET_KEY").unwrap().expose(),
            "stronger",
            "the process environment wins"
        );
        assert_eq!(secrets.explain("JWT_SECRET_KEY").unwrap().origin, "process environment");
        assert!(secrets.metrics().contains("coffre_secrets_fallback_active 1"));
        let health = secrets.health();
        assert!(health.fallback_active && health.status == Status::Failed, "UNSET has no value: {health:?}");
    });
    assert!(log.contains("WARN") && log.contains("not from the vault"), "{log}");
    for value in ["hunter2", "stronger", "p@ss", "p%40"] {
        assert!(!log.contains(value), "{log}");
    }
}

#[test]
fn what_a_launcher_put_into_the_environment() {
    let directory = project();
    let variables = [
        ("COFFRE_SOURCE", "vault"),
        ("JWT_SECRET_KEY", "from-launcher"),
        ("REDIS_PASSWORD", "p@"),
        ("COFFRE_ENV", "prod"),
    ];
    let secrets = open(directory.path(), &variables).unwrap();
    assert_eq!(secrets.source(), Source::Environment);
    assert_eq!(secrets.get("JWT_SECRET_KEY").unwrap().expose(), "from-launcher");
    assert_eq!(secrets.get("REDIS_URL").unwrap().expose(), "redis://:p%40@cache");
    assert_eq!(secrets.get("DATABASE_URL").unwrap_err().kind(), ErrorKind::NotFound, ".env is not looked at");
    assert!(!secrets.health().fallback_active);
    let rolled_back = [("COFFRE_SOURCE", "dotenv (USE_VAULT=false)")];
    assert!(open(directory.path(), &rolled_back).unwrap().health().fallback_active);
    let elsewhere = tempfile::tempdir().unwrap();
    let secrets = open(elsewhere.path(), &variables).unwrap();
    assert_eq!(secrets.get("JWT_SECRET_KEY").unwrap().expose(), "from-launcher", "no manifest is needed");
}

#[test]
fn production_without_a_server_does_not_start() {
    let directory = project();
    assert_eq!(open(directory.path(), &[]).unwrap_err(), ErrorKind::Refused);
    let marked = [("COFFRE_ENV", "dev"), ("KUBERNETES_SERVICE_HOST", "10.0.0.1")];
    assert_eq!(open(directory.path(), &marked).unwrap_err(), ErrorKind::Refused);
    std::fs::write(directory.path().join(".env"), b"A=\xff\n").unwrap();
    assert_eq!(open(directory.path(), &[("COFFRE_ENV", "dev")]).unwrap_err(), ErrorKind::Invalid);
}

#[test]
fn nothing_that_is_printed_holds_a_value() {
    let directory = project();
    let secrets = open(directory.path(), &[("COFFRE_ENV", "dev")]).unwrap();
    let (value, document) =
        (secrets.get("JWT_SECRET_KEY").unwrap(), secrets.document("jwt/secret_key").unwrap());
    let printed = [
        format!("{secrets:?} {value:?} {document:?} {:?}", secrets.database_credentials().unwrap()),
        format!("{:?} {:?}", secrets.health(), secrets.get("UNSET").unwrap_err()),
        secrets.explain("JWT_SECRET_KEY").unwrap().to_string(),
        serde_json::to_string(&secrets.explain("DATABASE_URL").unwrap()).unwrap(),
        secrets.metrics(),
    ]
    .concat();
    for value in ["hunter2", "p@ss", "p%40", "u:p"] {
        assert!(!printed.contains(value), "{printed}");
    }
}

/// What is logged meanwhile, at every level.
fn captured(run: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Tape(Arc<Mutex<Vec<u8>>>);
    impl Write for Tape {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let tape = Tape::default();
    let writer = tape.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // For the whole process: the library logs from threads of its own.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    run();
    let bytes = tape.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}
