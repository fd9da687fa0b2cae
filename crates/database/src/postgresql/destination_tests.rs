//! Connection strings are read in both forms, and nothing in them reaches a file, a socket or another host.

use proptest::prelude::*;

use super::*;
use crate::{Limits, PasswordAuthentication, Plugin, Tls};

fn settings(url: &str, password: &str) -> Settings {
    Settings {
        plugin: Plugin::Postgresql,
        url: Some(url.to_owned()),
        host: None,
        port: None,
        username: "admin".to_owned(),
        password: SecretText::from(password),
        tls: Tls::default(),
        limits: Limits::default(),
        authentication: PasswordAuthentication::ScramSha256,
        raw_url: false,
    }
}

fn of(url: &str) -> Result<Destination, Error> {
    Destination::of(&settings(url, "s3cr@t/%41?&=#'\\ {{username}}"))
}

#[test]
fn both_forms_are_read() {
    let password = b"s3cr@t/%41?&=#'\\ {{username}}";
    for url in [
        "postgresql://{{username}}:{{password}}@db.example:6432/shop?sslmode=disable&application_name=x",
        "postgres://{{ username }}:{{ password }}@db.example:6432/shop?sslmode=disable&application_name=x",
        "host=db.example port=6432 dbname=shop user={{username}} password='{{password}}' sslmode=disable application_name=x",
        "host = db.example  port = 6432 dbname = 'shop' user={{username}} password={{password}} sslmode=disable application_name=x",
        "postgresql://db.example:6432/shop?sslmode=disable&application_name=x",
    ] {
        let read = of(url).unwrap();
        assert_eq!(
            (read.host.as_str(), read.port, read.database.as_str()),
            ("db.example", 6432, "shop"),
            "{url}"
        );
        assert_eq!(
            (read.user.as_str(), read.mode, read.application.as_str()),
            ("admin", Mode::Disable, "x"),
            "{url}"
        );
        assert!(read.password.ct_eq(password), "{url}");
    }
    let read = of("postgresql://u%40x:p%2Fw@[::1]/").unwrap();
    assert_eq!((read.host.as_str(), read.port, read.database.as_str()), ("::1", 5432, "u@x"));
    assert!(read.password.ct_eq(b"p/w"));
    let mut raw = settings("postgresql://{{username}}:{{password}}@h/d", "a%2Fb");
    raw.raw_url = true;
    assert!(Destination::of(&raw).unwrap().password.ct_eq(b"a/b"));
}

#[test]
fn how_much_tls() {
    let with = |url: &str, required, ca: Option<&str>| {
        let mut settings = settings(url, "p");
        settings.tls = Tls { required, ca: ca.map(str::to_owned), ..Tls::default() };
        Destination::of(&settings).map(|read| read.mode)
    };
    let url = |mode: &str| format!("postgresql://h/d?sslmode={mode}");
    assert_eq!(with("postgresql://h/d", false, None), Ok(Mode::Prefer));
    assert_eq!(with("postgresql://h/d", true, None), Ok(Mode::VerifyFull));
    assert_eq!(with("postgresql://h/d", false, Some("pem")), Ok(Mode::VerifyFull));
    assert_eq!(with(&url("require"), false, None), Ok(Mode::Require));
    assert_eq!(with(&url("require"), false, Some("pem")), Ok(Mode::VerifyCa));
    assert_eq!(with(&url("verify-full"), false, None), Ok(Mode::VerifyFull));
    assert!(with(&url("disable"), true, None).is_err());
    assert!(with(&url("maybe"), false, None).is_err());
}

#[test]
fn i7_what_reads_files_or_goes_elsewhere_is_refused_by_name() {
    for (url, say) in [
        ("postgresql://u:p@%2Ftmp%2Fevil/d", "a path"),
        ("host=/tmp/evil dbname=d", "a path"),
        ("host=@abstract dbname=d", "a path"),
        ("postgresql://h/d?host=/tmp/evil", "a path"),
        ("postgresql://a,b/d", "several hosts"),
        ("postgresql://a:1,b:2/d", "several hosts"),
        ("host=a,b", "several hosts"),
        ("postgresql://h:0/d", "1 to 65535"),
        ("postgresql://h:1,2/d", "several hosts"),
        ("host=h port=1,2", "1 to 65535"),
        ("postgresql://h/d?hostaddr=10.0.0.1", "hostaddr"),
        ("postgresql://h/d?passfile=/etc/shadow", "passfile"),
        ("postgresql://h/d?service=x", "service"),
        ("host=h options='-c search_path=x'", "options"),
        ("postgresql://h/d?options=-csearch_path%3Dx", "options"),
        ("postgresql://h/d?sslrootcert=/etc/shadow", "tls_ca"),
        ("postgresql://h/d?sslkey=/etc/shadow", "tls_certificate_key"),
        ("postgresql://h/d?target_session_attrs=any", "target_session_attrs"),
        ("postgresql://h/d?whatever=x", "not allowed"),
        ("mysql://h/d", "postgresql://"),
        ("h", "key=value"),
        ("postgresql:///d", "no host"),
        ("postgresql://h/d%00", "control character"),
        ("host='h", "not closed"),
        ("postgresql://[::1/d", "not closed"),
        ("postgresql://h/d?connect_timeout=x", "connect_timeout"),
    ] {
        let refused = of(url).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{url}");
        assert!(refused.to_string().contains(say), "{url}: {refused}");
    }
}

#[test]
fn i5_no_error_quotes_the_password() {
    // Forgotten encoding puts pieces of the password where other parts are read.
    for url in [
        "postgresql://u:CANARYa?b&CANARYc=d@h/d",
        "host=h CANARY=x",
        "postgresql://u:CANARY@:CANARY/d",
        "CANARY",
    ] {
        let refused = of(url).unwrap_err().to_string();
        assert!(!refused.contains("CANARY"), "{refused}");
    }
}

proptest! {
    #[test]
    fn nothing_panics_and_a_host_is_never_a_path(url in "(postgresql://)?[-a-z0-9:@/?&=,\\[\\]%{}' \\\\.]{0,60}", password in "[^\0]{0,20}") {
        for raw_url in [false, true] {
            let mut settings = settings(&url, &password);
            settings.raw_url = raw_url;
            if let Ok(read) = Destination::of(&settings) {
                prop_assert!(!read.host.contains(['/', ',']));
            }
        }
    }
}
