//! Any arguments, any route: an answer, never a panic (invariant I12). The arguments are random; proptest prints those
//! that fail, and keeps nothing else.

use std::sync::OnceLock;

use coffre_api::{Op, Segment};
use proptest::prelude::*;
use serde_json::{Map, Value};
use tokio::runtime::Runtime;

use crate::rig::Rig;

/// An operation, a path, and the names of its input's fields.
type Route = (Op, String, Vec<String>);

fn world() -> &'static (Runtime, Rig, Vec<Route>) {
    static WORLD: OnceLock<(Runtime, Rig, Vec<Route>)> = OnceLock::new();
    WORLD.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let rig = runtime.block_on(Rig::furnished());
        let rows = rig.kernel.active().unwrap().rows();
        let routes = rows.into_iter().filter(|(_, meta)| !matches!(meta.path.text(), "seal" | "revoke-self"));
        let routes = routes.map(|(mount, meta)| {
            let part = |segment: &Segment| match segment {
                Segment::Literal(text) => *text,
                Segment::Capture(_) | Segment::Rest(_) => "zz",
            };
            let parts: Vec<&str> = meta.path.segments().iter().map(part).collect();
            let fields = coffre_engine::check_table::input_fields(meta).into_iter().collect();
            (meta.op, format!("{mount}{}", parts.join("/")), fields)
        });
        let routes = routes.collect();
        (runtime, rig, routes)
    })
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop_oneof![
            Just("1h"),
            Just("-1"),
            Just("9999999999h"),
            Just("1e308"),
            Just("10.0.0.0/33"),
            Just("::/0"),
            Just(",,"),
            Just("root"),
            Just("true"),
            Just("0x1"),
            Just("kv"),
            Just("approle"),
            Just("file"),
            Just("base64:////"),
        ]
        .prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[a-z_.]{0,6}", inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn invariant_i12_random_arguments_on_every_route_never_panic(
        route in any::<prop::sample::Index>(),
        chosen in prop::collection::vec((any::<prop::sample::Index>(), value()), 0..5),
        stray in prop::collection::vec(("[a-z_]{1,8}", value()), 0..2),
    ) {
        let (runtime, rig, routes) = world();
        let (op, path, fields) = route.get(routes);
        let mut body = Map::new();
        for (at, value) in chosen {
            if !fields.is_empty() {
                body.insert(at.get(fields).clone(), value);
            }
        }
        body.extend(stray);
        // Audit devices would be made wherever a random path points.
        if path.starts_with("sys/audit/") {
            body.remove("options");
        }
        let told = format!("{op:?} {path}");
        let answer = runtime.block_on(rig.ask(*op, path, &rig.root, Value::Object(body)));
        prop_assert!(answer.status != 500 && answer.status != 503, "{} {:?}", told, answer);
    }
}
