//! `token`: create, look up, renew, revoke.

use coffre_client::{Body, Op, Request};
use coffre_secret::SecretText;

use crate::args::Flag;
use crate::args::global::Format;
use crate::call::{Call, body_of, data_of, object};
use crate::json::{Node, map};
use crate::outcome::{Exit, Failure, Outcome};

pub(crate) const CREATE: &[Flag] = &[
    Flag::many("policy", "Name of a policy; may be given several times."),
    Flag::one("ttl", "How long it lives before it must be renewed."),
    Flag::one("explicit-max-ttl", "How long it may live in any case."),
    Flag::one("period", "Renewable for ever, if renewed at least this often."),
    Flag::switch("renewable", "Whether it can be renewed; yes unless -renewable=false."),
    Flag::switch("orphan", "Not ended together with the token that creates it."),
    Flag::switch("no-default-policy", "Without the policy `default`."),
    Flag::one("use-limit", "How many requests it may make; 0 is any number."),
    Flag::one("display-name", "Name in audit logs."),
    Flag::many("metadata", "Free text, key=value."),
    Flag::one("role", "Create it by this role."),
    Flag::one("type", "service or batch."),
    Flag::one("id", "The token itself; needs a root token."),
    Flag::one("entity-alias", "Alias to tie it to; needs -role."),
];
pub(crate) const LOOKUP: &[Flag] = &[Flag::switch("accessor", "The argument is an accessor.")];
pub(crate) const RENEW: &[Flag] = &[
    Flag::switch("accessor", "The argument is an accessor."),
    Flag::one("increment", "How much longer.").or("i"),
];
pub(crate) const REVOKE: &[Flag] = &[
    Flag::switch("accessor", "The argument is an accessor."),
    Flag::switch("self", "The token in use."),
    Flag::one("mode", "orphan: its children survive; path: the argument is a login path."),
];

pub(crate) async fn create(call: &mut Call) -> Outcome {
    call.expect_args(0, 0)?;
    let mut body =
        call.given(&["ttl", "explicit-max-ttl", "period", "display-name", "type", "id", "entity-alias"]);
    let list = |values: Vec<&str>| Node::List(values.into_iter().map(Node::from).collect());
    body.push(("policies".to_owned(), list(call.parsed.many("policy"))));
    if let Some(limit) = call.parsed.one("use-limit") {
        let limit: u64 = limit.parse().map_err(|_| format!("-use-limit={limit}: not a number"))?;
        body.push(("num_uses".to_owned(), Node::from(limit)));
    }
    body.push(("renewable".to_owned(), Node::Bool(call.parsed.switch("renewable").unwrap_or(true))));
    body.push(("no_default_policy".to_owned(), Node::Bool(call.parsed.on("no-default-policy"))));
    let meta = call.parsed.pairs("metadata")?;
    if !meta.is_empty() {
        let meta = meta.into_iter().map(|(name, value)| (name, Node::from(value))).collect();
        body.push(("meta".to_owned(), object(meta)));
    }
    let path = match (call.parsed.one("role"), call.parsed.on("orphan")) {
        (Some(role), _) => format!("auth/token/create/{role}"),
        (None, true) => "auth/token/create-orphan".to_owned(),
        (None, false) => "auth/token/create".to_owned(),
    };
    let envelope = call.put("creating token", &path, &object(body)).await?;
    let envelope = envelope.ok_or_else(|| Failure::server("the server answered without a token"))?;
    call.show(&envelope)
}

pub(crate) async fn lookup(call: &mut Call) -> Outcome {
    call.expect_args(0, 1)?;
    let request = match (call.arg(0), call.parsed.on("accessor")) {
        (None, true) => return Err(Failure::local("Missing accessor: give it as the argument")),
        (None, false) => Request::new(Op::Read, "auth/token/lookup-self"),
        (Some(accessor), true) => about("auth/token/lookup-accessor", "accessor", accessor),
        (Some(token), false) => about("auth/token/lookup", "token", token),
    };
    let envelope = call.send("looking up token", request).await?;
    let envelope = envelope.ok_or_else(|| Failure::server("the server knows nothing about it"))?;
    call.show(&envelope)
}

pub(crate) async fn renew(call: &mut Call) -> Outcome {
    call.expect_args(0, 1)?;
    let mut body = call.given(&["increment"]);
    let path = match (call.arg(0), call.parsed.on("accessor")) {
        (None, true) => return Err(Failure::local("Missing accessor: give it as the argument")),
        (None, false) => "auth/token/renew-self",
        (Some(accessor), true) => {
            body.push(("accessor".to_owned(), Node::from(accessor)));
            "auth/token/renew-accessor"
        }
        (Some(token), false) => {
            body.push(("token".to_owned(), Node::from(token)));
            "auth/token/renew"
        }
    };
    let request = Request::new(Op::Write, path).body(body_of(&object(body)));
    let envelope = call.send("renewing token", request).await?;
    let envelope = envelope.ok_or_else(|| Failure::server("the server answered without a token"))?;
    call.show(&envelope)
}

pub(crate) async fn revoke(call: &mut Call) -> Outcome {
    call.expect_args(0, 1)?;
    let mode = call.parsed.one("mode").unwrap_or_default().to_owned();
    let (accessor, own) = (call.parsed.on("accessor"), call.parsed.on("self"));
    let request = match (call.arg(0), mode.as_str()) {
        (Some(_), _) if own => return Err(Failure::local("Too many arguments with -self (expected 0)")),
        (None, "") if own => Request::new(Op::Write, "auth/token/revoke-self").body(body_of(&map([]))),
        (None, _) => {
            return Err(Failure::local("Not enough arguments: give a token or accessor, or use -self"));
        }
        (Some(accessor_text), "") if accessor => {
            about("auth/token/revoke-accessor", "accessor", accessor_text)
        }
        (Some(_), _) if accessor => return Err(Failure::local("Cannot use -accessor with -mode")),
        (Some(token), "") => about("auth/token/revoke", "token", token),
        (Some(token), "orphan") => about("auth/token/revoke-orphan", "token", token),
        (Some(path), "path") => {
            Request::new(Op::Write, format!("sys/leases/revoke-prefix/{path}")).body(body_of(&map([])))
        }
        (Some(_), other) => {
            return Err(Failure::local(format!("Invalid mode {other:?}: use orphan or path")));
        }
    };
    call.send("revoking token", request).await?;
    call.succeed("Revoked token (if it existed)")
}

pub(crate) async fn capabilities(call: &mut Call) -> Outcome {
    call.expect_args(1, 2)?;
    let (token, path) = match (call.arg(0), call.arg(1)) {
        (Some(token), Some(path)) => (Some(token.to_owned()), path.to_owned()),
        (path, _) => (None, path.unwrap_or_default().to_owned()),
    };
    let paths = Node::List(vec![Node::from(path.as_str())]);
    let (api, body) = match token {
        Some(token) => ("sys/capabilities", map([("token", Node::from(token)), ("paths", paths)])),
        None => ("sys/capabilities-self", map([("paths", paths)])),
    };
    let envelope = call.put("listing capabilities", api, &body).await?;
    let data = data_of(envelope.as_ref());
    let found = data.member(&path).or_else(|| data.member("capabilities")).cloned().unwrap_or(Node::Null);
    let mut names: Vec<String> = found.items().iter().map(Node::shown).collect();
    names.sort();
    if call.format == Format::Table {
        call.world.say(&names.join(", "));
        return Ok(Exit::DONE);
    }
    call.show_list(None, &names.into_iter().map(Node::from).collect::<Vec<_>>())
}

/// A request whose body names one token or accessor.
fn about(path: &str, member: &str, value: &str) -> Request {
    Request::new(Op::Write, path).body(Body::fields([(member, &SecretText::from(value))]))
}
