//! What follows from a manifest, what is refused and on which line, and that writing and reading agree.

use std::collections::BTreeMap;

use coffre_manifest::{Address, Entry, Kind, Local, Manifest, Mode, Priority, Source};
use proptest::prelude::*;

const ATMR: &str = r#"
app = "atmr"
environments = ["dev", "staging", "prod"]

[secret.SECRET_KEY]                    # the variable the program reads
path = "flask/secret_key"              # KV v2, mount atmr/
kind = "signing-key"
priority = "critical"
rotation = { mode = "manual", every = "90d" }

[secret.JWT_SECRET_KEY]
path = "jwt/secret_key"
kind = "signing-key"
priority = "critical"
rotation = { mode = "automatic", every = "30d", token_lifetime = "24h" }

[secret.DATABASE_URL]
path = "database/creds"
kind = "postgresql"                    # dynamic: database/creds/<role>
priority = "critical"
dynamic = { role = "atmr-api", ttl = "7d" }
template = "postgresql://{username}:{password}@{host}:{port}/{database}"

[secret.REDIS_URL]
path = "redis/creds"
kind = "redis"
dynamic = { role = "atmr-api", ttl = "7d" }
local = "env"

[secret.CELERY_RESULT_BACKEND]
template = "{REDIS_URL}/1"

[secret.GOOGLE_PLACES_API_KEY]
path = "api/google_places"
kind = "external"
rotation = { mode = "manual" }

[config]                               # not secret: stays in the environment
names = ["FLASK_ENV", "PDF_BASE_URL", "SOCKETIO_CORS_ORIGINS"]
"#;

#[test]
fn the_example_is_understood() {
    let manifest = Manifest::parse(ATMR).unwrap();
    assert_eq!((manifest.app(), manifest.mount()), ("atmr", "atmr"));
    let names: Vec<_> = manifest.entries().iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names[..3], ["SECRET_KEY", "JWT_SECRET_KEY", "DATABASE_URL"], "file order");
    let jwt = manifest.entry("JWT_SECRET_KEY").unwrap();
    assert_eq!(
        manifest.address(jwt, "prod"),
        Some(Address {
            mount: "atmr".to_owned(),
            path: "prod/jwt/secret_key".to_owned(),
            field: "value".to_owned(),
        })
    );
    assert_eq!(jwt.rotation.as_ref().unwrap().mode, Mode::Automatic);
    assert_eq!((jwt.kind, jwt.priority), (Kind::SigningKey, Priority::Critical));
    assert_eq!(manifest.entry("REDIS_URL").unwrap().local, Some(Local::Env));
    assert_eq!(manifest.config().len(), 3);
}

#[test]
fn a_dynamic_variable_has_a_document_until_an_engine_makes_it() {
    let manifest = Manifest::parse(ATMR).unwrap();
    let source = |name: &str| manifest.source(manifest.entry(name).unwrap(), "dev").unwrap();
    match source("DATABASE_URL") {
        Source::Dynamic { document, dynamic, template } => {
            assert_eq!((document.path.as_str(), document.field.as_str()), ("dev/database/creds", "value"));
            assert_eq!(dynamic.role, "atmr-api");
            assert_eq!(template.unwrap().names().count(), 5);
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(source("SECRET_KEY"), Source::Document(_)));
    assert!(matches!(source("CELERY_RESULT_BACKEND"), Source::Composed { document: None, .. }));
}

#[test]
fn policies_follow_and_are_least_privilege() {
    let manifest = Manifest::parse(ATMR).unwrap();
    let named: BTreeMap<_, _> =
        manifest.policies("prod").into_iter().map(|policy| (policy.name, policy.text)).collect();
    assert_eq!(named.keys().collect::<Vec<_>>(), ["atmr-api-read", "atmr-api-rotate", "atmr-dev-read"]);
    let rules = |name: &str| -> BTreeMap<String, Vec<String>> {
        let body: hcl::Value = hcl::from_str(&named[name]).unwrap();
        let paths = body.as_object().unwrap()["path"].as_object().unwrap();
        let capabilities = |rule: &hcl::Value| {
            rule.as_object().unwrap()["capabilities"]
                .as_array()
                .unwrap()
                .iter()
                .map(|c| c.as_str().unwrap().to_owned())
                .collect()
        };
        paths.iter().map(|(path, rule)| (path.to_string(), capabilities(rule))).collect()
    };
    let read = rules("atmr-api-read");
    for (path, capabilities) in [
        ("atmr/data/prod/*", &["read"][..]),
        ("atmr/metadata/prod/*", &["read", "list"]),
        ("atmr/data/prod/_rot/*", &["deny"]),
        ("atmr/metadata/prod/_rot/*", &["deny"]),
        ("atmr/data/prod/_rot/policy", &["read"]),
        ("atmr/data/prod/_rot/ack/*", &["create", "update"]),
        ("atmr/data/prod/_rot/rollout/*", &["create", "read", "update"]),
        ("database/creds/atmr-api", &["read"]),
    ] {
        assert_eq!(read[path], capabilities, "{path}");
    }
    assert_eq!(read.len(), 8);
    let rotate = rules("atmr-api-rotate");
    assert_eq!(rotate["atmr/data/prod/*"], ["create", "read", "update", "patch"]);
    assert_eq!(rotate["atmr/metadata/prod/*"], ["create", "read", "update", "patch", "list"]);
    assert_eq!(rotate["atmr/destroy/prod/*"], ["update"]);
    assert_eq!(rotate["atmr/metadata/prod/_rot/ack/*"], ["create", "read", "update", "delete", "list"]);
    // The rules of the other policy that deny must not be for the same path: deny would win.
    assert!(rotate.keys().all(|path| read.get(path).is_none_or(|rule| rule != &["deny"])));
    assert!(!rules("atmr-dev-read").keys().any(|path| path.starts_with("database/")), "production's role");
    assert_eq!(rules("atmr-dev-read")["atmr/data/dev/*"], ["read"]);
    let dev: Vec<_> = manifest.policies("dev").into_iter().map(|policy| policy.name).collect();
    assert_eq!(dev, ["atmr-dev-read"]);
    let role = manifest.approle("prod");
    assert_eq!((role.name.as_str(), role.token_policies), ("atmr-api", vec!["atmr-api-read".to_owned()]));
    assert_eq!((role.token_ttl, role.token_max_ttl), ("24h", "48h"));
}

#[test]
fn problems_name_their_line() {
    let head = "app = \"a\"\nenvironments = [\"dev\"]\n";
    for (text, line, says) in [
        ("app = \"A b\"\nenvironments = [\"dev\"]\n", 1, "app `A b`"),
        ("app = \"a\"\nenvironments = []\n", 2, "environments is empty"),
        ("app = \"a\"\nenvironments = [\"dev\", \"dev\"]\n", 2, "twice"),
        ("app = \"a\"\nenvironments = [\"prod\", \"production\"]\n", 2, "`prod` and `production`"),
        ("app = \"a\"\nenvironments = [\"api\", \"prod\"]\n", 2, "`api` and `prod`"),
        ("app = \"a\"\nenvironment = [\"dev\"]\n", 2, "unknown field"),
        (&format!("{head}[secret.\"A-B\"]\npath = \"x\"\n"), 3, "not a variable's name"),
        (&format!("{head}[secret.A]\n"), 3, "neither a path nor a template"),
        (&format!("{head}[secret.A]\npath = \"x/../y\"\n"), 3, "not canonical"),
        (&format!("{head}[secret.A]\npath = \"/x\"\n"), 3, "not canonical"),
        (&format!("{head}[secret.A]\npath = \"_rot/x\"\n"), 3, "not canonical"),
        (&format!("{head}[secret.A]\npath = \"x\"\nkind = \"sining-key\"\n"), 5, "unknown variant"),
        (&format!("{head}[secret.A]\npath = \"x\"\nvalue = \"hunter2\"\n"), 5, "unknown field"),
        (
            &format!("{head}[secret.A]\npath = \"x\"\n\n[secret.B]\npath = \"x\"\n"),
            6,
            "already the place of A",
        ),
        (&format!("{head}[secret.A]\npath = \"x\"\n[config]\nnames = [\"A\"]\n"), 6, "[config]"),
        (&format!("{head}[secret.A]\ntemplate = \"{{B}}\"\n"), 3, "neither [secret] nor [config]"),
        (
            &format!("{head}[secret.A]\ntemplate = \"{{B}}\"\n[secret.B]\ntemplate = \"{{A}}\"\n"),
            3,
            "leads back",
        ),
        (&format!("{head}[secret.A]\ntemplate = \"{{B\"\n"), 4, "without `}`"),
        (&format!("{head}[secret.A]\npath = \"x\"\nrotation = {{ mode = \"automatic\" }}\n"), 5, "how often"),
        (
            &format!("{head}[secret.A]\npath = \"x\"\nrotation = {{ mode = \"manual\", every = \"90\" }}\n"),
            5,
            "length of time",
        ),
        (&format!("{head}[secret.A]\npath = \"x\"\nlocal = \"file\"\n"), 5, "unknown variant"),
        ("app = ", 1, ""),
    ] {
        let refused = Manifest::parse(text).unwrap_err();
        let found = &refused.problems[0];
        assert_eq!(found.line, Some(line), "{text}: {found}");
        assert!(found.message.contains(says), "{text}: {found}");
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
    }
}

#[test]
fn fields_of_one_document_may_be_several_variables() {
    let text = "app = \"a\"\nenvironments = [\"dev\"]\n[secret.U]\npath = \"pg\"\nfield = \"username\"\n[secret.P]\npath = \"pg\"\nfield = \"password\"\n";
    assert_eq!(Manifest::parse(text).unwrap().entries().len(), 2);
}

#[test]
fn an_amended_file_keeps_its_comments() {
    let entry = Entry {
        path: Some("mail/password".to_owned()),
        kind: Kind::Password,
        ..Entry::named("MAIL_PASSWORD")
    };
    let amended = Manifest::amended(ATMR, std::slice::from_ref(&entry), &["LOG_LEVEL".to_owned()]).unwrap();
    for comment in
        ["# the variable the program reads", "# dynamic: database/creds/<role>", "# not secret: stays"]
    {
        assert!(amended.contains(comment), "{amended}");
    }
    let manifest = Manifest::parse(&amended).unwrap();
    assert_eq!(manifest.entry("MAIL_PASSWORD"), Some(&entry));
    assert_eq!(manifest.config().last().unwrap(), "LOG_LEVEL");
    assert_eq!(manifest.entries().len(), Manifest::parse(ATMR).unwrap().entries().len() + 1);
    let clash =
        Manifest::amended(ATMR, &[Entry { path: Some("redis/creds".to_owned()), ..Entry::named("X") }], &[]);
    assert!(clash.unwrap_err().to_string().contains("already the place of REDIS_URL"));
}

fn entry(name: String) -> impl Strategy<Value = Entry> {
    let kinds = vec![Kind::SigningKey, Kind::EncryptionKey, Kind::External, Kind::Generic, Kind::Certificate];
    let priorities = vec![Priority::Critical, Priority::High, Priority::Medium, Priority::Low];
    let rotation = prop::option::of((any::<bool>(), "[1-9][0-9]?[smhdw]")).prop_map(|rotation| {
        rotation.map(|(automatic, every)| coffre_manifest::Rotation {
            every: every.parse().ok(),
            ..coffre_manifest::Rotation::of(if automatic { Mode::Automatic } else { Mode::Manual })
        })
    });
    let template = prop::option::of("[a-z{}\"\\\\é#]{0,6}").prop_map(|text| {
        text.and_then(|text| format!("{}{{C|pct}}", text.replace('{', "{{").replace('}', "}}")).parse().ok())
    });
    (prop::sample::select(kinds), prop::sample::select(priorities), rotation, template, any::<bool>())
        .prop_map(move |(kind, priority, rotation, template, local)| Entry {
            path: Some(format!("p/{}", name.to_lowercase())),
            kind,
            priority,
            rotation,
            template,
            local: local.then_some(Local::Env),
            ..Entry::named(name.clone())
        })
}

proptest! {
    #[test]
    fn written_files_read_back(entries in (0..6_usize).prop_flat_map(|n| (0..n).map(|i| entry(format!("V{i}"))).collect::<Vec<_>>())) {
        let manifest = Manifest::new("app", vec!["prod".to_owned()], entries, vec!["C".to_owned()]).unwrap();
        let notes = BTreeMap::from([("V0".to_owned(), "why: \"quoted\"\nsecond line".to_owned())]);
        prop_assert_eq!(Manifest::parse(&manifest.to_toml(&notes)), Ok(manifest));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[a-z=\\[\\].\"{} \n#]{0,80}") {
        let _ = Manifest::parse(&text);
    }
}
