//! The database engine with a whole kernel, against a stand-in for a database server: what it answers, and that after
//! any failure the users in the database are those of living leases.

use coffre_api::Op;
use coffre_storage::faults::Fault;
use coffre_testkit::{START, TestVault, Weather};
use serde_json::{Value, json};

const MAKE: &str = "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'";

/// A vault with `db/` and a connection `app` whose password is right.
pub(crate) async fn vault(seed: u64) -> TestVault {
    let vault = TestVault::new(seed).await;
    let _ = vault.root(Op::Write, "sys/mounts/db", json!({"type": "database"})).await.is(204);
    let _ = vault.root(Op::Write, "db/config/app", config("first")).await.is(204);
    vault
}

fn config(password: &str) -> Value {
    json!({
        "plugin_name": "postgresql-database-plugin",
        "connection_url": "postgresql://{{username}}:{{password}}@db:5432/app",
        "username": "admin",
        "password": password,
        "allowed_roles": ["ro", "app-*"],
    })
}

async fn role(vault: &TestVault, name: &str, body: Value) {
    let mut all =
        json!({"db_name": "app", "creation_statements": [MAKE], "default_ttl": "1h", "max_ttl": "3h"});
    for (key, value) in body.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    let _ = vault.root(Op::Write, &format!("db/roles/{name}"), all).await.is(204);
}

async fn creds(vault: &TestVault, role: &str) -> coffre_testkit::Answer {
    vault.root(Op::Read, &format!("db/creds/{role}"), Value::Null).await
}

/// The users in the database and those of leases are the same.
async fn settled(vault: &TestVault) {
    let leases = vault.keys("core/lease/id/db/").await.len();
    assert_eq!(vault.databases.names("v-").len(), leases, "{:?}", vault.databases.names("v-"));
    assert_eq!(vault.keys("/intent/").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_connection_is_read_back_without_its_password() {
    let vault = vault(1).await;
    let shown = vault.root(Op::Read, "db/config/app", Value::Null).await.is(200);
    assert_eq!(shown.body["data"]["allowed_roles"], json!(["ro", "app-*"]));
    assert_eq!(shown.text("/data/plugin_name"), "postgresql-database-plugin");
    assert_eq!(shown.text("/data/connection_details/username"), "admin");
    assert!(!shown.body.to_string().contains("first"), "{shown:?}");
    let listed = vault.root(Op::List, "db/config", Value::Null).await.is(200);
    assert_eq!(listed.body["data"]["keys"], json!(["app"]));
    // What is not named stays.
    let _ = vault.root(Op::Write, "db/config/app", json!({"allowed_roles": "ro"})).await.is(204);
    let shown = vault.root(Op::Read, "db/config/app", Value::Null).await.is(200);
    assert_eq!(shown.body["data"]["allowed_roles"], json!(["ro"]));
    assert_eq!(shown.text("/data/connection_details/username"), "admin");
    let _ = vault.root(Op::Write, "db/reset/app", Value::Null).await.is(204);
    let plugin = "db/reload/postgresql-database-plugin";
    let reloaded = vault.root(Op::Write, plugin, Value::Null).await.is(200);
    assert_eq!(reloaded.body["data"], json!({"connections": ["app"], "count": 1}));
    let _ = vault.root(Op::Delete, "db/config/app", Value::Null).await.is(204);
    let _ = vault.root(Op::Read, "db/config/app", Value::Null).await.is(404);
    let _ = vault.root(Op::List, "db/config", Value::Null).await.is(404);
}

#[tokio::test]
async fn i5_a_connection_that_does_not_work_is_not_kept_and_the_refusal_has_no_password() {
    let vault = vault(2).await;
    for (change, says) in [
        (json!({"password": "canary"}), "error verifying connection"),
        (json!({"connection_url": "u:canary@x"}), "not a URL"),
        (json!({"plugin_name": "canary"}), "unknown plugin"),
        (json!({"plugin_name": ""}), "empty plugin name"),
        (json!({"max_open_connections": 1000}), "max_open_connections"),
        (json!({"password_authentication": "canary"}), "password_authentication"),
        (json!({"username_template": "{{ .Password }}"}), "template"),
    ] {
        let refused = vault.root(Op::Write, "db/config/app", change).await.is(400);
        assert!(refused.text("/errors/0").contains(says), "{refused:?}");
        assert!(!refused.body.to_string().contains("canary"), "{refused:?}");
        assert!(vault.root(Op::Write, "db/reset/app", Value::Null).await.status == 204, "the old one stays");
    }
    let _ = vault
        .root(Op::Write, "db/config/app", json!({"password": "no", "verify_connection": false}))
        .await
        .is(204);
    role(&vault, "ro", json!({})).await;
    let _ = creds(&vault, "ro").await.is(502);
    let in_url = json!({"connection_url": "postgresql://admin:canary@db/app"});
    let warned = vault.root(Op::Write, "db/config/app", in_url).await.is(200);
    assert!(warned.text("/warnings/0").contains("Password found in connection_url"));
    let shown = vault.root(Op::Read, "db/config/app", Value::Null).await.is(200);
    assert!(!shown.body.to_string().contains("canary"), "{shown:?}");
}

#[tokio::test]
async fn a_role_is_read_back_and_a_wrong_one_refused() {
    let vault = vault(3).await;
    role(&vault, "ro", json!({"revocation_statements": "DROP ROLE \"{{name}}\", x"})).await;
    let shown = vault.root(Op::Read, "db/roles/ro", Value::Null).await.is(200);
    assert_eq!(shown.body["data"]["creation_statements"], json!([MAKE]));
    assert_eq!(shown.body["data"]["revocation_statements"], json!(["DROP ROLE \"{{name}}\", x"]));
    assert_eq!((shown.number("/data/default_ttl"), shown.number("/data/max_ttl")), (3600, 10800));
    assert_eq!(shown.text("/data/credential_type"), "password");
    for (change, says) in [
        (json!({"db_name": ""}), "empty database name attribute"),
        (json!({"creation_statements": []}), "empty creation statements"),
        (json!({"credential_type": "rsa_private_key"}), "credential_type"),
        (json!({"default_ttl": "4h"}), "default_ttl"),
    ] {
        let refused = vault.root(Op::Write, "db/roles/ro", change).await.is(400);
        assert!(refused.text("/errors/0").contains(says), "{refused:?}");
    }
    let same = vault.root(Op::Read, "db/roles/ro", Value::Null).await.is(200);
    assert_eq!(same.body["data"], shown.body["data"]);
    let _ = vault.root(Op::Delete, "db/roles/ro", Value::Null).await.is(204);
    let _ = vault.root(Op::Read, "db/roles/ro", Value::Null).await.is(404);
    let unknown = creds(&vault, "ro").await.is(400);
    assert_eq!(unknown.text("/errors/0"), "unknown role: ro");
}

#[tokio::test]
async fn i12_a_user_lives_as_long_as_its_lease() {
    let vault = vault(4).await;
    role(&vault, "ro", json!({})).await;
    let made = creds(&vault, "ro").await.is(200);
    let (id, user) = (made.text("/lease_id"), made.text("/data/username"));
    assert!(user.starts_with("v-root-ro-") && user.len() <= 63, "{user}");
    assert_eq!((made.number("/lease_duration"), &made.body["renewable"]), (3600, &json!(true)));
    let account = vault.databases.account(&user).unwrap();
    assert_eq!(account.password, made.text("/data/password"));
    assert_eq!(account.until.unwrap().since(START).as_secs(), 3600);
    vault.advance(1800);
    let _ =
        vault.root(Op::Write, "sys/leases/renew", json!({"lease_id": id, "increment": "2h"})).await.is(200);
    let until = vault.databases.account(&user).unwrap().until.unwrap();
    assert_eq!(until.since(START).as_secs(), 1800 + 7200);
    // The database does not answer: the lease keeps its end.
    vault.databases.set_weather(Weather::Down);
    let _ = vault.root(Op::Write, "sys/leases/renew", json!({"lease_id": id})).await.is(502);
    vault.databases.set_weather(Weather::Fair);
    vault.live(7200, 600).await;
    assert!(vault.databases.account(&user).is_none(), "it ended");
    settled(&vault).await;
}

#[tokio::test]
async fn a_mounts_maximum_bounds_the_user_as_well() {
    let vault = vault(5).await;
    let tune = json!({"default_lease_ttl": "10m", "max_lease_ttl": "20m"});
    let _ = vault.root(Op::Write, "sys/mounts/db/tune", tune).await.is(204);
    for (name, ttl, secs) in [("app-a", 0, 600), ("app-b", 7200, 1200), ("app-c", 60, 60)] {
        role(&vault, name, json!({"default_ttl": ttl, "max_ttl": 0})).await;
        let made = creds(&vault, name).await.is(200);
        assert_eq!(made.number("/lease_duration"), secs);
        let until = vault.databases.account(&made.text("/data/username")).unwrap().until.unwrap();
        assert_eq!(until.since(START).as_secs(), secs);
    }
}

#[tokio::test]
async fn i6_only_allowed_roles_get_users_also_after_a_change() {
    let vault = vault(6).await;
    let second = json!({"allowed_roles": ["other"]});
    let _ = vault.root(Op::Write, "db/config/second", config("first")).await.is(204);
    let _ = vault.root(Op::Write, "db/config/second", second).await.is(204);
    for (name, status) in [("ro", 200), ("app-x", 200), ("app", 500), ("app2", 500), ("rox", 500)] {
        role(&vault, name, json!({})).await;
        let answer = creds(&vault, name).await.is(status);
        if status == 500 {
            assert_eq!(answer.text("/errors/0"), format!("\"{name}\" is not an allowed role"));
        }
    }
    role(&vault, "ro", json!({"db_name": "second"})).await;
    let _ = creds(&vault, "ro").await.is(500);
    let before = vault.databases.names("v-").len();
    let _ = vault.root(Op::Write, "db/config/app", json!({"allowed_roles": []})).await.is(204);
    let _ = creds(&vault, "app-x").await.is(500);
    role(&vault, "app-x", json!({"db_name": "nowhere"})).await;
    let lost = creds(&vault, "app-x").await.is(400);
    assert_eq!(lost.text("/errors/0"), "failed to find entry for connection with name: \"nowhere\"");
    assert_eq!((vault.databases.names("v-").len(), before), (2, 2));
}

#[tokio::test]
async fn passwords_come_from_the_policy_that_is_named() {
    let vault = vault(7).await;
    role(&vault, "ro", json!({})).await;
    let policy = json!({"policy": "length = 9\nrule \"charset\" { charset = \"xy\" }"});
    let _ = vault.root(Op::Write, "sys/policies/password/short", policy).await.is(204);
    assert_eq!(creds(&vault, "ro").await.is(200).text("/data/password").len(), 20);
    let _ = vault.root(Op::Write, "db/config/app", json!({"password_policy": "short"})).await.is(204);
    let drawn = creds(&vault, "ro").await.is(200).text("/data/password");
    assert!(drawn.len() == 9 && drawn.chars().all(|c| "xy".contains(c)), "{drawn}");
    let _ = vault.root(Op::Write, "db/config/app", json!({"password_policy": "gone"})).await.is(204);
    assert!(creds(&vault, "ro").await.is(400).text("/errors/0").contains("sys/policies/password"));
    role(&vault, "ro", json!({"credential_config": {"password_policy": "short"}})).await;
    assert_eq!(creds(&vault, "ro").await.is(200).text("/data/password").len(), 9);
    let named = json!({"username_template": "v-{{.RoleName}}-{{random 4}}"});
    let _ = vault.root(Op::Write, "db/config/app", named).await.is(204);
    let user = creds(&vault, "ro").await.is(200).text("/data/username");
    assert!(user.starts_with("v-ro-") && user.len() == 9, "{user}");
}

#[tokio::test]
async fn i1_names_that_are_sql_are_refused() {
    let vault = vault(8).await;
    for name in ["x\";DROP ROLE victim;--", "'", "a b", "{{password}}", &"a".repeat(300), "😀"] {
        for path in [format!("db/roles/{name}"), format!("db/config/{name}")] {
            let body = json!({"db_name": "app", "creation_statements": MAKE});
            let _ = vault.root(Op::Write, &path, body).await.is(400);
        }
    }
    assert_eq!(vault.root(Op::List, "db/roles", Value::Null).await.status, 404);
}

#[tokio::test]
async fn i11_whatever_storage_does_users_are_those_of_leases() {
    for fault in [Fault::Refused, Fault::DoneUnknown, Fault::LostUnknown] {
        for nth in 1..14 {
            let vault = vault(100 + nth).await;
            role(&vault, "ro", json!({})).await;
            vault.fail_nth(nth, fault);
            let answer = creds(&vault, "ro").await;
            vault.mend();
            assert!(answer.status == 200 || answer.status >= 500, "{answer:?}");
            // The process dies, and a second one finds what is there.
            let vault = vault.restarted().await;
            vault.live(180, 60).await;
            let (users, leases) =
                (vault.databases.names("v-").len(), vault.keys("core/lease/id/db/").await.len());
            // A lease whose writing was in doubt may stand for a user who was removed, never the other way round.
            let right = if answer.status == 200 { users == 1 && leases == 1 } else { users <= leases };
            assert!(right, "{fault:?} {nth}: {users} users, {leases} leases");
            vault.live(10_800, 1800).await;
            settled(&vault).await;
        }
    }
}

#[tokio::test]
async fn i11_whatever_the_database_does_users_are_those_of_leases() {
    for (nth, done) in [(1, true), (1, false)] {
        let vault = vault(200).await;
        role(&vault, "ro", json!({})).await;
        vault.databases.lose_nth(nth, done);
        let _ = creds(&vault, "ro").await.is(502);
        assert_eq!(vault.databases.names("v-").len(), usize::from(done));
        assert_eq!(vault.keys("/intent/").await.len(), 1, "somebody must look after it");
        vault.live(420, 60).await;
        settled(&vault).await;
    }
}

#[tokio::test]
async fn i14_a_statement_that_cannot_be_leaves_nothing() {
    let vault = vault(9).await;
    role(&vault, "ro", json!({"creation_statements": "CREATE ROLE {{x}}"})).await;
    let _ = creds(&vault, "ro").await.is(400);
    settled(&vault).await;
}

#[tokio::test]
async fn d10_a_mount_goes_only_when_its_users_are_gone() {
    let vault = vault(10).await;
    role(&vault, "ro", json!({})).await;
    for _ in 0..20 {
        let _ = creds(&vault, "ro").await.is(200);
    }
    vault.databases.lose_nth(1, true);
    let _ = creds(&vault, "ro").await.is(502);
    assert_eq!(vault.databases.names("v-").len(), 21, "one of them has no lease");
    vault.databases.set_weather(Weather::Down);
    let refused = vault.root(Op::Delete, "sys/mounts/db", Value::Null).await;
    assert!(refused.status >= 500, "{refused:?}");
    let _ = creds(&vault, "ro").await.is(404);
    let vault = vault.restarted().await;
    vault.databases.set_weather(Weather::Fair);
    let _ = vault.root(Op::Delete, "sys/mounts/db", Value::Null).await.is(204);
    assert_eq!(vault.databases.names("v-"), Vec::<String>::new());
    assert_eq!(vault.keys("core/lease/").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_role_that_is_gone_renews_nobody_and_its_users_are_revoked_by_its_statements() {
    let vault = vault(11).await;
    role(&vault, "ro", json!({"revocation_statements": "old {{name}}"})).await;
    let (one, two) = (creds(&vault, "ro").await.is(200), creds(&vault, "ro").await.is(200));
    role(&vault, "ro", json!({"revocation_statements": "new {{name}}"})).await;
    let revoke = json!({"lease_id": one.text("/lease_id"), "sync": true});
    let _ = vault.root(Op::Write, "sys/leases/revoke", revoke).await.is(204);
    assert_eq!(vault.databases.statements(), ["new {{name}}"], "so that wrong ones can be mended");
    let _ = vault.root(Op::Delete, "db/roles/ro", Value::Null).await.is(204);
    let id = two.text("/lease_id");
    let _ = vault.root(Op::Write, "sys/leases/renew", json!({"lease_id": id})).await.is(400);
    let _ = vault.root(Op::Write, "sys/leases/revoke", json!({"lease_id": id, "sync": true})).await.is(204);
    assert_eq!(vault.databases.statements(), ["old {{name}}"]);
    settled(&vault).await;
}
