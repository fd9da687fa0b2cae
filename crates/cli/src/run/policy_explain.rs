//! `policy explain`: which rule decides about a request, and why. With `-policy` no server is asked.

use std::sync::Arc;

use coffre_api::sys::explain::ExplainOutput;
use coffre_api::{RawInput, VaultPath};
use coffre_client::{Op, Request};
use coffre_policy::{Acl, Asked, Policy, PolicyName, Question, TemplateValues, parameters};

use crate::args::Flag;
use crate::args::global::Format;
use crate::call::{Call, body_of, data_of};
use crate::json::Node;
use crate::outcome::{Exit, Failure, Outcome};

pub(crate) const FLAGS: &[Flag] = &[
    Flag::many("policy", "A file with a policy; may be given several times. Nobody's server is asked."),
    Flag::one("token", "Whose request: a token, if not the one in use; needs sudo on sys/policies/explain."),
    Flag::one("accessor", "The same, by the token's accessor."),
    Flag::switch("sudo", "With -policy: the endpoint is root-protected."),
];

/// Longer files are no policy.
const LONGEST: u64 = 4 << 20;

pub(crate) async fn explain(call: &mut Call) -> Outcome {
    let (Some(operation), Some(path)) =
        (call.arg(0).map(str::to_owned), call.arg(1).map(|path| path.trim_start_matches('/').to_owned()))
    else {
        return Err(Failure::local("Not enough arguments: say an operation and a path"));
    };
    let arguments = call.data_args(2)?;
    let node = if call.parsed.many("policy").is_empty() {
        online(call, &operation, &path, arguments).await?
    } else {
        offline(call, &operation, &path, &arguments)?
    };
    match call.format {
        Format::Table => call.world.say(&text(&node)),
        _ => call.show_node(&node),
    }
    Ok(Exit::DONE)
}

async fn online(call: &mut Call, operation: &str, path: &str, arguments: Node) -> Result<Node, Failure> {
    let mut body = vec![
        ("operation".to_owned(), Node::from(operation)),
        ("path".to_owned(), Node::from(path)),
        ("parameters".to_owned(), arguments),
    ];
    body.extend(call.given(&["token", "accessor"]));
    let request = Request::new(Op::Write, "sys/policies/explain").body(body_of(&crate::call::object(body)));
    let found = call.send("explaining a request", request).await?;
    Ok(data_of(found.as_ref()))
}

/// Policies from files, for a caller without identity.
fn offline(call: &Call, operation: &str, path: &str, arguments: &Node) -> Result<Node, Failure> {
    let policies: Vec<Arc<Policy>> =
        call.parsed.many("policy").into_iter().map(read).collect::<Result<_, _>>()?;
    let asked = Asked::parse(operation).ok_or_else(|| {
        Failure::local("the operation is one of create, read, update, patch, delete and list")
    })?;
    let whole = VaultPath::parse(path).map_err(|error| Failure::local(format!("PATH: {error}")))?;
    let raw = parameters(asked.op, &arguments.to_json()).unwrap_or_else(RawInput::empty);
    let nobody = TemplateValues::none();
    let question = Question {
        path: &whole,
        op: asked.op,
        existence: asked.existence,
        needs_sudo: call.parsed.on("sudo"),
        raw: &raw,
        wrap_ttl: None,
    };
    let acl = Acl::compile(&policies, &nobody);
    let told = ExplainOutput {
        policies: policies.iter().map(|policy| policy.name().as_str().to_owned()).collect(),
        dropped: policies.iter().flat_map(|policy| policy.dropped(&nobody)).collect(),
        ..acl.explain(&question).output(&question, operation)
    };
    let json = serde_json::to_string(&told).map_err(|error| Failure::local(error.to_string()))?;
    Node::parse(&json).ok_or_else(|| Failure::local("the explanation could not be written"))
}

/// A policy is called as its file, without what follows the dot.
fn read(file: &str) -> Result<Arc<Policy>, Failure> {
    use std::io::Read as _;
    let mut text = String::new();
    let read = std::fs::File::open(file).and_then(|open| open.take(LONGEST).read_to_string(&mut text));
    read.map_err(|error| Failure::local(format!("cannot read the policy from {file}: {error}")))?;
    let stem = std::path::Path::new(file).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let name = PolicyName::parse(stem)
        .map_err(|error| Failure::local(format!("{file}: a file is called as its policy, but {error}")))?;
    let policy = Policy::parse(name, &text).map_err(|error| Failure::local(format!("{file}: {error}")))?;
    Ok(Arc::new(policy))
}

/// The verdict first, then the rule that decided, then those that did not.
fn text(node: &Node) -> String {
    let word = |name: &str| node.member(name).map(Node::shown).unwrap_or_default();
    let yes = matches!(node.member("allowed"), Some(Node::Bool(true)));
    let mut lines = vec![
        format!("{}: {} {}", if yes { "allowed" } else { "refused" }, word("operation"), word("path")),
        format!("  why        {}", word("reason")),
    ];
    if matches!(node.member("needs_sudo"), Some(Node::Bool(true))) {
        lines.push("  needs      sudo besides".to_owned());
    }
    lines.extend(node.member("rule").filter(|rule| !rule.is_null()).map(|one| rule("rule", one)));
    let items = |name: &str| node.member(name).map(|all| all.items().to_vec()).unwrap_or_default();
    lines.extend(items("overruled").iter().map(|one| rule("overruled", one)));
    for one in items("dropped") {
        let part = |name: &str| one.member(name).map(Node::shown).unwrap_or_default();
        lines.push(format!("  dropped    {:?} of {}: no fit value", part("template"), part("policy")));
    }
    let policies = list(node, "policies");
    lines.push(format!("  policies   {}", if policies.is_empty() { "none" } else { &policies }));
    lines.join("\n")
}

fn rule(what: &str, one: &Node) -> String {
    let pattern = one.member("path").map(Node::shown).unwrap_or_default();
    let written = one.member("template").filter(|template| !template.is_null()).map(Node::shown);
    let written = written.map(|template| format!(", written {template:?}")).unwrap_or_default();
    let (policies, words) = (list(one, "policies"), list(one, "capabilities"));
    format!("  {what:<10} {pattern:?} of {policies} ({words}){written}")
}

fn list(node: &Node, name: &str) -> String {
    let all = node.member(name).map(Node::items).unwrap_or_default();
    all.iter().map(Node::shown).collect::<Vec<_>>().join(", ")
}
