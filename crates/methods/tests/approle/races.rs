//! The abuse cases that are races.

use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::SeededEntropy;
use coffre_api::{Kind, Refusal};
use coffre_engine::TokenGrant;
use serde_json::json;
use tokio::task::JoinSet;

use crate::rig::{Rig, refused};

/// Starts this many logins at once.
fn logins(
    rig: &Arc<Rig>,
    role_id: &str,
    secret_id: &str,
    count: usize,
) -> JoinSet<Result<TokenGrant, Refusal>> {
    let mut running = JoinSet::new();
    for _ in 0..count {
        let (rig, role_id, secret_id) = (Arc::clone(rig), role_id.to_owned(), secret_id.to_owned());
        running.spawn(async move { rig.login(&role_id, &secret_id).await });
    }
    running
}

async fn role_with_secret(rig: &Rig, uses: u64) -> (String, String) {
    rig.write("role/app", json!({})).await.unwrap();
    let (secret_id, _) = rig.secret_id("app", json!({ "num_uses": uses })).await;
    (rig.role_id("app").await, secret_id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn e1_secret_id_uses_are_exact() {
    for round in 0..20 {
        let rig = Rig::new().await;
        let (role_id, secret_id) = role_with_secret(&rig, 5).await;
        let results = logins(&rig, &role_id, &secret_id, 100).join_all().await;
        let granted = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(granted, 5, "round {round}");
        for refusal in results.into_iter().filter_map(Result::err) {
            assert_eq!((refusal.kind(), refusal.message()), (Kind::Invalid, "invalid role or secret ID"));
        }
        rig.assert_no_dangling().await;
    }
}

#[tokio::test]
async fn e1_a_crash_gives_no_use_back() {
    let seed = 11;
    let random = SeededEntropy::new(seed);
    for round in 0..60 {
        let rig = Rig::new().await;
        let (role_id, secret_id) = role_with_secret(&rig, 5).await;
        let mut running = logins(&rig, &role_id, &secret_id, 20);
        let mut granted = 0;
        for _ in 0..random.below(40) {
            tokio::task::yield_now().await;
            while let Some(done) = running.try_join_next() {
                granted += usize::from(done.unwrap().is_ok());
            }
        }
        running.shutdown().await;
        let after = Arc::new(rig.restarted());
        for _ in 0..20 {
            granted += usize::from(after.login(&role_id, &secret_id).await.is_ok());
        }
        assert!(granted <= 5, "seed {seed}, round {round}: {granted}");
        after.assert_no_dangling().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn e6_a_login_never_outlives_its_role() {
    for round in 0..40 {
        let rig = Rig::new().await;
        let (role_id, secret_id) = role_with_secret(&rig, 50).await;
        let running = logins(&rig, &role_id, &secret_id, 20);
        rig.delete("role/app").await.unwrap();
        running.join_all().await;
        assert_eq!(refused(rig.login(&role_id, &secret_id).await).0, Kind::Invalid);
        let left: Vec<String> = rig
            .keys()
            .await
            .into_iter()
            .filter(|key| !key.starts_with("decoy/") && key != "hash-key")
            .collect();
        assert!(left.is_empty(), "round {round}: {left:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn e10_tidying_loses_no_valid_secret_id() {
    let rig = Rig::new().await;
    rig.write("role/app", json!({})).await.unwrap();
    let role_id = rig.role_id("app").await;
    for round in 0..100 {
        for _ in 0..4 {
            rig.secret_id("app", json!({ "ttl": 1 })).await;
        }
        let (limited, _) = rig.secret_id("app", json!({ "num_uses": 3, "ttl": 3_600 })).await;
        rig.clock.advance(Duration::from_secs(2));
        let tidy = tokio::spawn({
            let rig = Arc::clone(&rig);
            async move { rig.write("tidy/secret-id", json!({})).await.map(|_| ()) }
        });
        let running = logins(&rig, &role_id, &limited, 2);
        let (made, _) = rig.secret_id("app", json!({})).await;
        assert!(running.join_all().await.iter().all(Result::is_ok), "round {round}");
        tidy.await.unwrap().unwrap();
        rig.login(&role_id, &limited).await.unwrap();
        assert_eq!(refused(rig.login(&role_id, &limited).await).0, Kind::Invalid);
        rig.login(&role_id, &made).await.unwrap();
        rig.assert_no_dangling().await;
        let living = rig.list("role/app/secret-id").await.unwrap().data["keys"].as_array().unwrap().len();
        assert_eq!(living, round + 1, "the unlimited ones, and nothing expired");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn e11_the_first_use_never_hangs() {
    let rig = Rig::new().await;
    let all = async {
        let results = logins(&rig, "nobody", "nothing", 50).join_all().await;
        assert!(results.iter().all(Result::is_err));
        assert!(rig.keys().await.is_empty(), "a login writes nothing");
        let mut writers = JoinSet::new();
        for number in 0..50 {
            let rig = Arc::clone(&rig);
            writers.spawn(async move {
                let role = format!("role{number}");
                rig.write(&format!("role/{role}"), json!({})).await.unwrap();
                let (secret_id, _) = rig.secret_id(&role, json!({})).await;
                rig.login(&rig.role_id(&role).await, &secret_id).await.unwrap();
            });
        }
        writers.join_all().await;
    };
    tokio::time::timeout(Duration::from_secs(20), all).await.unwrap();
    assert_eq!(rig.keys().await.iter().filter(|key| *key == "hash-key").count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn e8_a_chosen_role_id_is_taken_by_one_role_alone() {
    let rig = Rig::new().await;
    let mut writers = JoinSet::new();
    for number in 0..30 {
        let rig = Arc::clone(&rig);
        writers.spawn(async move {
            rig.write(&format!("role/r{number}"), json!({ "role_id": "the-one" })).await.is_ok()
        });
    }
    let won = writers.join_all().await.into_iter().filter(|won| *won).count();
    assert_eq!(won, 1);
    assert_eq!(rig.list("role").await.unwrap().data["keys"].as_array().unwrap().len(), 1);
}
