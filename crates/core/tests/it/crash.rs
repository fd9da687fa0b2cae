//! Every storage operation of an action fails once, in each way it can; then the process dies and comes back.
//! Whatever happened: no token without an end, no living child of a dead parent, no private storage without its token
//! (rows D7, D15; invariants I1, I5).

use coffre_api::Op;
use coffre_storage::faults::Fault;
use serde_json::{Value, json};

use crate::rig::Rig;

const MAKER: &str = r#"path "auth/token/create" { capabilities = ["update", "sudo"] }"#;
const FAULTS: [Fault; 3] = [Fault::Refused, Fault::DoneUnknown, Fault::LostUnknown];

#[tokio::test]
async fn d15_making_a_token_is_all_or_nothing() {
    for fault in FAULTS {
        for nth in 1..30 {
            let rig = Rig::new().await;
            rig.policy("maker", MAKER).await;
            let top = rig.token(json!({"policies": ["maker"]})).await;
            let records = (rig.count("core/token/"), rig.count("core/accessor/"), rig.count("core/child/"));
            rig.store.fail_nth(nth, fault);
            let made = rig.child(&top, json!({"id": "the-child", "ttl": "60s"})).await;
            let rig = rig.restarted().await;
            let now = (rig.count("core/token/"), rig.count("core/accessor/"), rig.count("core/child/"));
            let more = now.0 - records.0;
            assert_eq!((now.1 - records.1, now.2 - records.2), (more, more), "{fault:?} at {nth}");
            if made.status == 200 {
                assert!(rig.lives("the-child").await, "acknowledged is durable; {fault:?} at {nth}");
            }
            rig.advance(61);
            rig.kernel.tick().await;
            assert_eq!(rig.count("core/token/"), records.0, "it had an end; {fault:?} at {nth}");
            rig.root(Op::Write, "auth/token/revoke", json!({ "token": top })).await.is(204);
            assert_eq!(rig.count("core/child/"), 0, "{fault:?} at {nth}");
        }
    }
}

#[tokio::test]
async fn d7_a_revocation_that_began_is_finished_after_a_crash() {
    for fault in FAULTS {
        for nth in 1..60 {
            let rig = Rig::new().await;
            rig.policy("maker", MAKER).await;
            let before = rig.stored().len();
            let top = rig.token(json!({"policies": ["maker"]})).await;
            let child = rig.child(&top, json!({})).await.token();
            let grandchild = rig.child(&child, json!({})).await.token();
            for token in [&top, &child, &grandchild] {
                rig.ask(Op::Write, "cubbyhole/a", token, json!({"v": "x"})).await.is(204);
            }
            rig.store.fail_nth(nth, fault);
            let answer = rig.root(Op::Write, "auth/token/revoke", json!({ "token": top })).await;
            rig.mend();
            let done = rig.lives(&top).await;
            let rig = rig.restarted().await;
            if answer.status == 204 || !done {
                assert!(!rig.lives(&top).await, "dead before, dead now; {fault:?} at {nth}");
            }
            if !rig.lives(&top).await {
                assert!(!rig.lives(&child).await && !rig.lives(&grandchild).await, "{fault:?} at {nth}");
                assert_eq!(rig.stored().len(), before, "nothing is left; {fault:?} at {nth}");
            }
        }
    }
}

#[tokio::test]
async fn d7_revoke_orphan_spares_the_children_also_through_a_crash() {
    for fault in FAULTS {
        for nth in 1..30 {
            let rig = Rig::new().await;
            rig.policy("maker", MAKER).await;
            let top = rig.token(json!({"policies": ["maker"]})).await;
            let children =
                [rig.child(&top, json!({})).await.token(), rig.child(&top, json!({})).await.token()];
            rig.store.fail_nth(nth, fault);
            rig.root(Op::Write, "auth/token/revoke-orphan", json!({ "token": top })).await;
            let rig = rig.restarted().await;
            for child in &children {
                assert!(rig.lives(child).await, "{fault:?} at {nth}");
            }
        }
    }
}

#[tokio::test]
async fn d2_a_use_is_never_given_twice_by_a_crash() {
    for fault in FAULTS {
        for nth in 1..8 {
            let mut rig = Rig::new().await;
            let token = rig.token(json!({"policies": ["default"], "num_uses": 3})).await;
            rig.store.fail_nth(nth, fault);
            let mut passed = 0;
            for _ in 0..6 {
                let body = json!({"paths": ["a"]});
                let answer = rig.ask(Op::Write, "sys/capabilities-self", &token, body).await;
                passed += usize::from(answer.status == 200);
                rig = rig.restarted().await;
            }
            assert!(passed <= 3, "{passed} uses; {fault:?} at {nth}");
        }
    }
}

#[tokio::test]
async fn d4_an_unwrap_is_never_given_twice_by_a_crash() {
    for fault in FAULTS {
        for nth in 1..16 {
            let mut rig = Rig::new().await;
            let hour = std::time::Duration::from_secs(3_600);
            let body = json!({"v": 1});
            let token = rig.ask_wrapped(hour, Op::Write, "sys/wrapping/wrap", &rig.root, body).await;
            let token = token.wrapping_token();
            rig.store.fail_nth(nth, fault);
            let mut opened = 0;
            for _ in 0..3 {
                let body = json!({ "token": token });
                let answer = rig.ask(Op::Write, "sys/wrapping/unwrap", "", body).await;
                opened += usize::from(answer.status == 200);
                rig = rig.restarted().await;
            }
            assert!(opened <= 1, "{opened} times; {fault:?} at {nth}");
        }
    }
}

#[tokio::test]
async fn invariant_i1_a_mount_is_there_or_not_and_its_records_stay_with_it() {
    for fault in FAULTS {
        for nth in 1..12 {
            let rig = Rig::new().await;
            rig.store.fail_nth(nth, fault);
            let enable = json!({"type": "kv"});
            let first = rig.root(Op::Write, "sys/mounts/kv", enable.clone()).await;
            rig.mend();
            if first.status != 204 {
                // A person tries again; it may say that the path is in use by now.
                rig.root(Op::Write, "sys/mounts/kv", enable).await;
            }
            if rig.root(Op::Write, "kv/a", json!({"v": "kept"})).await.status == 204 {
                assert_eq!(rig.count("core/mount/"), 5, "one entry for one path; {fault:?} at {nth}");
                for round in 0..3 {
                    let rig = rig.restarted().await;
                    let read = rig.root(Op::Read, "kv/a", Value::Null).await;
                    assert_eq!(read.text("/data/v"), "kept", "{fault:?} at {nth}, restart {round}");
                }
            }
        }
    }
}

#[tokio::test]
async fn invariant_i1_a_write_after_a_failed_disable_is_kept_or_refused() {
    for fault in FAULTS {
        for nth in 1..12 {
            let rig = Rig::new().await;
            rig.mount("kv", json!({"type": "kv"})).await;
            rig.store.fail_nth(nth, fault);
            let answer = rig.root(Op::Delete, "sys/mounts/kv", Value::Null).await;
            rig.mend();
            if answer.status == 204 {
                continue;
            }
            if rig.root(Op::Write, "kv/a", json!({"v": "kept"})).await.status == 204 {
                let rig = rig.restarted().await;
                let read = rig.root(Op::Read, "kv/a", Value::Null).await;
                assert_eq!(read.text("/data/v"), "kept", "{fault:?} at {nth}");
            }
        }
    }
}

#[tokio::test]
async fn d10_disabling_a_method_that_fails_half_way_leaves_no_living_token() {
    for fault in FAULTS {
        for nth in 1..40 {
            let rig = Rig::furnished().await;
            rig.root(Op::Write, "auth/approle/role/r", json!({"token_policies": "default"})).await.is(204);
            let id = rig.root(Op::Read, "auth/approle/role/r/role-id", Value::Null).await;
            let made = rig.root(Op::Write, "auth/approle/role/r/secret-id", json!({})).await;
            let login =
                json!({"role_id": id.text("/data/role_id"), "secret_id": made.text("/data/secret_id")});
            let token = rig.ask(Op::Write, "auth/approle/login", "", login).await.token();
            rig.store.fail_nth(nth, fault);
            let answer = rig.root(Op::Delete, "sys/auth/approle", Value::Null).await;
            let rig = rig.restarted().await;
            let method = rig.root(Op::Read, "sys/auth/approle", Value::Null).await.status;
            if answer.status == 204 {
                assert_eq!(method, 400, "acknowledged; {fault:?} at {nth}");
            }
            if method == 400 {
                assert!(!rig.lives(&token).await, "{fault:?} at {nth}");
            }
        }
    }
}
