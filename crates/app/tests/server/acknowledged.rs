//! What a process says of documents that rotate, and when.
#![expect(clippy::indexing_slicing, reason = "test")]

use std::time::Duration;

use coffre_ambient::Clock as _;
use serde_json::Value as Json;

use crate::{MINUTE, Opened, Server, opened_with, stand_in};

const PATH: &str = "/v1/atmr/data/prod/redis/password";

fn credential(epoch: u64, gen_no: u64) -> String {
    format!(
        r#"{{"data":{{"data":{{"schema":"credential/1","target":"redis/password","epoch":{epoch},"gen":{gen_no},"value":"v{epoch}"}},"metadata":{{"version":{epoch}}}}}}}"#
    )
}

fn rotating() -> Opened {
    let server = Server::start();
    server.says(PATH, 200, &credential(7, 3));
    opened_with(server, stand_in::MANIFEST)
}

impl Opened {
    /// The last word on the password, once there are `count` of them.
    fn word(&self, count: usize) -> Json {
        self.until(|opened| opened.server.acknowledged().len() >= count);
        let (path, body) = self.server.acknowledged().remove(count - 1);
        let said: Json = serde_json::from_str(&body).unwrap();
        let consumer = said["data"]["consumer"].as_str().unwrap();
        assert_eq!(path, format!("/v1/atmr/data/prod/_rot/ack/redis/password/{consumer}"));
        assert!(consumer.starts_with("atmr."), "{consumer}");
        said["data"].clone()
    }

    /// Lets time pass until the newest word is like this. Time may pass before the answer to the word before is taken in:
    /// then the next one is due so much later.
    fn told_in_time(&self, step: Duration, is_it: impl Fn(&Json) -> bool) {
        let newest = || {
            let (_, body) = self.server.acknowledged().pop()?;
            serde_json::from_str::<Json>(&body).ok().map(|said| said["data"].clone())
        };
        for _ in 0..20 {
            self.pass(step);
            for _ in 0..100 {
                if newest().is_some_and(|said| is_it(&said)) {
                    return;
                }
                std::thread::park_timeout(Duration::from_millis(5));
            }
        }
        assert!(newest().is_some_and(|said| is_it(&said)), "this is not said: {:?}", newest());
    }

    fn rotate(&self, epoch: u64, gen_no: u64) {
        self.server.says(PATH, 200, &credential(epoch, gen_no));
        self.secrets.invalidate("redis/password").unwrap();
    }
}

#[test]
fn what_rotates_is_acknowledged_at_the_start_at_each_change_and_in_time() {
    let opened = rotating();
    let first = opened.word(1);
    assert_eq!((&first["epoch"], &first["in_use"], &first["frozen"]), (&7.into(), &3.into(), &false.into()));
    assert_eq!(first["expires"], "2026-09-21T15:32:00Z", "max_stale and two minutes from now");
    opened.rotate(8, 4);
    assert_eq!((&opened.word(2)["epoch"], &opened.word(2)["in_use"]), (&8.into(), &4.into()));
    // Nobody reads, and still a newer one is noticed: a rotation waits for it.
    opened.server.says(PATH, 200, &credential(9, 4));
    opened.pass(MINUTE * 5);
    opened.until(|opened| opened.server.acknowledged().iter().any(|(_, body)| body.contains(r#""epoch":9"#)));
    let before = opened.server.acknowledged().len();
    opened.told_in_time(MINUTE * 5, |_| opened.server.acknowledged().len() > before);
    assert!(opened.server.acknowledged().iter().all(|(path, _)| !path.contains("jwt")), "that has no epoch");
    opened.secrets.close();
    let (_, last) = opened.server.acknowledged().pop().unwrap();
    let last: Json = serde_json::from_str(&last).unwrap();
    assert!(last["data"]["expires"].as_str() < first["expires"].as_str(), "nobody waits for who has left");
}

#[test]
fn shorter_bounds_hold_for_what_runs_already() {
    let opened = rotating();
    opened.word(1);
    let policy = r#"{"data":{"data":{"soft_ttl":"30s","max_stale":"120s"},"metadata":{"version":1}}}"#;
    opened.server.says("/v1/atmr/data/prod/_rot/policy", 200, policy);
    opened.pass(MINUTE * 5);
    opened.until(|opened| opened.server.asked_for("/v1/atmr/data/prod/_rot/policy") > 1);
    let soon = || opened.clock.wall().plus(MINUTE * 4).rfc3339();
    let shorter = |said: &Json| said["expires"].as_str().is_some_and(|expires| expires <= soon().as_str());
    opened.told_in_time(Duration::from_secs(31), shorter);
    opened.secrets.invalidate("redis/password").unwrap();
    let is_new =
        |opened: &Opened| opened.secrets.document("redis/password").unwrap().age() == Some(Duration::ZERO);
    opened.until(is_new);
    opened.server.down();
    opened.pass(MINUTE);
    opened.text("REDIS_PASSWORD").unwrap();
    opened.pass(Duration::from_secs(61));
    opened.until(|opened| opened.text("REDIS_PASSWORD").is_err());
}

#[test]
fn a_connection_keeps_its_generation_in_use_until_it_is_closed() {
    let opened = rotating();
    opened.word(1);
    let (old, other) = (opened.secrets.in_use("REDIS_URL").unwrap(), opened.secrets.in_use("redis/password"));
    opened.rotate(8, 4);
    assert_eq!((&opened.word(2)["epoch"], &opened.word(2)["in_use"]), (&8.into(), &3.into()));
    let new = opened.secrets.in_use("REDIS_PASSWORD").unwrap();
    drop(old);
    assert_eq!(opened.server.acknowledged().len(), 2);
    drop(other);
    assert_eq!((&opened.word(3)["epoch"], &opened.word(3)["in_use"]), (&8.into(), &4.into()));
    drop(new);
    opened.secrets.login_refused("REDIS_URL").unwrap();
    opened.secrets.login_refused("REDIS_URL").unwrap();
    opened.told_in_time(Duration::from_secs(11), |said| said["auth_failures_60s"] == 2);
}

#[test]
fn a_server_that_allows_no_acknowledgements_is_served_from_all_the_same() {
    let server = Server::start();
    server.says(PATH, 200, &credential(7, 3));
    server.answers_acknowledgements(403);
    let opened = opened_with(server, stand_in::MANIFEST);
    opened.word(1);
    opened.rotate(8, 4);
    opened.until(|opened| opened.text("REDIS_PASSWORD").as_deref() == Ok("v8"));
    assert_eq!(opened.server.acknowledged().len(), 1, "it is not asked again at once");
    opened.server.answers_acknowledgements(200);
    opened.pass(MINUTE * 6);
    assert_eq!(opened.word(2)["epoch"], 8);
}

#[test]
fn decryptions_are_told_by_who_counts_all_of_them() {
    let opened = rotating();
    assert!(opened.word(1).get("decrypts").is_none(), "nobody counts");
    let meter = opened.secrets.meter("redis/password").unwrap();
    let none = serde_json::json!({});
    opened.told_in_time(MINUTE * 5, |said| said.get("decrypts") == Some(&none));
    meter.count("k1");
    meter.count("k1");
    let counted = serde_json::json!({ "k1": { "count": 2, "last": opened.clock.wall().rfc3339() } });
    opened.told_in_time(MINUTE * 5, |said| said.get("decrypts") == Some(&counted));
    meter.misses();
    meter.count("k1");
    // What is not whole says nothing.
    opened.told_in_time(MINUTE * 5, |said| said.get("decrypts").is_none());
}

#[test]
fn who_leaves_tells_what_it_decrypted_last() {
    let opened = rotating();
    let meter = opened.secrets.meter("REDIS_PASSWORD").unwrap();
    // Who leaves before the answer to its first word says no other.
    opened.word(1);
    let before = opened.server.acknowledged().len();
    opened.told_in_time(MINUTE * 5, |_| opened.server.acknowledged().len() > before);
    (0..20).for_each(|key| meter.count(&format!("k{key}")));
    opened.secrets.close();
    let (_, last) = opened.server.acknowledged().pop().unwrap();
    let last: Json = serde_json::from_str(&last).unwrap();
    assert_eq!(
        last["data"]["decrypts"].as_object().map(serde_json::Map::len),
        Some(16),
        "no more than may be named"
    );
    meter.count("k0");
}
