//! Every route of every engine, with every verb, asked by nobody (row B14). The exceptions are a reviewed file.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use coffre_api::{Access, Op, Segment, Template};
use serde_json::{Value, json};

use crate::rig::Rig;

fn word(op: Op) -> &'static str {
    match op {
        Op::Read => "read",
        Op::List => "list",
        Op::Write => "write",
        Op::Patch => "patch",
        Op::Delete => "delete",
    }
}

/// The template as a path: captures become a name that is no literal of any table.
fn path_of(mount: &str, template: &Template) -> String {
    let part = |segment: &Segment| match segment {
        Segment::Literal(text) => *text,
        Segment::Capture(_) | Segment::Rest(_) => "zz",
    };
    let parts: Vec<&str> = template.segments().iter().map(part).collect();
    format!("{mount}{}", parts.join("/"))
}

struct Route {
    mount: String,
    op: Op,
    path: String,
    template: &'static str,
    access: Access,
}

fn routes(rig: &Rig) -> Vec<Route> {
    let mut routes = Vec::new();
    for (mount, meta) in rig.kernel.active().unwrap().rows() {
        for template in std::iter::once(&meta.path).chain(meta.also) {
            let path = path_of(&mount, template);
            let (op, template, access) = (meta.op, template.text(), meta.access);
            routes.push(Route { mount: mount.clone(), op, path, template, access });
        }
    }
    assert!(routes.len() > 100, "the tables were not read");
    routes
}

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/output/public-routes.txt")
}

/// The reviewed list of what answers without a token. `COFFRE_BLESS=1` writes it anew.
#[tokio::test]
async fn b14_the_public_routes_are_the_reviewed_ones() {
    let rig = Rig::furnished().await;
    let mut lines = BTreeSet::new();
    for route in routes(&rig) {
        let (when, why) = match route.access {
            Access::Public(why) => ("unsealed", why),
            Access::Sealed(why) => ("always", why),
            Access::Token | Access::Sudo | Access::Ceremony(_) => continue,
        };
        lines.insert(format!("{:<6} {}{}  ({when}: {why})", word(route.op), route.mount, route.template));
    }
    let mut text = String::from(
        "# Routes that answer without a token, each with its reason. Generated from the tables of all engines by\n\
         # crates/core/tests/it/routes.rs; a new line here is a decision: review it, then run with COFFRE_BLESS=1.\n",
    );
    for line in lines {
        writeln!(text, "{line}").unwrap();
    }
    if std::env::vars().any(|(name, value)| name == "COFFRE_BLESS" && value == "1") {
        std::fs::write(file(), &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(file()).unwrap(), text, "public routes changed");
}

#[tokio::test]
async fn b14_every_route_without_a_token_is_refused() {
    let rig = Rig::furnished().await;
    rig.root(Op::Write, "secret/data/zz", json!({"data": {"k": "v"}})).await.is(200);
    rig.root(Op::Write, "kv/zz", json!({"k": "v"})).await.is(204);
    rig.root(Op::Write, "auth/approle/role/zz", json!({"token_policies": "default"})).await.is(204);
    let revoked = rig.token(json!({"policies": ["root"]})).await;
    rig.root(Op::Write, "auth/token/revoke", json!({ "token": revoked })).await.is(204);
    let expired = rig.token(json!({"policies": ["root"], "ttl": "1s"})).await;
    let spent = rig.token(json!({"policies": ["default"], "num_uses": 1})).await;
    rig.ask(Op::Write, "sys/capabilities-self", &spent, json!({"paths": "a"})).await.is(200);
    rig.advance(2);
    rig.kernel.tick().await;

    let routes = routes(&rig);
    let public: BTreeSet<(Op, String)> =
        routes.iter().filter(|route| route.access.is_public()).map(|r| (r.op, r.path.clone())).collect();
    let paths: BTreeSet<&String> = routes.iter().map(|route| &route.path).collect();
    let before = rig.stored();
    let nobodies = ["", "hvs.garbage", "s.x", &revoked, &expired, &spent, "root"];
    let mut asked = 0;
    for token in nobodies {
        for path in &paths {
            for op in Op::ALL {
                let body = if op.has_body() { json!({}) } else { Value::Null };
                let answer = rig.ask(op, path, token, body).await;
                let told = format!("{} {path} with {token:?}: {answer:?}", word(op));
                if public.contains(&(op, (*path).clone())) {
                    assert!(answer.status != 500, "{told}");
                } else {
                    assert_eq!(answer.status, 403, "{told}");
                    assert_eq!(answer.body, json!({"errors": ["permission denied"]}), "{told}");
                }
                asked += 1;
            }
        }
    }
    assert!(asked > 2_000, "{asked}");
    assert_eq!(rig.stored(), before, "nobody changed anything");
}

#[tokio::test]
async fn b14_public_rows_show_nobody_anything_that_is_not_public() {
    let rig = Rig::furnished().await;
    let bare = rig.token(json!({"policies": ["nothing"], "no_default_policy": true})).await;
    for token in ["", "hvs.garbage", &bare] {
        let list = rig.ask(Op::Read, "sys/internal/ui/mounts", token, Value::Null).await.is(200);
        assert_eq!((&list.body["data"]["secret"], &list.body["data"]["auth"]), (&json!({}), &json!({})));
        for path in ["secret", "secret/data/a", "kv/a", "nowhere"] {
            let path = format!("sys/internal/ui/mounts/{path}");
            rig.ask(Op::Read, &path, token, Value::Null).await.is(403);
        }
        rig.ask(Op::Write, "sys/wrapping/lookup", token, json!({"token": rig.root})).await.is(400);
    }
    let shown = json!({"listing_visibility": "unauth"});
    rig.root(Op::Write, "sys/mounts/kv/tune", shown).await.is(204);
    let list = rig.ask(Op::Read, "sys/internal/ui/mounts", "", Value::Null).await.is(200);
    assert_eq!(list.body["data"]["secret"].as_object().map(serde_json::Map::len), Some(1));
}

#[tokio::test]
async fn b14_a_token_without_any_policy_is_refused_everywhere() {
    let rig = Rig::furnished().await;
    let bare = rig.token(json!({"policies": ["nothing"], "no_default_policy": true})).await;
    let before = rig.stored();
    for route in routes(&rig).iter().filter(|route| !route.access.is_public()) {
        let body = if route.op.has_body() { json!({}) } else { Value::Null };
        let answer = rig.ask(route.op, &route.path, &bare, body).await;
        assert_eq!(answer.status, 403, "{} {}: {answer:?}", word(route.op), route.path);
    }
    assert_eq!(rig.stored(), before);
}

/// No route answers 500 to a root that sends nothing sensible, and none quotes what it was sent (row G3).
#[tokio::test]
async fn g3_odd_values_are_refused_and_not_quoted() {
    let odd = "CANARY-odd-7f3a9c51";
    let rig = Rig::furnished().await;
    for route in routes(&rig) {
        if matches!(route.path.as_str(), "sys/seal" | "auth/token/revoke-self") {
            continue;
        }
        let mut fields = vec![("data", json!(odd)), ("options", json!(odd)), ("token", json!([odd]))];
        for name in
            ["policies", "ttl", "num_uses", "period", "version", "versions", "cas", "config", "meta", "key"]
        {
            fields.push((name, json!({ "x": [odd] })));
            fields.push((name, json!(odd)));
        }
        for (name, value) in fields {
            let answer = rig.root(route.op, &route.path, json!({ name: value })).await;
            let told = format!("{} {} with {name}: {answer:?}", word(route.op), route.path);
            assert_ne!(answer.status, 500, "{told}");
            if answer.status >= 400 {
                assert!(!answer.body.to_string().contains(odd), "{told}");
            }
        }
    }
}
