//! Rekey and generate-root over the kernel (rows F1, F2): who may, in which order, and what a seal ends.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use coffre_api::{Op, OpenCeremonies};
use serde_json::{Value, json};

use crate::rig::{Rig, answer, incoming};

const ROUTES: [(Op, &str); 11] = [
    (Op::Read, "sys/rekey/init"),
    (Op::Write, "sys/rekey/init"),
    (Op::Delete, "sys/rekey/init"),
    (Op::Write, "sys/rekey/update"),
    (Op::Read, "sys/rekey/verify"),
    (Op::Write, "sys/rekey/verify"),
    (Op::Delete, "sys/rekey/verify"),
    (Op::Read, "sys/generate-root/attempt"),
    (Op::Write, "sys/generate-root/attempt"),
    (Op::Delete, "sys/generate-root"),
    (Op::Write, "sys/generate-root/update"),
];

impl Rig {
    fn share_text(&self) -> String {
        hex::encode(&self.share)
    }

    async fn start_rekey(&self, more: Value) -> String {
        let mut body = json!({"secret_shares": 3, "secret_threshold": 2});
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        self.root(Op::Write, "sys/rekey/init", body).await.is(200).text("/nonce")
    }
}

#[tokio::test]
async fn f1_without_a_token_nobody_begins_feeds_or_ends_a_ceremony() {
    let rig = Rig::new().await;
    let nonce = rig.start_rekey(json!({})).await;
    rig.root(Op::Write, "sys/generate-root/attempt", json!({})).await.is(200);
    let state = || async {
        let rekey = rig.root(Op::Read, "sys/rekey/init", Value::Null).await.is(200).body;
        (rekey, rig.root(Op::Read, "sys/generate-root/attempt", Value::Null).await.is(200).body)
    };
    let before = state().await;
    let weak = json!({"policies": ["weak"]});
    let all = r#"path "*" { capabilities = ["create", "read", "update", "delete", "list", "patch"] }"#;
    rig.root(Op::Write, "sys/policies/acl/weak", json!({"policy": all})).await.is(204);
    let weak = rig.root(Op::Write, "auth/token/create", weak).await.token();
    for token in ["", "hvs.unknown", &weak] {
        for (op, path) in ROUTES {
            let body =
                json!({"key": rig.share_text(), "nonce": nonce, "secret_shares": 1, "secret_threshold": 1});
            rig.ask(op, path, token, body).await.is(403);
        }
    }
    assert_eq!(state().await, before);
}

#[tokio::test]
async fn a_listener_can_open_one_ceremony_and_the_other_stays_closed() {
    let rig = Rig::new().await;
    let open = OpenCeremonies { generate_root: true, rekey: false };
    for (op, path) in ROUTES {
        let asked = coffre_core::Incoming { open, ..incoming(op, path, "", &json!({})) };
        let status = answer(rig.kernel.handle(asked).await).status;
        assert_eq!(status == 403, path.contains("rekey"), "{op:?} {path}: {status}");
    }
}

#[tokio::test]
async fn f2_a_share_counts_only_for_the_ceremony_whose_nonce_it_names() {
    let rig = Rig::new().await;
    let old = rig.start_rekey(json!({})).await;
    rig.root(Op::Delete, "sys/rekey/init", Value::Null).await.is(204);
    let now = rig.start_rekey(json!({})).await;
    let root = rig.root(Op::Write, "sys/generate-root/attempt", json!({})).await.is(200).text("/nonce");
    for nonce in ["", &old, &root, "x"] {
        let body = json!({"key": rig.share_text(), "nonce": nonce});
        rig.root(Op::Write, "sys/rekey/update", body).await.is(400);
    }
    rig.root(Op::Write, "sys/rekey/init", json!({"secret_shares": 1, "secret_threshold": 1})).await.is(400);
    let status = rig.root(Op::Read, "sys/rekey/init", Value::Null).await.is(200).body;
    assert_eq!((&status["nonce"], &status["progress"]), (&json!(now), &json!(0)));
    // A seal ends it.
    rig.root(Op::Write, "sys/seal", Value::Null).await.is(204);
    rig.kernel.submit_share(&rig.share).await.unwrap();
    let status = rig.root(Op::Read, "sys/rekey/init", Value::Null).await.is(200).body;
    assert_eq!(status["started"], false);
    let body = json!({"key": rig.share_text(), "nonce": now});
    rig.root(Op::Write, "sys/rekey/update", body).await.is(400);
    let restarted = rig.restarted().await;
    restarted.root(Op::Read, "sys/key-status", Value::Null).await.is(200);
}

#[tokio::test]
async fn new_shares_replace_the_old_ones() {
    let rig = Rig::new().await;
    let nonce = rig.start_rekey(json!({})).await;
    let body = json!({"key": rig.share_text(), "nonce": nonce});
    let done = rig.root(Op::Write, "sys/rekey/update", body).await.is(200).body;
    assert_eq!((done["complete"].clone(), done["keys"].as_array().unwrap().len()), (json!(true), 3));
    rig.root(Op::Write, "sys/seal", Value::Null).await.is(204);
    assert!(
        rig.kernel.submit_share(rig.share_text().as_bytes()).await.is_err(),
        "the old share still counts"
    );
    for at in [0, 2] {
        rig.kernel.submit_share(done["keys"][at].as_str().unwrap().as_bytes()).await.unwrap();
    }
    rig.root(Op::Read, "sys/key-status", Value::Null).await.is(200);
}

#[tokio::test]
async fn with_verification_new_shares_count_only_when_they_came_back() {
    let rig = Rig::new().await;
    let nonce = rig.start_rekey(json!({"require_verification": true})).await;
    rig.root(Op::Read, "sys/rekey/verify", Value::Null).await.is(400);
    let body = json!({"key": rig.share_text(), "nonce": nonce});
    let done = rig.root(Op::Write, "sys/rekey/update", body.clone()).await.is(200).body;
    rig.root(Op::Write, "sys/rekey/update", body).await.is(400);
    let key = |at: usize| done["keys_base64"][at].clone();
    let first = json!({"key": key(0), "nonce": done["verification_nonce"]});
    let going = rig.root(Op::Write, "sys/rekey/verify", first).await.is(200).body;
    assert_eq!((&going["progress"], &going["t"]), (&json!(1), &json!(2)));
    let again = rig.root(Op::Delete, "sys/rekey/verify", Value::Null).await.is(200).body;
    assert_ne!(again["nonce"], done["verification_nonce"]);
    assert_eq!(again["progress"], 0);
    // Until then the old share is the one that unseals, and only that.
    rig.restarted().await;
    for at in [1, 2] {
        let body = json!({"key": key(at), "nonce": again["nonce"]});
        rig.root(Op::Write, "sys/rekey/verify", body).await.is(200);
    }
    rig.root(Op::Write, "sys/seal", Value::Null).await.is(204);
    assert!(rig.kernel.submit_share(rig.share_text().as_bytes()).await.is_err());
    for at in [0, 1] {
        rig.kernel.submit_share(key(at).as_str().unwrap().as_bytes()).await.unwrap();
    }
    assert_eq!(rig.root(Op::Read, "sys/rekey/init", Value::Null).await.is(200).body["started"], false);
}

#[tokio::test]
async fn a_root_token_is_made_with_the_last_share_and_covered() {
    let rig = Rig::new().await;
    let tokens = || rig.stored().iter().filter(|(key, _)| key.contains("/token/")).count();
    let before = tokens();
    let begun = rig.root(Op::Write, "sys/generate-root/attempt", json!({})).await.is(200).body;
    let otp = begun["otp"].as_str().unwrap().to_owned();
    assert_eq!((otp.len(), &begun["otp_length"]), (28, &json!(28)));
    let status = rig.root(Op::Read, "sys/generate-root", Value::Null).await.is(200).body;
    assert_eq!((&status["otp"], &status["started"]), (&json!(""), &json!(true)));
    assert_eq!(tokens(), before, "nothing is made before the last share");
    let body = json!({"key": rig.share_text(), "nonce": begun["nonce"]});
    let done = rig.root(Op::Write, "sys/generate-root/update", body).await.is(200).body;
    assert_eq!(done["complete"], true);
    let encoded = done["encoded_token"].as_str().unwrap();
    let bytes = STANDARD_NO_PAD.decode(encoded).unwrap();
    let token: String = bytes.iter().zip(otp.bytes()).map(|(a, b)| char::from(a ^ b)).collect();
    let own = rig.ask(Op::Read, "auth/token/lookup-self", &token, Value::Null).await.is(200);
    assert_eq!(own.body["data"]["policies"], json!(["root"]));
    let body = json!({"encoded_token": encoded, "otp": otp});
    let decoded = rig.ask(Op::Write, "sys/decode-token", "", body).await.is(200);
    assert_eq!(decoded.text("/data/token"), token);
    rig.root(Op::Write, "sys/generate-root/attempt", json!({"otp": "short"})).await.is(400);
}

#[tokio::test]
async fn h8_an_old_key_is_replaced_and_what_is_set_outlives_a_restart() {
    let rig = Rig::new().await;
    let config = rig.root(Op::Read, "sys/rotate/config", Value::Null).await.is(200).body;
    assert_eq!(config["data"], json!({"enabled": true, "max_operations": 3_865_470_566_u64, "interval": 0}));
    for bad in [
        json!({"max_operations": 999_999}),
        json!({"max_operations": 1_u64 << 33}),
        json!({"interval": "23h"}),
    ] {
        rig.root(Op::Write, "sys/rotate/config", bad).await.is(400);
    }
    rig.root(Op::Write, "sys/rotate/config", json!({"interval": "24h", "max_operations": 1_000_000}))
        .await
        .is(204);
    let rig = rig.restarted().await;
    let term = |status: &crate::rig::Answer| status.body["data"]["term"].as_u64().unwrap();
    for (hours, expected) in [(23, 1), (2, 2), (1, 2), (24, 3)] {
        rig.clock.advance(std::time::Duration::from_secs(hours * 3600));
        rig.kernel.tick().await;
        let status = rig.root(Op::Read, "sys/key-status", Value::Null).await.is(200);
        assert_eq!(
            (term(&status), &status.body["term"]),
            (expected, &status.body["data"]["term"]),
            "{hours}"
        );
    }
    rig.root(Op::Write, "sys/rotate/config", json!({"enabled": false})).await.is(204);
    rig.clock.advance(std::time::Duration::from_secs(48 * 3600));
    rig.kernel.tick().await;
    rig.root(Op::Write, "sys/rotate/keyring", Value::Null).await.is(204);
    assert_eq!(term(&rig.root(Op::Read, "sys/key-status", Value::Null).await), 4);
}

#[tokio::test]
async fn a_single_node_says_so() {
    let rig = Rig::new().await;
    let nodes = rig.root(Op::Read, "sys/ha-status", Value::Null).await.is(200).body["nodes"].clone();
    assert_eq!((nodes.as_array().unwrap().len(), &nodes[0]["active_node"]), (1, &json!(true)));
    rig.root(Op::Write, "sys/step-down", Value::Null).await.is(204);
    rig.ask(Op::Write, "sys/step-down", "", Value::Null).await.is(403);
    rig.root(Op::Read, "sys/key-status", Value::Null).await.is(200);
}
