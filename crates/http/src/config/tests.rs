//! The notations that clients and people write, what is refused, and what is warned about.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn raw(text: &str) -> Result<RawConfig, ConfigError> {
    RawConfig::parse(Path::new("server.hcl"), text)
}

fn config(text: &str) -> Result<Config, ConfigError> {
    Config::check(raw(text)?, &|_| None)
}

fn refused(text: &str) -> String {
    config(text).unwrap_err().to_string()
}

/// What hvac's tests write after converting their HCL file.
const HVAC: &str = r#"{"backend":{"inmem":{}},"listener":{"tcp":{"address":"127.0.0.1:8199","tls_cert_file":"tests/config_files/server-cert.pem","tls_key_file":"tests/config_files/server-key.pem"}},"disable_mlock":true,"default_lease_ttl":"768h","max_lease_ttl":"768h"}"#;

#[test]
fn the_json_of_hvac() {
    let read = config(HVAC).unwrap();
    assert_eq!(read.storage, Storage::Memory);
    assert_eq!(read.warnings, Vec::<String>::new());
    assert!(read.disable_mlock);
    assert_eq!(read.default_lease_ttl, Duration::from_secs(2_764_800));
    assert_eq!(read.max_lease_ttl, Duration::from_secs(2_764_800));
    let listener = &read.listeners[0];
    assert_eq!((read.listeners.len(), listener.address.to_string().as_str()), (1, "127.0.0.1:8199"));
    let tls = listener.tls.as_ref().unwrap();
    assert_eq!(
        tls.cert_file,
        PathBuf::from("tests/config_files/server-cert.pem"),
        "relative paths stay relative"
    );
    assert_eq!(tls.key_file, PathBuf::from("tests/config_files/server-key.pem"));
    assert_eq!((tls.min_version, &tls.client_certs), (TlsVersion::V12, &ClientCerts::Request));
    assert!(read.audit.over_http);
}

#[test]
fn the_same_in_every_notation() {
    let expected = config(HVAC).unwrap();
    let tcp = r#"address = "127.0.0.1:8199" tls_cert_file = "tests/config_files/server-cert.pem" tls_key_file = "tests/config_files/server-key.pem""#;
    let rest = "disable_mlock = 1\ndefault_lease_ttl = \"768h\"\nmax_lease_ttl = 2764800\n";
    for text in [
        format!("backend \"inmem\" {{\n}}\nlistener \"tcp\" {{ {tcp} }}\n{rest}"),
        format!("storage = {{ inmem = {{}} }}\nlistener = {{ tcp = {{ {tcp} }} }}\n{rest}"),
        format!("\"storage\" \"inmem\" {{}} \"listener\" \"tcp\" {{ {tcp} }} {rest}"),
        HVAC.replace(r#""backend":{"inmem":{}}"#, r#""storage":[{"inmem":{}}]"#),
        HVAC.replace(r#"{"tcp":{"#, r#"[{"tcp":{"#).replace("}},\"dis", "}}],\"dis"),
        HVAC.replace(r#"{"tcp":{"#, r#"{"tcp":[{"#).replace("}},\"dis", "}]},\"dis"),
        HVAC.replace("true", "\"true\"").replace("\"768h\"", "\"2764800\""),
    ] {
        assert_eq!(config(&text).unwrap_or_else(|e| panic!("{e}\n{text}")), expected, "{text}");
    }
}

#[test]
fn the_json_of_vaultrs() {
    let read = config(
        r#"{"listener":[{"tcp":{"address":"0.0.0.0:8300","tls_cert_file":"/c.pem","tls_key_file":"/k.pem"}}],"storage":[{"inmem":{}}],"disable_mlock":true}"#,
    );
    assert_eq!(read.unwrap().listeners[0].address.port, 8300);
}

#[test]
fn several_listeners() {
    let read = config(
        "storage \"inmem\" {}\nlistener \"tcp\" { tls_disable = true }\nlistener \"tcp\" {\n  address = \"[::1]:8400\"\n  tls_disable = \"1\"\n}",
    );
    let shown: Vec<_> = read.unwrap().listeners.iter().map(|listener| listener.address.to_string()).collect();
    assert_eq!(shown, ["127.0.0.1:8200", "[::1]:8400"]);
}

#[test]
fn without_tls_only_where_it_is_said() {
    for tcp in ["", "tls_disable = false", "tls_cert_file = \"c\"", "tls_key_file = \"k\" tls_disable = 0"] {
        let message = refused(&format!("storage \"inmem\" {{}}\n\nlistener \"tcp\" {{ {tcp} }}"));
        assert!(message.starts_with("server.hcl:3: ") && message.contains("tls_disable = true"), "{message}");
    }
    let open = config(
        "storage \"inmem\" {}\nlistener \"tcp\" {\n address = \"0.0.0.0:8200\"\n tls_disable = true }",
    )
    .unwrap();
    assert!(open.listeners[0].tls.is_none());
    assert!(open.warnings[0].contains("has no TLS"), "{:?}", open.warnings);
}

#[test]
fn unknown_keys_warn_and_known_ones_must_be_right() {
    let listener = "listener \"tcp\" {\n tls_disable = true\n clster_address = \"x\"\n role = \"x\"\n}";
    let read =
        config(&format!("storage \"inmem\" {{}}\n{listener}\nplugin_directory = \"/x\"\napi_adr = \"x\""))
            .unwrap();
    let expected = [
        "server.hcl:4: `clster_address` is not known and is ignored; look for a typing error",
        "server.hcl:5: `role` has no effect in this server",
        "server.hcl:7: `plugin_directory` has no effect in this server",
        "server.hcl:8: `api_adr` is not known and is ignored; look for a typing error",
    ];
    assert_eq!(read.warnings, expected);
    for (wrong, word) in [
        ("default_lease_ttl = \"soon\"", "default_lease_ttl"),
        ("disable_mlock = \"perhaps\"", "disable_mlock"),
        ("ui = 2", "ui"),
        ("log_level = \"loud\"", "log_level"),
        ("log_format = \"xml\"", "log_format"),
        ("api_addr = \"vault:8200\"", "api_addr"),
        ("api_addr = \"\"", "api_addr"),
        ("default_lease_ttl = \"2h\"\nmax_lease_ttl = \"1h\"", "max_lease_ttl"),
        ("audit_directory = \"logs\"", "audit_directory"),
        ("listener \"unix\" { address = \"/run/x\" }", "unix sockets"),
        ("listener = \"tcp\"", "listener \"tcp\" {"),
        ("seal \"awskms\" { region = \"x\" }", "seal"),
        ("ha_storage \"consul\" {}", "ha_storage"),
        ("disable_mlock = true\ndisable_mlock = true", "stands twice"),
        ("listener \"tcp\" { tls_disable = true address = \"a:b\" }", "address"),
        ("listener \"tcp\" { tls_disable = true max_request_size = -1 }", "max_request_size"),
    ] {
        let message =
            refused(&format!("storage \"inmem\" {{}}\nlistener \"tcp\" {{ tls_disable = true }}\n{wrong}\n"));
        assert!(message.starts_with("server.hcl:") && message.contains(word), "{wrong}: {message}");
    }
}

#[test]
fn storages_are_taken_or_refused_with_advice() {
    let with = |storage: &str| format!("{storage}\nlistener \"tcp\" {{ tls_disable = true }}");
    let read = config(&with("storage \"redb\" { path = \"data/coffre.redb\" }")).unwrap();
    assert_eq!(read.storage, Storage::Redb { path: "data/coffre.redb".into() });
    for other in ["file", "raft"] {
        let read = config(&with(&format!("storage \"{other}\" {{\n path = \"/vault/data\"\n}}"))).unwrap();
        assert_eq!(read.storage, Storage::Redb { path: "/vault/data/coffre.redb".into() });
        assert!(read.warnings[0].contains("is not read"), "{:?}", read.warnings);
    }
    for (storage, word) in [
        ("storage \"redb\" {}", "needs a path"),
        ("storage \"consul\" { address = \"x\" }", "redb"),
        ("storage \"raft\" { path = \"/x\" retry_join { leader_api_addr = \"x\" } }", "retry_join"),
        ("storage \"inmem\" {}\nbackend \"inmem\" {}", "already named"),
        ("", "no storage"),
    ] {
        let message = refused(&with(storage));
        assert!(message.contains(word), "{storage}: {message}");
    }
    assert!(refused("storage \"inmem\" {}").contains("no listener"));
}

#[test]
fn client_certificates() {
    let tls = |extra: &str| {
        let text = format!(
            "storage \"inmem\" {{}}\nlistener \"tcp\" {{\n tls_cert_file = \"c\"\n tls_key_file = \"k\"\n {extra} }}"
        );
        config(&text).map(|config| config.listeners[0].tls.clone().unwrap())
    };
    assert_eq!(tls("tls_client_ca_file = \"ca\"").unwrap().client_certs, ClientCerts::Request);
    assert_eq!(tls("tls_disable_client_certs = true").unwrap().client_certs, ClientCerts::Ignore);
    let required = tls("tls_require_and_verify_client_cert = \"true\" tls_client_ca_file = \"ca\"").unwrap();
    assert_eq!(required.client_certs, ClientCerts::Require { ca_file: "ca".into() });
    assert_eq!(tls("tls_min_version = \"tls13\"").unwrap().min_version, TlsVersion::V13);
    for wrong in [
        "tls_require_and_verify_client_cert = true",
        "tls_require_and_verify_client_cert = true tls_client_ca_file = \"ca\" tls_disable_client_certs = true",
        "tls_min_version = \"tls11\"",
    ] {
        assert!(tls(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn addresses() {
    for (text, shown) in [
        ("127.0.0.1:8200", "127.0.0.1:8200"),
        ("127.0.0.1", "127.0.0.1:8200"),
        (":8300", "0.0.0.0:8300"),
        ("[::]:8200", "[::]:8200"),
        ("[::1]", "[::1]:8200"),
        ("::1", "[::1]:8200"),
        ("localhost:0", "localhost:0"),
        ("vault.example.org:443", "vault.example.org:443"),
    ] {
        let read = config(&format!(
            "storage \"inmem\" {{}}\nlistener \"tcp\" {{ tls_disable = true address = \"{text}\" }}"
        ));
        assert_eq!(read.unwrap().listeners[0].address.to_string(), shown, "{text}");
    }
    for text in
        ["127.0.0.1:", ":", "127.0.0.1:70000", "[::1", "[x]:1", "http://x:1", "a:1:2", "[::1]:", "a b"]
    {
        let tcp = format!("tls_disable = true address = \"{text}\"");
        assert!(
            refused(&format!("storage \"inmem\" {{}}\nlistener \"tcp\" {{ {tcp} }}")).contains("address"),
            "{text}"
        );
    }
}

#[test]
fn audit_stanzas_and_the_rule_for_http() {
    let base = "storage \"redb\" { path = \"/x\" }\nlistener \"tcp\" { tls_disable = true }\n";
    let audit = |text: &str| config(&format!("{base}{text}")).map(|config| (config.audit, config.warnings));
    let (bounded, warnings) = audit("audit_directory = \"/var/log/coffre\"").unwrap();
    assert!(bounded.over_http && warnings.is_empty());
    assert_eq!(bounded.directory, Some("/var/log/coffre".into()));
    let (off, warnings) = audit("unsafe_allow_api_audit_creation = false").unwrap();
    assert!(!off.over_http && warnings.is_empty());
    let (open, warnings) = audit("").unwrap();
    assert!(open.over_http && warnings[0].contains("audit_directory"), "{warnings:?}");
    let options = "options { file_path = \"/dev/stdout\" log_raw = false }";
    for text in [
        format!("audit \"file\" \"out\" {{\n description = \"d\"\n {options} }}"),
        format!("audit \"file\" {{\n path = \"out/\"\n description = \"d\"\n {options} }}"),
        r#"audit = { file = { out = { description = "d", options = { file_path = "/dev/stdout", log_raw = false } } } }"#
            .to_owned(),
    ] {
        let (read, _) = audit(&text).unwrap();
        let options = [("file_path", "/dev/stdout"), ("log_raw", "false")];
        let expected = DeclaredAudit {
            kind: "file".into(),
            path: "out".into(),
            description: "d".into(),
            local: false,
            options: options.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        };
        assert_eq!(read.declared, [expected], "{text}");
    }
    let (two, _) = audit("audit \"file\" \"a\" { options {} }\naudit \"file\" \"b\" { options {} }").unwrap();
    assert_eq!(two.declared.iter().map(|device| device.path.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert!(audit("audit \"file\" \"a\" { options {} }\naudit \"file\" \"a\" { options {} }").is_err());
}

#[test]
fn the_environment_wins_over_files() {
    let text =
        "storage \"inmem\" {}\nlistener \"tcp\" { tls_disable = true }\napi_addr = \"https://file:8200\"";
    let env = |name: &str| match name {
        "VAULT_API_ADDR" => Some("https://env:8200/".to_owned()),
        "COFFRE_LOG_LEVEL" => Some("debug".to_owned()),
        "VAULT_LOG_LEVEL" => Some("trace".to_owned()),
        _ => None,
    };
    let read = Config::check(raw(text).unwrap(), &env).unwrap();
    assert_eq!((read.api_addr.as_deref(), read.log_level), (Some("https://env:8200"), LogLevel::Debug));
    let wrong = Config::check(raw(text).unwrap(), &|name| (name == "BAO_LOG_LEVEL").then(|| "loud".into()));
    assert!(wrong.unwrap_err().to_string().starts_with("environment variable BAO_LOG_LEVEL: "));
}

#[test]
fn files_and_folders_are_merged_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write(
        "20-later.json",
        r#"{"max_lease_ttl":"96h","listener":{"tcp":{"address":"127.0.0.1:2","tls_disable":1}}}"#,
    );
    write("10-first.hcl", "storage \"inmem\" {}\nmax_lease_ttl = \"48h\"\ncluster_name = \"c\"");
    write(".hidden.hcl", "nonsense");
    write("notes.txt", "nonsense");
    let single = folder.path().join("single");
    fs::write(&single, "listener \"tcp\" { tls_disable = true }").unwrap();
    let read = load(&[folder.path().to_owned(), single], &|_| None).unwrap();
    assert_eq!(
        (read.max_lease_ttl, read.cluster_name.as_deref()),
        (Duration::from_secs(96 * 3_600), Some("c"))
    );
    assert_eq!(read.default_lease_ttl, read.max_lease_ttl, "the default is cut to the longest");
    assert_eq!(read.listeners.len(), 2);
    let missing = load(&[folder.path().join("missing.hcl")], &|_| None).unwrap_err();
    assert!(missing.to_string().contains("missing.hcl"), "{missing}");
    assert!(load(&[], &|_| None).unwrap_err().to_string().contains("-config"));
    write("20-later.json", "{\n\"max_lease_ttl\": x}");
    let error = load(&[folder.path().to_owned()], &|_| None).unwrap_err().to_string();
    assert!(error.contains("20-later.json:2: "), "{error}");
}

proptest! {
    #[test]
    fn no_text_panics(text in r#"(?s)([a-z_"{}\[\]=:, \n#/*\\0-9.]|storage|listener|tcp|tls_disable|true|inmem|redb){0,60}"#) {
        let _ = config(&text);
    }

    #[test]
    fn no_message_quotes_a_value(key in "[a-z_]{1,30}", kind in "(storage|listener|seal|audit)") {
        let text = format!("{kind} \"tcp\" {{\n {key} = \"CANARY\"\n}}\n{key} = \"CANARY\"\n");
        if let Err(error) = config(&text) {
            prop_assert!(!error.to_string().contains("CANARY"), "{}", error);
        }
    }
}

#[test]
fn user_lockout_by_method() {
    let text = r#"storage "inmem" {} listener "tcp" { tls_disable = true }
        user_lockout "all" { lockout_duration = "10m" lockout_counter_reset = "7m" }
        user_lockout "userpass" { lockout_threshold = "25" disable_lockout = "false" }"#;
    let read = config(text).unwrap();
    let all = UserLockout {
        duration: Some(Duration::from_secs(600)),
        counter_reset: Some(Duration::from_secs(420)),
        ..UserLockout::default()
    };
    let userpass = UserLockout { threshold: Some(25), disable: Some(false), ..UserLockout::default() };
    assert_eq!(read.user_lockout, [("all".to_owned(), all), ("userpass".to_owned(), userpass)].into());
    assert!(refused(&text.replace("\"25\"", "\"0\"")).contains("lockout_threshold"));
    assert!(refused(&text.replace("\"userpass\"", "\"token\"")).contains("userpass, ldap, approle"));
}

#[test]
fn rotation_inside_of_the_server_has_a_manifest_and_one_way_to_log_in() {
    let with = |rotation: &str| {
        config(&format!(
            "storage \"inmem\" {{}}\nlistener \"tcp\" {{\n tls_disable = true\n}}\nrotation {{\n{rotation}\n}}"
        ))
    };
    let place = "manifest = \"/etc/app/coffre.toml\"\nenvironment = \"prod\"\n";
    let role =
        with(&format!("{place}role_id_file = \"r\"\nsecret_id_file = \"s\"")).unwrap().rotation.unwrap();
    let RotationIdentity::AppRole { mount, .. } = role.identity else { panic!("an AppRole was named") };
    assert_eq!((mount.as_str(), role.environment.as_str()), ("approle", "prod"));
    let token = with(&format!("{place}token_file = \"t\"")).unwrap().rotation.unwrap();
    assert_eq!(token.identity, RotationIdentity::TokenFile("t".into()));
    for wrong in [
        place.to_owned(),
        format!("{place}token_file = \"t\"\nrole_id_file = \"r\"\nsecret_id_file = \"s\""),
        format!("{place}role_id_file = \"r\""),
        "environment = \"prod\"\ntoken_file = \"t\"".to_owned(),
        "manifest = \"m\"\ntoken_file = \"t\"".to_owned(),
    ] {
        assert!(with(&wrong).is_err(), "{wrong}");
    }
    let beside = refused_rotation(&format!("{place}token_file = \"t\"\napprole_mount = \"a\""));
    assert!(beside.contains("approle_mount"), "{beside}");
    let twice =
        refused_rotation(&format!("{place}token_file = \"t\"\n}}\nrotation {{\n{place}token_file = \"t\""));
    assert!(
        twice.contains(":10:") && twice.contains("already at") && twice.contains("coffre rotate run"),
        "{twice}"
    );
    let nobody = refused_rotation(place);
    assert!(nobody.contains(":5:") && nobody.contains("`role_id_file` and `secret_id_file`"), "{nobody}");
}

fn refused_rotation(inside: &str) -> String {
    refused(&format!(
        "storage \"inmem\" {{}}\nlistener \"tcp\" {{\n tls_disable = true\n}}\nrotation {{\n{inside}\n}}"
    ))
}

#[test]
fn telemetry_says_who_may_read_metrics_and_in_which_form() {
    let with = |top: &str, listener: &str| {
        config(&format!(
            "storage \"inmem\" {{}}\nlistener \"tcp\" {{\n tls_disable = true\n {listener}\n}}\n{top}"
        ))
    };
    let usual = with("", "").unwrap();
    assert!(usual.prometheus && !usual.listeners[0].open_metrics);
    let set = with(
        "telemetry {\n prometheus_retention_time = \"0s\"\n disable_hostname = true\n}",
        "telemetry {\n unauthenticated_metrics_access = \"true\"\n}",
    );
    let set = set.unwrap();
    assert!(!set.prometheus && set.listeners[0].open_metrics);
    assert_eq!(set.warnings, Vec::<String>::new());
    let statsd = with("telemetry {\n statsd_address = \"x\"\n odd = 1\n}", "").unwrap();
    assert_eq!(
        statsd.warnings,
        [
            "server.hcl:7: `statsd_address` has no effect in this server",
            "server.hcl:8: `odd` is not known and is ignored; look for a typing error",
        ]
    );
    assert!(with("telemetry = 5", "").is_err());
    assert!(with("telemetry {\n prometheus_retention_time = \"soon\"\n}", "").is_err());
}
