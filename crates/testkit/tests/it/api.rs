//! `sys/leases/*` as clients see it.

use coffre_api::Op;
use coffre_storage::faults::Fault;
use coffre_testkit::{Mood, TestVault};
use serde_json::{Value, json};

#[tokio::test]
async fn a_lease_from_its_making_to_its_end() {
    let vault = TestVault::new(1).await;
    let made = vault.creds(&vault.root, "app", json!({"ttl": "1h", "max_ttl": "2h"})).await.is(200);
    let id = made.text("/lease_id");
    let (path, tail) = id.rsplit_once('/').unwrap();
    assert!(path == "toy/creds/app" && tail.len() == 24 && tail.chars().all(|c| c.is_ascii_alphanumeric()));
    assert_eq!((made.number("/lease_duration"), &made.body["renewable"]), (3600, &json!(true)));
    let body = json!({ "lease_id": id });
    let shown = vault.root(Op::Write, "sys/leases/lookup", body.clone()).await.is(200);
    assert_eq!((shown.text("/data/id"), shown.number("/data/ttl")), (id.clone(), 3600));
    assert_eq!(shown.body["data"]["last_renewal"], Value::Null);
    vault.advance(1800);
    let renewed = vault.root(Op::Write, "sys/leases/renew", body.clone()).await.is(200);
    assert_eq!((renewed.text("/lease_id"), renewed.number("/lease_duration")), (id.clone(), 3600));
    assert_eq!(renewed.body["data"], Value::Null);
    vault.advance(1800);
    let path = format!("sys/leases/renew/{id}");
    let capped = vault.root(Op::Write, &path, json!({"increment": "10h"})).await.is(200);
    assert_eq!(capped.number("/lease_duration"), 3600, "two hours from its making are the most");
    assert!(capped.text("/warnings/0").contains("max_ttl"));
    let shorter = vault.root(Op::Write, &path, json!({"increment": 60})).await.is(200);
    assert_eq!(shorter.number("/lease_duration"), 60);
    let shown = vault.root(Op::Write, "sys/leases/lookup", body.clone()).await.is(200);
    assert!(shown.body["data"]["last_renewal"].is_string());
    let _ = vault.root(Op::Write, "sys/leases/revoke", body.clone()).await.is(202);
    assert!(vault.target.accounts().is_empty(), "done before the answer, if it can be");
    let lost = vault.root(Op::Write, "sys/leases/lookup", body.clone()).await.is(400);
    assert_eq!(lost.text("/errors/0"), "invalid lease");
    let lost = vault.root(Op::Write, "sys/leases/renew", body.clone()).await.is(400);
    assert_eq!(lost.text("/errors/0"), "lease not found");
    let _ = vault.root(Op::Write, "sys/leases/revoke", json!({"lease_id": id, "sync": true})).await.is(204);
    let _ = vault.root(Op::Write, "sys/leases/revoke", json!({})).await.is(400);
}

#[tokio::test]
async fn what_cannot_be_renewed_says_so() {
    let vault = TestVault::new(2).await;
    let fixed = vault.creds(&vault.root, "app", json!({"fixed": true})).await.is(200);
    assert_eq!(fixed.body["renewable"], json!(false));
    let body = json!({"lease_id": fixed.text("/lease_id")});
    let refused = vault.root(Op::Write, "sys/leases/renew", body).await.is(400);
    assert_eq!(refused.text("/errors/0"), "lease is not renewable");
    let made = vault.creds(&vault.root, "app", json!({"ttl": "60s"})).await.is(200);
    let body = json!({"lease_id": made.text("/lease_id")});
    vault.target.set_mood(Mood::Refuses);
    vault.advance(30);
    let _ = vault.root(Op::Write, "sys/leases/renew", body.clone()).await.is(502);
    let shown = vault.root(Op::Write, "sys/leases/lookup", body).await.is(200);
    assert_eq!(shown.number("/data/ttl"), 30, "a renewal that the engine denies changes nothing");
    for odd in ["", "x", "toy/creds/app/x", "toy//x", "../x", "a\u{0}b"] {
        let _ = vault.root(Op::Write, "sys/leases/renew", json!({ "lease_id": odd })).await.is(400);
        let _ = vault.root(Op::Write, "sys/leases/lookup", json!({ "lease_id": odd })).await.is(400);
    }
    let long = json!({"lease_id": "x/".repeat(5_000)});
    let _ = vault.root(Op::Write, "sys/leases/lookup", long.clone()).await.is(400);
    let _ = vault.root(Op::Write, "sys/leases/renew", long.clone()).await.is(400);
    let _ = vault.root(Op::Write, "sys/leases/revoke", long).await.is(202);
}

#[tokio::test]
async fn a_mounts_lifetimes_are_its_leases() {
    let vault = TestVault::new(3).await;
    let tune = json!({"default_lease_ttl": "10m", "max_lease_ttl": "20m"});
    let _ = vault.root(Op::Write, "sys/mounts/toy/tune", tune).await.is(204);
    let made = vault.creds(&vault.root, "app", Value::Null).await.is(200);
    assert_eq!(made.number("/lease_duration"), 600);
    let capped = vault.creds(&vault.root, "app", json!({"ttl": "5h"})).await.is(200);
    assert_eq!(capped.number("/lease_duration"), 1200);
    assert!(capped.text("/warnings/0").contains("max_ttl"));
}

#[tokio::test]
async fn folders_are_listed_and_leases_counted_by_mount() {
    let vault = TestVault::new(4).await;
    let _ = vault.root(Op::List, "sys/leases/lookup/toy", Value::Null).await.is(404);
    for role in ["a", "a", "b"] {
        let _ = vault.creds(&vault.root, role, Value::Null).await.is(200);
    }
    let keys = |answer: coffre_testkit::Answer| answer.body["data"]["keys"].clone();
    assert_eq!(keys(vault.root(Op::List, "sys/leases/lookup", Value::Null).await.is(200)), json!(["toy/"]));
    let roles = vault.root(Op::List, "sys/leases/lookup/toy/creds/", Value::Null).await.is(200);
    assert_eq!(keys(roles), json!(["a/", "b/"]));
    let of_a = vault.root(Op::List, "sys/leases/lookup/toy/creds/a", Value::Null).await.is(200);
    assert_eq!(keys(of_a).as_array().unwrap().len(), 2);
    let accessor = vault.root(Op::Read, "sys/mounts/toy", Value::Null).await.is(200).text("/data/accessor");
    let counted = vault.root(Op::Read, "sys/leases/count", Value::Null).await.is(200);
    assert_eq!(counted.body["data"]["counts"], json!({ accessor: 3 }));
    let _ = vault.root(Op::Read, "sys/leases/count", json!({"type": "odd"})).await.is(400);
    let _ = vault.root(Op::Read, "sys/leases", json!({"limit": "some"})).await.is(400);
}

#[tokio::test]
async fn a_token_is_a_lease_of_the_path_that_made_it() {
    let vault = TestVault::new(5).await;
    let token = vault.token(json!({"ttl": "1h", "policies": ["default"]})).await;
    let listed = vault.root(Op::List, "sys/leases/lookup/auth/token/create", Value::Null).await.is(200);
    let name = listed.text("/data/keys/0");
    assert!(name.starts_with('h') && name.len() == 65, "{name}");
    let id = format!("auth/token/create/{name}");
    let shown = vault.root(Op::Write, "sys/leases/lookup", json!({ "lease_id": id })).await.is(200);
    assert_eq!(shown.number("/data/ttl"), 3600);
    let _ = vault.root(Op::Write, "sys/leases/renew", json!({ "lease_id": id })).await.is(400);
    let root = vault.root(Op::List, "sys/leases/lookup/auth/token", Value::Null).await.is(200);
    assert_eq!(root.body["data"]["keys"], json!(["create/"]), "root has no end, so it is no lease");
    let second = vault.token(json!({"ttl": "1h", "policies": ["default"]})).await;
    let body = json!({"lease_id": id, "sync": true});
    let _ = vault.root(Op::Write, "sys/leases/revoke", body).await.is(204);
    let path = "auth/token/lookup-self";
    let lives: Vec<u16> = vec![
        vault.ask(Op::Read, path, &token, Value::Null).await.status,
        vault.ask(Op::Read, path, &second, Value::Null).await.status,
    ];
    assert_eq!(lives, [403, 200]);
    let prefix = "sys/leases/revoke-prefix/auth/token/create";
    let _ = vault.root(Op::Write, prefix, json!({"sync": true})).await.is(204);
    let _ = vault.ask(Op::Read, path, &second, Value::Null).await.is(403);
    let _ = vault.root(Op::Read, path, Value::Null).await.is(200);
}

#[tokio::test]
async fn tidying_ends_what_nobody_can_hold() {
    let vault = TestVault::new(6).await;
    let first = vault.root(Op::Write, "sys/leases/tidy", json!({})).await.is(202);
    assert!(first.text("/warnings/0").contains("successfully started"), "{first:?}");
    let second = vault.root(Op::Write, "sys/leases/tidy", json!({})).await.is(202);
    assert!(second.text("/warnings/0").contains("already in progress"), "{second:?}");
    let _ = vault.creds(&vault.root, "app", Value::Null).await.is(200);
    vault.kernel.tick().await;
    assert_eq!(vault.target.accounts().len(), 1, "what somebody holds stays");
    let third = vault.root(Op::Write, "sys/leases/tidy", json!({})).await.is(202);
    assert!(third.text("/warnings/0").contains("successfully started"), "{third:?}");
}

#[tokio::test]
async fn a_remount_revokes_what_was_leased_at_the_old_path() {
    let vault = TestVault::new(9).await;
    let _ = vault.creds(&vault.root, "app", Value::Null).await.is(200);
    let body = json!({"from": "toy", "to": "other"});
    let _ = vault.root(Op::Write, "sys/remount", body).await.is(200);
    vault.live(1, 1).await;
    assert!(vault.target.accounts().is_empty());
    let again = vault.ask(Op::Read, "other/creds/app", &vault.root, Value::Null).await.is(200);
    assert!(again.text("/lease_id").starts_with("other/creds/app/"));
    let body = json!({"lease_id": again.text("/lease_id"), "sync": true});
    let _ = vault.root(Op::Write, "sys/leases/revoke", body).await.is(204);
    assert!(vault.target.accounts().is_empty());
}

#[tokio::test]
async fn a_credential_whose_making_failed_is_found_by_its_intent() {
    let vault = TestVault::new(12).await;
    vault.target.set_mood(Mood::DoesAndFails);
    let _ = vault.creds(&vault.root, "app", Value::Null).await.is(502);
    assert_eq!(vault.target.accounts().len(), 1, "made, and nobody was told");
    vault.target.set_mood(Mood::Works);
    vault.live(400, 60).await;
    assert!(vault.target.accounts().is_empty());
    vault.fail_nth(u64::MAX, Fault::Refused);
}
