//! What stands in the log: no value in clear, whatever its type and place; one JSON object a line, whatever is in it; the
//! same request id twice; the documented hash.

use crate::world::{Answer, World, ask, json, open, permit, token};
use coffre_api::{Access, AuthBlock, Op, RawInput, RawJson, Refusal, VaultPath, WrapInfo};
use coffre_audit::{About, AuditedHeader, Manner, Outgoing, RequestFacts, release_sealed};
use coffre_policy::Existence;
use coffre_secret::{SecretText, SecretVec};

fn answer() -> Answer {
    let data = r#"{"data":{"password":"CANARY","n":123456,"visible":"CANARY"},"list":["CANARY",{"x":true}],"visible":"shown"}"#;
    Answer {
        data: Some(RawJson::parse(data.into()).unwrap()),
        auth: Some(AuthBlock {
            client_token: SecretText::from("hvs.CANARY-new"),
            accessor: "CANARY-accessor-new".into(),
            policies: vec!["default".into()],
            identity_policies: None,
            token_policies: vec!["default".into()],
            metadata: None,
            lease_duration: 60,
            renewable: true,
            entity_id: String::new(),
            token_type: "service".into(),
            orphan: false,
            mfa_requirement: None,
            num_uses: 0,
        }),
        wrap_info: Some(WrapInfo {
            token: SecretText::from("hvs.CANARY-wrapping"),
            accessor: "CANARY-accessor-wrapping".into(),
            ttl: 60,
            creation_time: "2026-11-22T00:00:00Z".into(),
            creation_path: "secret/data/a".into(),
            wrapped_accessor: Some("CANARY-wrapped".into()),
        }),
        other: Some(b"CANARY bytes".to_vec()),
    }
}

#[tokio::test]
async fn no_value_stands_in_clear() {
    let world = World::with_file(&[]).await;
    let body = r#"{"text":"CANARY","number":424242,"float":4242.42,"yes":true,"none":null,"nested":{"deep":[{"deeper":"CANARY"}]},
        "array":["CANARY",["CANARY",424242]],"base64":"Q0FOQVJZ","escaped":"\u0043ANARY","visible":{"a":["shown"]}}"#;
    let raw = json(body).with_query(vec![("q".into(), "CANARY".into()), ("q".into(), "CANARY2".into())]);
    let token = token();
    let presented = SecretText::from("hvs.CANARY-token");
    let headers = [
        AuditedHeader { name: "user-agent".into(), values: vec![secret("CANARY")], hmac: true },
        AuditedHeader {
            name: "x-plain".into(),
            values: vec![secret("shown\r\n{}"), secret(&"CANARY".repeat(200))],
            hmac: false,
        },
    ];
    let facts =
        RequestFacts { id: "id-1", token: Some(&presented), headers: &headers, ..RequestFacts::default() };
    let permit = permit(&token, "secret/data/a", &raw);
    let (_admitted, receipt) = world.broker.record_request(permit, facts, &raw).await.unwrap();
    let released = world.broker.release(receipt, Ok(Box::new(answer()))).await;
    assert!(matches!(released.into_outgoing(), Outgoing::Reply(_)));

    for text in ["{password:CANARY}", "[\"CANARY\"]", "CANARY"] {
        let raw = RawInput::unparsed(SecretText::from(text));
        ask(&world.broker, "id-2", &raw, Answer::default()).await.unwrap();
    }
    let log = world.text();
    for canary in ["CANARY", "424242", "4242.42", "123456", "Q0FOQVJZ", "hvs."] {
        assert!(!log.contains(canary), "{canary} in {log}");
    }
    assert!(log.contains(r#""visible":{"a":["shown"]}"#) && log.contains(r#""visible":"shown""#), "{log}");
    let first = world.lines().remove(0);
    assert_eq!(first["request"]["headers"]["x-plain"][0], "shown\r\n{}");
    assert_eq!(first["request"]["data"]["text"], world.broker.hash("file/", "CANARY").unwrap());
    assert_eq!(first["request"]["data"]["escaped"], first["request"]["data"]["text"]);
    assert_eq!(first["request"]["data"]["number"], world.broker.hash("file/", "424242").unwrap());
}

#[tokio::test]
async fn both_entries_tell_the_same_request() {
    let world = World::with_file(&[]).await;
    ask(&world.broker, "id-1", &json(r#"{"a":"b"}"#), Answer::default()).await.unwrap();
    let lines = world.lines();
    assert_eq!(lines.len(), 2);
    for (line, kind) in lines.iter().zip(["request", "response"]) {
        assert_eq!(line["type"], kind);
        let request = &line["request"];
        assert_eq!(request["id"], "id-1");
        assert_eq!(request["operation"], "create");
        assert_eq!(request["path"], "secret/data/a");
        assert_eq!(request["mount_point"], "secret/");
        assert_eq!(request["mount_type"], "kv");
        assert_eq!(request["remote_address"], "127.0.0.1");
        assert_eq!(request["remote_port"], 4711);
        assert_eq!(request["wrap_ttl"], 60);
        assert_eq!(request["namespace"]["id"], "root");
        assert_eq!(request["client_token"], world.broker.hash("file/", "hvs.CANARY-token").unwrap());
        assert_eq!(request["client_token_accessor"], world.broker.hash("file/", "CANARY-accessor").unwrap());
        assert_eq!(line["auth"]["client_token"], request["client_token"]);
        assert_eq!(line["auth"]["policies"][0], "root");
        assert_eq!(line["auth"]["token_issue_time"], "1970-01-01T00:16:40Z");
        assert!(coffre_ambient::Wall::parse(line["time"].as_str().unwrap()).is_some());
    }
    assert!(lines[1]["response"].is_object() && lines[0]["response"].is_null());
}

#[tokio::test]
async fn names_cannot_forge_lines() {
    let world = World::with_file(&[]).await;
    let odd = "a\\n{\\\"type\\\":\\\"request\\\"}\\u001b[2J\\u2028\u{2028}\u{7f}\u{202e}";
    let body = format!("{{\"{odd}\":{{\"{odd}\":1}},\n\"visible\":\n{{\"{odd}\":\n\"{odd}\"}}}}");
    ask(&world.broker, "id\n{}", &json(&body), Answer::default()).await.unwrap();
    assert_eq!(world.text().matches('\n').count(), 2);
    assert!(
        !world.text().contains(|c: char| c != '\n' && (c.is_control() || "\u{2028}\u{202e}".contains(c)))
    );
    assert_eq!(world.lines()[0]["request"]["id"], "id\n{}");
}

#[tokio::test]
async fn refused_requests_have_both_entries() {
    let world = World::with_file(&[]).await;
    let path = VaultPath::parse("no/such/mount").unwrap();
    let about =
        About { op: Op::Read, path: &path, existence: Existence::Unknown, wrap_ttl: None, mount: None };
    let bad = SecretText::from("hvs.CANARY-unknown");
    let facts = RequestFacts { id: "id-1", token: Some(&bad), ..RequestFacts::default() };
    let released =
        world.broker.release_refused(facts, about, None, &json(r#"{"x":"CANARY"}"#), Refusal::denied()).await;
    assert!(
        matches!(released.into_outgoing(), Outgoing::Refused(refusal) if refusal.message() == "permission denied")
    );
    let lines = world.lines();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line["error"] == "permission denied" && line["request"]["id"] == "id-1"));
    assert!(!world.text().contains("CANARY"));
}

#[tokio::test]
async fn a_request_that_ends_early_is_told_as_abandoned() {
    let world = World::with_file(&[]).await;
    let (raw, token) = (RawInput::empty(), token());
    let facts = RequestFacts { id: "id-1", ..RequestFacts::default() };
    let (admitted, receipt) =
        world.broker.record_request(permit(&token, "secret/data/a", &raw), facts, &raw).await.unwrap();
    drop(receipt);
    drop(admitted);
    let lines = world.lines();
    assert_eq!((lines.len(), lines[1]["type"].as_str().unwrap()), (2, "response"));
    assert!(lines[1]["error"].as_str().unwrap().starts_with("abandoned"));
}

#[tokio::test]
async fn each_device_hashes_for_itself() {
    let world = World::with_file(&[]).await;
    let other = world.dir.path().join("other.log");
    let device = open(&other, &[], 2);
    let manner = Manner { hash_accessors: false, elide_lists: false };
    world.broker.enable("other/", device, &crate::world::key(2), manner, true).await.unwrap();
    let token = token();
    let presented = SecretText::from("hvs.CANARY-token");
    for id in ["a", "b"] {
        let raw = RawInput::empty();
        let facts = RequestFacts { id, token: Some(&presented), ..RequestFacts::default() };
        let permit = permit(&token, "secret/data/a", &raw);
        let (_admitted, receipt) = world.broker.record_request(permit, facts, &raw).await.unwrap();
        drop(world.broker.release(receipt, Ok(Box::new(Answer::default()))).await);
    }
    let others: Vec<serde_json::Value> =
        std::fs::read_to_string(&other).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(others[0]["request"]["path"], "sys/audit/test");
    for line in world.lines() {
        assert_eq!(line["auth"]["client_token"], world.broker.hash("file/", "hvs.CANARY-token").unwrap());
    }
    for line in &others[1..] {
        assert_eq!(line["auth"]["client_token"], world.broker.hash("other/", "hvs.CANARY-token").unwrap());
        // This device was asked not to hash accessors.
        assert_eq!(line["auth"]["accessor"], "CANARY-accessor");
    }
    assert_ne!(world.broker.hash("file/", "x"), world.broker.hash("other/", "x"));
    assert_eq!(world.broker.hash("none/", "x"), None);
}

#[tokio::test]
async fn entries_are_bounded() {
    let world = World::with_file(&[]).await;
    let many: String = (0..9_000).map(|n| format!("\"k{n}\":{n},")).collect();
    let big = format!("{{{many}\"text\":\"{}\"}}", "x".repeat(1_000_000));
    let list = format!("{{\"list\":[{}1]}}", "\"ab\",".repeat(9_000));
    for body in [big, list, format!("{{\"visible\":\"{}\"}}", "y".repeat(1_000_000))] {
        let data = RawJson::parse(body.clone()).unwrap();
        let answer = Answer { data: Some(data), ..Answer::default() };
        ask(&world.broker, "id", &json(&body), answer).await.unwrap();
    }
    let longest = world.text().lines().map(str::len).max().unwrap();
    assert!(longest < 1_000_000, "{longest}");
}

#[test]
fn only_sealed_rows_go_past_the_log() {
    let row = Access::Sealed("health");
    let passed = release_sealed(row, Ok(Box::new(Answer::default())));
    assert!(matches!(passed.into_outgoing(), Outgoing::Reply(_)));
    let passed = release_sealed(Access::Token, Err(Refusal::sealed()));
    assert!(matches!(passed.into_outgoing(), Outgoing::Refused(r) if r.kind() == coffre_api::Kind::Sealed));
    for row in [Access::Token, Access::Sudo, Access::Public("login")] {
        let stopped = release_sealed(row, Ok(Box::new(Answer::default())));
        assert!(matches!(stopped.into_outgoing(), Outgoing::Refused(r) if r.kind() == coffre_api::Kind::Bug));
        let stopped = release_sealed(row, Err(Refusal::denied()));
        assert!(matches!(stopped.into_outgoing(), Outgoing::Refused(r) if r.kind() == coffre_api::Kind::Bug));
    }
}

#[tokio::test]
async fn without_devices_everything_passes() {
    let world = World::new();
    let released = ask(&world.broker, "id", &RawInput::empty(), Answer::default()).await.unwrap();
    assert!(matches!(released, Outgoing::Reply(_)));
}

fn secret(text: &str) -> SecretVec {
    SecretVec::new(text.as_bytes().to_vec())
}
