//! Credentials that an engine makes on demand: used if there is such an engine, from one snapshot, renewed, replaced, and
//! never served beyond their lease.

use std::time::Duration;

use coffre_app::ErrorKind;

use crate::stand_in::Server;
use crate::{MINUTE, Opened, opened_with};

const MANIFEST: &str = r#"
app = "atmr"
environments = ["dev", "prod"]
[secret.DATABASE_URL]
path = "database/creds"
kind = "postgresql"
dynamic = { role = "atmr-api", ttl = "1h" }
template = "postgresql://{username}:{password|pct}@{host}:{port}/{database}"
[secret.REPLICA_URL]
path = "replica/creds"
kind = "postgresql"
dynamic = { role = "atmr-api", ttl = "1h" }
"#;

const CREDENTIALS: &str = "/v1/database/creds/atmr-api";

fn credentials(number: u32) -> String {
    format!(
        r#"{{"lease_id":"database/creds/atmr-api/{number}","renewable":false,"lease_duration":3600,"data":{{"username":"v-api-{number}","password":"p/{number}@x"}}}}"#
    )
}

fn leased() -> Opened {
    let server = Server::start();
    server.holds("replica/creds", 1, "postgresql://replica:static@db2/atmr");
    server.says(CREDENTIALS, 200, &credentials(1));
    opened_with(server, MANIFEST)
}

#[test]
fn user_and_password_are_from_one_lease_and_end_with_it() {
    let opened = leased();
    assert_eq!(
        opened.text("DATABASE_URL").as_deref(),
        Ok("postgresql://v-api-1:p%2F1%40x@db.corp:5433/atmr"),
        "the place is that of the document"
    );
    let database = opened.secrets.database_credentials().unwrap();
    assert_eq!((database.expose_username(), database.expose_password()), ("v-api-1", "p/1@x"));
    // No engine for this one: the document holds the whole value.
    assert_eq!(opened.text("REPLICA_URL").as_deref(), Ok("postgresql://replica:static@db2/atmr"));
    let explained = opened.secrets.explain("DATABASE_URL").unwrap();
    assert_eq!(explained.origin, "credentials made on demand");
    let document = opened.secrets.document("database/creds/atmr-api").unwrap();
    assert_eq!(document.lease().unwrap().duration, Duration::from_secs(3600));
    opened.server.down();
    for _ in 0..50 {
        opened.pass(MINUTE);
        assert!(opened.text("DATABASE_URL").is_ok());
    }
    opened.pass(10 * MINUTE);
    assert!(matches!(opened.text("DATABASE_URL"), Err(ErrorKind::Stale | ErrorKind::Unavailable)));
}

#[test]
fn a_credential_is_replaced_before_it_ends() {
    let opened = leased();
    opened.server.says(CREDENTIALS, 200, &credentials(2));
    for _ in 0..50 {
        opened.pass(MINUTE);
        assert!(opened.text("DATABASE_URL").is_ok());
        // The background needs a moment of real time.
        std::thread::park_timeout(Duration::from_millis(5));
    }
    opened.until(|opened| opened.text("DATABASE_URL").is_ok_and(|url| url.contains("v-api-2:p%2F2%40x@")));
}
