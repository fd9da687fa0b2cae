//! `login`: gets a token and keeps it.

use coffre_client::{Op, Request};
use coffre_secret::SecretText;

use crate::args::Flag;
use crate::args::global::{Format, variable};
use crate::call::{Call, body_of, data_of, object, whole};
use crate::json::{Node, map};
use crate::outcome::{Exit, Failure, Outcome};
use crate::render::pairs;
use crate::token_file;

pub(crate) const FLAGS: &[Flag] = &[
    Flag::one("method", "token, userpass, approle, or another enabled method."),
    Flag::one("path", "Where the method is enabled, if not at its type's name."),
    Flag::switch("no-store", "Do not keep the token."),
    Flag::switch("no-print", "Do not print the token."),
    Flag::switch("token-only", "Print the token alone and do not keep it."),
];

pub(crate) async fn login(call: &mut Call) -> Outcome {
    let method = call.parsed.one("method").unwrap_or("token").to_lowercase();
    let envelope = if method == "token" { by_token(call).await? } else { by_method(call, &method).await? };
    let token = envelope.member("auth").and_then(|auth| auth.member("client_token")).and_then(Node::text);
    if envelope.member("wrap_info").is_some_and(|wrap| !wrap.is_null()) {
        // A wrapped login is for somebody else: it is shown and not kept.
        return show(call, &envelope);
    }
    let token =
        SecretText::from(token.ok_or_else(|| Failure::server("the server answered without a token"))?);
    if call.parsed.on("token-only") {
        return call.show_field(
            envelope.member("auth").and_then(|auth| auth.member("client_token")).cloned(),
            "token",
        );
    }
    let stored = !call.parsed.on("no-store");
    if stored {
        store(call, &token)?;
    }
    if call.parsed.on("no-print") {
        return Ok(Exit::DONE);
    }
    if call.format == Format::Table && call.parsed.one("field").is_none() {
        let kept = if stored {
            "The token below has been stored and is used by the next commands."
        } else {
            "The token below has not been stored."
        };
        call.succeed(&format!("You are now authenticated. {kept}\n"))?;
    }
    show(call, &envelope)
}

/// A token that the user already has: it is checked, and described as a login would.
async fn by_token(call: &mut Call) -> Result<Node, Failure> {
    call.expect_args(0, 1)?;
    let given = call.arg(0).map(str::to_owned);
    let token = match given.as_deref() {
        Some("-") => call.world.stdin_trimmed(),
        Some(text) => Some(SecretText::from(text.strip_prefix("token=").unwrap_or(text))),
        None => call.world.prompt_hidden("Token (will be hidden): "),
    };
    let token = token.filter(|token| !token.is_empty());
    let token =
        token.ok_or_else(|| Failure::local("no token was given: pass it as `-` on standard input"))?;
    let client = call.client()?.with_token(token.duplicate());
    call.use_client(client);
    let found = call.send("authenticating", Request::new(Op::Read, "auth/token/lookup-self")).await?;
    let whole = whole(found.as_ref());
    if whole.member("wrap_info").is_some_and(|wrap| !wrap.is_null()) {
        return Ok(whole);
    }
    let data = data_of(found.as_ref());
    let of = |name: &str| data.member(name).cloned().unwrap_or(Node::Null);
    let auth = map([
        // EXPOSE: the token is part of what `login` prints.
        ("client_token", Node::from(token.expose().as_str())),
        ("accessor", of("accessor")),
        ("policies", of("policies")),
        ("token_policies", of("policies")),
        ("metadata", of("meta")),
        ("lease_duration", of("ttl")),
        ("renewable", data.member("renewable").cloned().unwrap_or(Node::Bool(false))),
    ]);
    let described =
        [("lease_id", Node::from("")), ("data", Node::Null), ("warnings", Node::Null), ("auth", auth)];
    let id = ("request_id", whole.member("request_id").cloned().unwrap_or(Node::Null));
    Ok(map(std::iter::once(id).chain(described)))
}

async fn by_method(call: &mut Call, method: &str) -> Result<Node, Failure> {
    let data = call.data_args(0)?;
    let mount = call.parsed.one("path").unwrap_or(method).trim_matches('/').to_owned();
    let text = |name: &str| data.member(name).and_then(Node::text).map(str::to_owned);
    let mut members = match data.clone() {
        Node::Map(members) => members,
        _ => vec![],
    };
    let path = match method {
        "userpass" | "ldap" | "okta" | "radius" => {
            let user = text("username").or_else(|| variable(call.world.env.as_ref(), "LOGIN_USERNAME"));
            let user = user.ok_or_else(|| Failure::local("missing username=..."))?;
            if text("password").is_none() {
                let password = call.world.prompt_hidden("Password (will be hidden): ");
                let password =
                    password.ok_or_else(|| Failure::local("missing password: pass `password=-`"))?;
                // EXPOSE: on its way into the request's body.
                members.push(("password".to_owned(), Node::from(password.expose().as_str())));
            }
            members.retain(|(name, _)| name != "username");
            format!("auth/{mount}/login/{user}")
        }
        _ => format!("auth/{mount}/login"),
    };
    let anonymous = call.client()?.without_token();
    call.use_client(anonymous);
    let request = Request::new(Op::Write, path).body(body_of(&object(members)));
    let envelope = call.send("authenticating", request).await?;
    Ok(whole(envelope.as_ref()))
}

fn show(call: &mut Call, envelope: &Node) -> Outcome {
    if let Some(field) = call.parsed.one("field").map(str::to_owned) {
        return call.show_field(crate::render::secret_field(envelope, &field), &field);
    }
    call.show_warnings(envelope);
    match call.format {
        Format::Table => call.world.say(&pairs(&crate::render::secret_rows(envelope))),
        _ => call.show_node(&crate::render::canonical(envelope)),
    }
    Ok(Exit::DONE)
}

fn store(call: &mut Call, token: &SecretText) -> Result<(), Failure> {
    let home = call
        .world
        .home()
        .ok_or_else(|| Failure::local("HOME is not set, so there is no place for the token"))?;
    token_file::write(&token_file::path(&home), token)?;
    if variable(call.world.env.as_ref(), "TOKEN").is_some() {
        call.world
            .warn("WARNING! VAULT_TOKEN is set and wins over the stored token; unset it to use the new one.");
    }
    Ok(())
}
