//! The server's description of itself: it follows the tables, shows each caller its own mounts alone, and holds together.

use std::collections::BTreeSet;
use std::path::PathBuf;

use coffre_api::Op;
use serde_json::{Value, json};

use crate::rig::Rig;

const DOCUMENT: &str = "sys/internal/specs/openapi";

async fn paths(rig: &Rig, token: &str) -> BTreeSet<String> {
    let answer = rig.ask(Op::Read, DOCUMENT, token, Value::Null).await.is(200);
    assert_eq!(answer.body["openapi"], "3.0.2");
    answer.body["paths"].as_object().unwrap().keys().cloned().collect()
}

/// The document of one KV mount, kept as a file. `COFFRE_BLESS=1` writes it anew.
#[tokio::test]
async fn the_document_of_a_kv_mount_is_the_reviewed_one() {
    let rig = Rig::furnished().await;
    rig.policy("kv", r#"path "secret/*" { capabilities = ["read"] }"#).await;
    let token = rig.token(json!({"policies": ["kv"], "no_default_policy": true})).await;
    let mut answer = rig.ask(Op::Read, DOCUMENT, &token, Value::Null).await.is(200);
    answer.body["info"]["version"] = json!("-");
    let text = format!("{}\n", serde_json::to_string_pretty(&answer.body).unwrap());
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/output/openapi-kv2.json");
    if std::env::vars().any(|(name, value)| name == "COFFRE_BLESS" && value == "1") {
        std::fs::write(&file, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), text, "the document of a KV mount changed");
}

#[tokio::test]
async fn every_row_of_every_mount_stands_in_roots_document() {
    let rig = Rig::furnished().await;
    let answer = rig.root(Op::Read, DOCUMENT, Value::Null).await.is(200);
    let rows = rig.kernel.active().unwrap().rows();
    for (mount, meta) in rows.into_iter().filter(|(_, meta)| meta.described) {
        for template in std::iter::once(&meta.path).chain(meta.also) {
            let slash = if meta.op == Op::List { "/" } else { "" };
            // Names of parameters may be another row's; only their places count.
            let path = format!("/{mount}{}{slash}", template.text().replace('*', ""));
            let verb = match meta.op {
                Op::Read | Op::List => "get",
                Op::Write => "post",
                Op::Patch => "patch",
                Op::Delete => "delete",
            };
            let found = answer.body["paths"].as_object().unwrap().iter().any(|(known, item)| {
                nameless(known) == nameless(&path) && item.get(verb).is_some_and(Value::is_object)
            });
            assert!(found, "{verb} {path}");
        }
    }
}

fn nameless(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn a_document_refers_to_nothing_that_it_lacks_and_names_each_operation_once() {
    let rig = Rig::furnished().await;
    for generic in [false, true] {
        let body = json!({ "generic_mount_paths": generic });
        let answer = rig.root(Op::Write, DOCUMENT, body).await.is(200);
        let mut ids = BTreeSet::new();
        let mut shapes = BTreeSet::new();
        for (path, item) in answer.body["paths"].as_object().unwrap() {
            // Where parameters stand for mounts, the paths of two engines may look alike, as in Vault's own document.
            assert!(shapes.insert(nameless(path)) || generic, "{path} stands twice");
            for verb in ["get", "post", "patch", "delete"] {
                let Some(operation) = item.get(verb) else { continue };
                assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{operation}");
            }
            for parameter in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
                let named = |known: &Value| known["name"] == parameter && known["in"] == "path";
                let declared = item["parameters"].as_array().unwrap().iter().any(named);
                assert!(declared, "{path}: {parameter}");
            }
        }
        for target in references(&answer.body) {
            let pointer = target.strip_prefix('#').unwrap();
            assert!(answer.body.pointer(pointer).is_some(), "{target}");
        }
        let has_parameter = answer.body["paths"].get("/{kv_v2_mount_path}/data/{path}").is_some();
        assert_eq!(has_parameter, generic);
    }
}

fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Array(all) => all.iter().flat_map(references).collect(),
        Value::Object(members) => {
            let own = members.get("$ref").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(members.values().flat_map(references)).collect()
        }
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn each_caller_sees_the_mounts_that_its_policies_reach() {
    let rig = Rig::furnished().await;
    for nobody in ["", "hvs.garbage"] {
        assert_eq!(paths(&rig, nobody).await, BTreeSet::new());
        for path in ["secret/data/a", "sys/mounts", "nowhere/a"] {
            rig.ask(Op::Read, &format!("sys/internal/help/{path}"), nobody, Value::Null).await.is(403);
        }
    }
    rig.policy("kv", r#"path "kv/a" { capabilities = ["read"] }"#).await;
    let token = rig.token(json!({"policies": ["kv"], "no_default_policy": true})).await;
    let shown = paths(&rig, &token).await;
    assert!(shown.contains("/kv/{path}") && shown.iter().all(|path| path.starts_with("/kv/")), "{shown:?}");
    rig.ask(Op::Read, "sys/internal/help/kv/a", &token, Value::Null).await.is(200);
    rig.ask(Op::Read, "sys/internal/help/secret/data/a", &token, Value::Null).await.is(403);
    rig.ask(Op::Read, "sys/internal/help/nowhere", &token, Value::Null).await.is(403);
    rig.root(Op::Write, "sys/mounts/secret/tune", json!({"listing_visibility": "unauth"})).await.is(204);
    let open = paths(&rig, "").await;
    assert!(open.contains("/secret/data/{path}") && open.iter().all(|path| path.starts_with("/secret/")));
}

#[tokio::test]
async fn help_tells_what_answers_at_a_path() {
    let rig = Rig::furnished().await;
    let help = rig.root(Op::Read, "sys/internal/help/secret/data/a/b", Value::Null).await.is(200);
    let text = help.body["help"].as_str().unwrap();
    assert!(text.contains("secret/data/{path*}") && text.contains("Read a version of a secret."), "{text}");
    assert_eq!(help.body["openapi"]["paths"].as_object().unwrap().len(), 1);
    let whole = rig.root(Op::Read, "sys/internal/help/secret", Value::Null).await.is(200);
    assert!(whole.body["help"].as_str().unwrap().contains("secret/metadata/{path*}"));
    rig.root(Op::Read, "sys/internal/help/secret/nothing/such", Value::Null).await.is(404);
}

#[tokio::test]
async fn the_resultant_acl_is_what_the_policies_say() {
    let rig = Rig::furnished().await;
    let own = "sys/internal/ui/resultant-acl";
    assert_eq!(rig.root(Op::Read, own, Value::Null).await.is(200).body["data"]["root"], true);
    rig.policy(
        "a",
        r#"path "kv/x" { capabilities = ["read"] } path "kv/y*" { capabilities = ["list", "deny"] }"#,
    )
    .await;
    rig.policy(
        "b",
        r#"path "kv/x" { capabilities = ["create"] } path "kv/+/z" { capabilities = ["delete"] }"#,
    )
    .await;
    let token = rig.token(json!({"policies": ["a", "b", "default"]})).await;
    let data = rig.ask(Op::Read, own, &token, Value::Null).await.is(200).body["data"].clone();
    assert_eq!(data["root"], false);
    assert_eq!(data["exact_paths"]["kv/x"]["capabilities"], json!(["read", "create"]));
    assert_eq!(data["glob_paths"]["kv/y"]["capabilities"], json!(["deny"]));
    assert_eq!(data["glob_paths"]["kv/+/z"]["capabilities"], json!(["delete"]));
    rig.ask(Op::Read, own, "", Value::Null).await.is(403);
    rig.ask(Op::Read, "sys/internal/ui/namespaces", "", Value::Null).await.is(403);
    rig.ask(Op::Read, "sys/internal/ui/namespaces", &token, Value::Null).await.is(200);
}
