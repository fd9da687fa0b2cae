//! Passwords of users who stay, and of the administrator, with a whole kernel and a stand-in for a database server: after
//! any failure what the vault tells is what the database takes, or the other one of two that are both kept.

use coffre_api::Op;
use coffre_storage::faults::Fault;
use coffre_testkit::{Answer, TestVault, Weather};
use serde_json::{Value, json};

use crate::databases::vault;

const ROLE: &str = "db/static-roles/app-stays";

async fn with_role(seed: u64, body: Value) -> TestVault {
    let vault = vault(seed).await;
    vault.databases.add("stays", "theirs");
    let _ = vault.root(Op::Write, ROLE, role(body)).await.is(204);
    vault
}

fn role(body: Value) -> Value {
    let mut all = json!({"db_name": "app", "username": "stays"});
    for (key, value) in body.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    all
}

async fn creds(vault: &TestVault) -> Answer {
    vault.root(Op::Read, "db/static-creds/app-stays", Value::Null).await
}

/// What the vault tells works in the database.
async fn works(vault: &TestVault) -> String {
    let told = creds(vault).await.is(200).text("/data/password");
    let held = vault.databases.account("stays").map(|account| account.password);
    assert_eq!(held.as_ref(), Some(&told));
    told
}

#[tokio::test]
async fn a_password_is_ours_from_the_start_and_changes_in_time() {
    let vault = with_role(1, json!({"rotation_period": "1h", "rotation_statements": "ALTER {{name}}"})).await;
    let first = works(&vault).await;
    assert!(first != "theirs" && first.len() == 20);
    assert_eq!(vault.databases.statements(), ["ALTER {{name}}"]);
    let told = creds(&vault).await.is(200);
    assert_eq!((told.number("/data/ttl"), told.number("/data/rotation_period")), (3600, 3600));
    assert_eq!(told.text("/data/username"), "stays");
    assert!(told.text("/data/last_vault_rotation").starts_with("2027-01-15T08:00:00"));
    assert_eq!(told.text("/lease_id"), "");
    vault.live(3590, 10).await;
    assert_eq!(works(&vault).await, first);
    vault.live(20, 1).await;
    let second = works(&vault).await;
    assert_ne!(second, first);
    let _ = vault.root(Op::Write, "db/rotate-role/app-stays", Value::Null).await.is(204);
    assert_ne!(works(&vault).await, second);
    let shown = vault.root(Op::Read, ROLE, Value::Null).await.is(200);
    assert_eq!(shown.text("/data/username"), "stays");
    let _ = vault.root(Op::Delete, ROLE, Value::Null).await.is(204);
    assert_eq!(vault.keys("/due/").await, Vec::<String>::new());
    assert_eq!(creds(&vault).await.is(400).text("/errors/0"), "unknown role: app-stays");
}

#[tokio::test]
async fn a_schedule_says_when_and_pause_says_never() {
    // It begins on Friday, 2027-01-15, at 08:00.
    let vault = with_role(2, json!({"rotation_schedule": "0 9 * * *", "rotation_window": "1h"})).await;
    let first = works(&vault).await;
    let told = creds(&vault).await.is(200);
    assert_eq!(
        (told.number("/data/ttl"), told.text("/data/rotation_schedule")),
        (3600, "0 9 * * *".to_owned())
    );
    vault.live(3610, 10).await;
    let second = works(&vault).await;
    assert_ne!(second, first);
    let _ = vault.root(Op::Write, ROLE, json!({"disable_automated_rotation": true})).await.is(204);
    vault.live(3 * 86_400, 3600).await;
    assert_eq!(works(&vault).await, second);
    assert_eq!(creds(&vault).await.number("/data/ttl"), 0);
    let _ = vault.root(Op::Write, "db/rotate-role/app-stays", Value::Null).await.is(204);
    assert_ne!(works(&vault).await, second);
}

#[tokio::test]
async fn what_cannot_be_a_static_role_is_refused_in_vaults_words() {
    let vault = vault(3).await;
    vault.databases.add("stays", "theirs");
    let make = json!({"db_name": "app", "creation_statements": "x"});
    let _ = vault.root(Op::Write, "db/roles/app-dynamic", make.clone()).await.is(204);
    for (name, body, status, says) in [
        ("app-x", json!({"username": "stays", "rotation_period": 60}), 400, "empty database name attribute"),
        ("app-x", json!({"db_name": "app", "rotation_period": 60}), 400, "username is a required field"),
        ("app-x", role(json!({})), 400, "one of rotation_schedule or rotation_period"),
        ("app-x", role(json!({"rotation_period": 4})), 400, "5 seconds or more"),
        (
            "app-x",
            role(json!({"rotation_period": 60, "rotation_schedule": "* * * * *"})),
            400,
            "mutually exclusive",
        ),
        (
            "app-x",
            role(json!({"rotation_period": 60, "rotation_window": 3600})),
            400,
            "rotation_window is invalid",
        ),
        (
            "app-x",
            role(json!({"rotation_schedule": "* * * * *", "rotation_window": 60})),
            400,
            "3600 seconds",
        ),
        ("app-x", role(json!({"rotation_schedule": "whenever"})), 400, "could not parse rotation_schedule"),
        ("app-x", role(json!({"rotation_period": 60, "username": "admin"})), 400, "rotate-root"),
        ("app-x", role(json!({"rotation_period": 60, "db_name": "gone"})), 400, "failed to find entry"),
        ("app-dynamic", role(json!({"rotation_period": 60})), 400, "must be unique"),
        ("other", role(json!({"rotation_period": 60})), 500, "is not an allowed role"),
        ("app-x", role(json!({"rotation_period": 60, "username": "nobody"})), 502, "no such user"),
    ] {
        let refused = vault.root(Op::Write, &format!("db/static-roles/{name}"), body).await.is(status);
        assert!(refused.text("/errors/0").contains(says), "{refused:?}");
    }
    assert_eq!(vault.root(Op::List, "db/static-roles", Value::Null).await.status, 404);
    assert_eq!(vault.databases.account("stays").unwrap().password, "theirs");
    let _ = vault.root(Op::Write, ROLE, role(json!({"rotation_period": 60}))).await.is(204);
    let moved = vault.root(Op::Write, ROLE, json!({"username": "else"})).await.is(400);
    assert_eq!(moved.text("/errors/0"), "cannot update static account username");
    let twice =
        vault.root(Op::Write, "db/static-roles/app-y", role(json!({"rotation_period": 60}))).await.is(400);
    assert!(twice.text("/errors/0").contains("app-stays"));
    let _ = vault.root(Op::Write, "db/roles/app-stays", make).await.is(400);
    let root = vault.root(Op::Write, "db/config/app", json!({"username": "stays"})).await.is(400);
    assert!(root.text("/errors/0").contains("static role"));
    let none = vault.root(Op::Write, "db/rotate-role/app-none", Value::Null).await.is(400);
    assert_eq!(none.text("/errors/0"), "no static role found for role name");
}

#[tokio::test]
async fn a_role_can_come_with_the_password_that_its_user_has() {
    let skip = json!({"rotation_period": "1h", "skip_import_rotation": true, "password": "theirs"});
    let vault = with_role(4, skip).await;
    assert_eq!(works(&vault).await, "theirs");
    assert_eq!(creds(&vault).await.body["data"]["last_vault_rotation"], Value::Null);
    vault.live(3700, 10).await;
    assert_ne!(works(&vault).await, "theirs");
}

#[tokio::test]
async fn a_password_that_the_database_refuses_is_never_tried_twice() {
    let vault = with_role(5, json!({"rotation_period": "1h"})).await;
    let first = works(&vault).await;
    let before = vault.databases.passwords().len();
    vault.databases.set_weather(Weather::RefusesPasswords);
    vault.live(4200, 1).await;
    vault.databases.set_weather(Weather::Fair);
    let tried = vault.databases.passwords().split_off(before);
    assert!((3..9).contains(&tried.len()), "with pauses that grow: {}", tried.len());
    let mut different = tried.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), tried.len());
    assert_eq!(works(&vault).await, first, "the current one stays");
    let shown = vault.root(Op::Read, ROLE, Value::Null).await.is(200);
    assert_eq!(shown.text("/data/last_failure"), "the database refuses this password");
    vault.live(1300, 1).await;
    assert_ne!(works(&vault).await, first);
}

#[tokio::test]
async fn n8_whatever_storage_does_the_password_that_is_told_works() {
    for fault in [Fault::Refused, Fault::DoneUnknown, Fault::LostUnknown] {
        for nth in 1..12 {
            let vault = with_role(100 + nth, json!({"rotation_period": "1h"})).await;
            vault.fail_nth(nth, fault);
            let answer = vault.root(Op::Write, "db/rotate-role/app-stays", Value::Null).await;
            vault.mend();
            assert!(answer.status == 204 || answer.status >= 500, "{answer:?}");
            // The process dies, and a second one finds what is there; somebody reads before anything else happens.
            let vault = vault.restarted().await;
            works(&vault).await;
            vault.live(60, 1).await;
            works(&vault).await;
            assert_eq!(vault.keys("/due/").await.len(), 1);
        }
    }
}

#[tokio::test]
async fn n8_whatever_the_database_does_the_password_that_is_told_works() {
    for (nth, done) in [(1, true), (1, false), (2, true)] {
        let vault = with_role(200, json!({"rotation_period": "1h"})).await;
        vault.databases.lose_nth(nth, done);
        let _ = vault.root(Op::Write, "db/rotate-role/app-stays", Value::Null).await.is(502);
        works(&vault).await;
        vault.live(30, 1).await;
        let settled = works(&vault).await;
        vault.live(30, 1).await;
        assert_eq!(works(&vault).await, settled, "it is done");
    }
    // Down for longer than the tries' first pauses.
    let vault = with_role(201, json!({"rotation_period": "60s"})).await;
    let first = works(&vault).await;
    vault.databases.set_weather(Weather::Down);
    vault.live(900, 5).await;
    assert_eq!(creds(&vault).await.is(200).text("/data/password"), first);
    vault.databases.set_weather(Weather::Fair);
    vault.live(1000, 5).await;
    assert_ne!(works(&vault).await, first);
}

#[tokio::test]
async fn n8_a_new_role_whose_database_does_not_answer_is_settled_later() {
    for done in [true, false] {
        let vault = vault(300).await;
        vault.databases.add("stays", "theirs");
        vault.databases.lose_nth(1, done);
        let refused = vault.root(Op::Write, ROLE, role(json!({"rotation_period": "1h"}))).await.is(502);
        assert!(refused.text("/errors/0").contains("the role is kept"), "{refused:?}");
        vault.live(30, 1).await;
        assert_ne!(works(&vault).await, "theirs");
    }
}

#[tokio::test]
async fn i10_no_crash_locks_the_server_out_of_its_database() {
    let usable = async |vault: &TestVault| {
        let _ = vault.root(Op::Write, "db/reset/app", Value::Null).await.is(204);
    };
    let vault = vault(400).await;
    let _ = vault.root(Op::Write, "db/rotate-root/app", Value::Null).await.is(204);
    assert_ne!(vault.databases.account("admin").unwrap().password, "first");
    usable(&vault).await;
    let _ = vault.root(Op::Write, "db/rotate-root/none", Value::Null).await.is(400);
    for fault in [Fault::Refused, Fault::DoneUnknown, Fault::LostUnknown] {
        for nth in 1..10 {
            vault.fail_nth(nth, fault);
            let answer = vault.root(Op::Write, "db/rotate-root/app", Value::Null).await;
            vault.mend();
            assert!(answer.status == 204 || answer.status >= 500, "{answer:?}");
            let again = vault.restarted().await;
            usable(&again).await;
            again.live(30, 1).await;
            usable(&again).await;
            assert_eq!(again.keys("/due/").await, Vec::<String>::new(), "settled");
        }
    }
}

#[tokio::test]
async fn i10_a_lost_answer_is_settled_and_a_refusal_changes_nothing() {
    for (nth, done) in [(1, true), (1, false), (2, true), (2, false)] {
        let vault = vault(500).await;
        vault.databases.lose_nth(nth, done);
        let _ = vault.root(Op::Write, "db/rotate-root/app", Value::Null).await.is(502);
        let _ = vault.root(Op::Write, "db/reset/app", Value::Null).await.is(204);
        vault.live(30, 1).await;
        let _ = vault.root(Op::Write, "db/reset/app", Value::Null).await.is(204);
        assert_ne!(vault.databases.account("admin").unwrap().password, "first");
        assert_eq!(vault.keys("/due/").await, Vec::<String>::new());
    }
    let vault = vault(501).await;
    vault.databases.set_weather(Weather::RefusesPasswords);
    let _ = vault.root(Op::Write, "db/rotate-root/app", Value::Null).await.is(502);
    vault.databases.set_weather(Weather::Fair);
    let _ = vault.root(Op::Write, "db/reset/app", Value::Null).await.is(204);
    assert_eq!(vault.databases.account("admin").unwrap().password, "first");
    assert_eq!(vault.keys("/due/").await, Vec::<String>::new());
}
