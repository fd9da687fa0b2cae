//! Failed logins lock a name: at once and in parallel, for as long as it was said, across a restart, and alike for names
//! that exist and names that do not (rows A2, A4, A5).

use std::sync::Arc;

use coffre_api::Op;
use serde_json::{Value, json};

use crate::rig::{Answer, Rig, answer, incoming};

const LOGIN: &str = "auth/approle/login";

/// A server with a role `known`, whose right secret id is returned.
async fn rig() -> (Rig, String) {
    let rig = Rig::furnished().await;
    rig.root(Op::Write, "auth/approle/role/r", json!({"role_id": "known"})).await.is(204);
    let made = rig.root(Op::Write, "auth/approle/role/r/secret-id", json!({})).await.is(200);
    (rig, made.text("/data/secret_id"))
}

async fn login(rig: &Rig, role_id: &str, secret_id: &str) -> Answer {
    rig.ask(Op::Write, LOGIN, "", json!({"role_id": role_id, "secret_id": secret_id})).await
}

async fn fail(rig: &Rig, role_id: &str, times: usize) {
    for _ in 0..times {
        assert_eq!(login(rig, role_id, "wrong").await.is(400).text("/errors/0"), "invalid role or secret ID");
    }
}

#[tokio::test]
async fn the_fifth_failure_locks_and_time_unlocks() {
    let (rig, secret) = rig().await;
    fail(&rig, "known", 4).await;
    login(&rig, "known", &secret).await.is(200);
    fail(&rig, "known", 5).await;
    let locked = login(&rig, "known", &secret).await.is(403);
    assert_eq!(locked.text("/errors/0"), "permission denied");
    rig.advance(899);
    login(&rig, "known", &secret).await.is(403);
    rig.advance(1);
    login(&rig, "known", &secret).await.is(200);
    rig.kernel.tick().await;
    assert_eq!(rig.count("core/lockout/"), 0, "no record outlives its lock");
}

#[tokio::test]
async fn a2_a_name_that_does_not_exist_is_answered_alike() {
    let (rig, _) = rig().await;
    let mut answers = Vec::new();
    for role_id in ["known", "unknown"] {
        let mut said = Vec::new();
        for _ in 0..10 {
            let answer = login(&rig, role_id, "wrong").await;
            said.push((answer.status, answer.body));
        }
        answers.push(said);
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0][9].0, 403);
}

#[tokio::test]
async fn a4_fifty_tries_at_once_are_five() {
    let (rig, secret) = rig().await;
    let tries = (0..50).map(|_| {
        let kernel = Arc::clone(&rig.kernel);
        let body = json!({"role_id": "known", "secret_id": "wrong"});
        tokio::spawn(async move { answer(kernel.handle(incoming(Op::Write, LOGIN, "", &body)).await).status })
    });
    let mut looked_at = 0;
    for status in futures_util::future::join_all(tries).await {
        looked_at += usize::from(status.unwrap() == 400);
    }
    assert_eq!(looked_at, 5);
    login(&rig, "known", &secret).await.is(403);
}

#[tokio::test]
async fn many_right_logins_at_once_are_all_let_in() {
    let (rig, secret) = rig().await;
    let tries = (0..50).map(|_| {
        let kernel = Arc::clone(&rig.kernel);
        let body = json!({"role_id": "known", "secret_id": secret});
        tokio::spawn(async move { answer(kernel.handle(incoming(Op::Write, LOGIN, "", &body)).await).status })
    });
    for status in futures_util::future::join_all(tries).await {
        assert_eq!(status.unwrap(), 200);
    }
}

#[tokio::test]
async fn a5_a_lock_outlives_the_process() {
    let (rig, secret) = rig().await;
    fail(&rig, "known", 5).await;
    fail(&rig, "unknown", 5).await;
    let rig = rig.restarted().await;
    login(&rig, "known", &secret).await.is(403);
    login(&rig, "unknown", "wrong").await.is(403);
    rig.advance(900);
    let rig = rig.restarted().await;
    login(&rig, "known", &secret).await.is(200);
    assert_eq!(rig.count("core/lockout/"), 0);
}

#[tokio::test]
async fn locked_names_are_listed_and_unlocked() {
    let (rig, secret) = rig().await;
    let none = rig.root(Op::Read, "sys/locked-users", Value::Null).await.is(200);
    assert_eq!(none.body["data"], json!({"by_namespace": [], "total": 0}));
    fail(&rig, "known", 5).await;
    fail(&rig, "other", 5).await;
    let mounts = rig.root(Op::Read, "sys/auth", Value::Null).await.is(200);
    let accessor = mounts.text("/data/approle~1/accessor");
    let listed = rig.root(Op::Read, "sys/locked-users", json!({"mount_accessor": accessor})).await.is(200);
    let mount = json!({"mount_accessor": accessor, "counts": 2, "alias_identifiers": ["known", "other"]});
    let expected = json!({"total": 2, "by_namespace": [
        {"namespace_id": "root", "namespace_path": "", "counts": 2, "mount_accessors": [mount]}]});
    assert_eq!(listed.body["data"], expected);
    let elsewhere = json!({"mount_accessor": "auth_userpass_0"});
    let elsewhere = rig.root(Op::Read, "sys/locked-users", elsewhere).await.is(200);
    assert_eq!(elsewhere.body["data"]["total"], 0);
    rig.root(Op::Write, &format!("sys/locked-users/{accessor}/unlock/known"), json!({})).await.is(204);
    login(&rig, "known", &secret).await.is(200);
    login(&rig, "other", "wrong").await.is(403);
    let rig = rig.restarted().await;
    login(&rig, "known", &secret).await.is(200);
}

#[tokio::test]
async fn a_mount_says_when_it_locks() {
    let (rig, secret) = rig().await;
    let config = json!({"lockout_threshold": "2", "lockout_duration": "10s"});
    rig.root(Op::Write, "sys/auth/approle/tune", json!({"user_lockout_config": config})).await.is(204);
    let tune = rig.root(Op::Read, "sys/auth/approle/tune", Value::Null).await.is(200);
    assert_eq!(tune.body["data"]["user_lockout_threshold"], 2);
    assert_eq!(tune.body["data"]["user_lockout_duration"], 10);
    fail(&rig, "known", 2).await;
    login(&rig, "known", &secret).await.is(403);
    rig.advance(10);
    login(&rig, "known", &secret).await.is(200);
    let off = json!({"user_lockout_config": {"lockout_disable": true}});
    rig.root(Op::Write, "sys/auth/approle/tune", off.clone()).await.is(204);
    fail(&rig, "known", 7).await;
    login(&rig, "known", &secret).await.is(200);
    rig.root(Op::Write, "sys/mounts/secret/tune", off.clone()).await.is(400);
    rig.root(Op::Write, "sys/mounts/auth/token/tune", off).await.is(400);
}
