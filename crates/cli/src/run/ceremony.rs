//! `operator generate-root` and `operator rekey`: several people give a key each.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use coffre_ambient::{SystemEntropy, ids};
use coffre_client::{Op, Request};

use crate::args::Flag;
use crate::call::{Call, object, whole};
use crate::json::{Node, map};
use crate::outcome::{Exit, Failure, Outcome};
use crate::run::operator::number;

/// The length of root tokens, and so of their one-time passwords.
const OTP_LENGTH: usize = 28;

pub(crate) const ROOT: &[Flag] = &[
    Flag::switch("init", "Start."),
    Flag::switch("cancel", "Give up."),
    Flag::switch("status", "Show how far it is."),
    Flag::one("decode", "Turn this encoded token into the token; needs -otp."),
    Flag::switch("generate-otp", "Print a one-time password for -init."),
    Flag::one("otp", "One-time password that hides the new token."),
    Flag::one("pgp-key", "Base64 public key that hides the new token."),
    Flag::one("nonce", "The attempt that the key is for."),
];
pub(crate) const REKEY: &[Flag] = &[
    Flag::switch("init", "Start."),
    Flag::switch("cancel", "Give up."),
    Flag::switch("status", "Show how far it is."),
    Flag::switch("verify", "The key is one of the new ones, to prove that they were received."),
    Flag::one("key-shares", "How many new keys; 5 by default.").or("n"),
    Flag::one("key-threshold", "How many of them open it; 3 by default.").or("t"),
    Flag::switch("require-verification", "The new keys count only when -verify has been done."),
    Flag::one("nonce", "The attempt that the key is for."),
    Flag::many("pgp-keys", "Base64 public keys, one for each share."),
];

pub(crate) async fn generate_root(call: &mut Call) -> Outcome {
    let doing = "generating a root token";
    if let Some(encoded) = call.parsed.one("decode").map(str::to_owned) {
        let otp = call.parsed.one("otp").ok_or_else(|| Failure::local("-decode needs -otp as well"))?;
        let token = decode(&encoded, otp)?;
        let node = map([("token", Node::from(token.as_str()))]);
        if call.format == crate::args::global::Format::Table {
            call.world.say(&token);
            return Ok(Exit::DONE);
        }
        return call.show_data(&node);
    }
    if call.parsed.on("generate-otp") {
        let otp =
            ids::base62(&SystemEntropy, OTP_LENGTH).map_err(|error| Failure::local(error.to_string()))?;
        call.world.say(&otp);
        return Ok(Exit::DONE);
    }
    let attempt = "sys/generate-root/attempt";
    if call.parsed.on("cancel") {
        call.send(doing, Request::new(Op::Delete, attempt)).await?;
        return call.succeed("Root token generation canceled (if it was started)");
    }
    if call.parsed.on("status") {
        let found = call.send(doing, Request::new(Op::Read, attempt)).await?;
        return show(call, &whole(found.as_ref()));
    }
    if call.parsed.on("init") {
        let body = object(call.given(&["otp", "pgp-key"]));
        let found = call.put(doing, attempt, &body).await?;
        return show(call, &whole(found.as_ref()));
    }
    give_key(call, doing, attempt, "sys/generate-root/update").await
}

pub(crate) async fn rekey(call: &mut Call) -> Outcome {
    let doing = "rekeying";
    let (attempt, update) = match call.parsed.on("verify") {
        true => ("sys/rekey/verify", "sys/rekey/verify"),
        false => ("sys/rekey/init", "sys/rekey/update"),
    };
    if call.parsed.on("cancel") {
        call.send(doing, Request::new(Op::Delete, attempt)).await?;
        return call.succeed("Canceled rekeying (if it was started)");
    }
    if call.parsed.on("status") {
        let found = call.send(doing, Request::new(Op::Read, attempt)).await?;
        return show(call, &whole(found.as_ref()));
    }
    if call.parsed.on("init") {
        let keys: Vec<Node> = call
            .parsed
            .many("pgp-keys")
            .into_iter()
            .flat_map(|keys| keys.split(','))
            .map(Node::from)
            .collect();
        let mut body = vec![
            ("secret_shares".to_owned(), Node::from(number(call, "key-shares", 5)?)),
            ("secret_threshold".to_owned(), Node::from(number(call, "key-threshold", 3)?)),
            ("require_verification".to_owned(), Node::Bool(call.parsed.on("require-verification"))),
        ];
        if !keys.is_empty() {
            body.push(("pgp_keys".to_owned(), Node::List(keys)));
        }
        let found = call.put(doing, attempt, &object(body)).await?;
        return show(call, &whole(found.as_ref()));
    }
    give_key(call, doing, attempt, update).await
}

/// One person's key. The nonce ties it to the attempt that the person was told about.
async fn give_key(call: &mut Call, doing: &str, attempt: &str, update: &str) -> Outcome {
    call.expect_args(0, 1)?;
    let nonce = match call.parsed.one("nonce").map(str::to_owned) {
        Some(nonce) => nonce,
        None => {
            let found = call.send(doing, Request::new(Op::Read, attempt)).await?;
            let state = whole(found.as_ref());
            if state.member("started") == Some(&Node::Bool(false)) {
                return Err(Failure::local("nothing is in progress: start with -init"));
            }
            state.member("nonce").map(Node::shown).unwrap_or_default()
        }
    };
    let given = call.arg(0).map(str::to_owned);
    let key = match given.as_deref() {
        Some("-") => call.world.stdin_trimmed(),
        Some(key) => Some(key.into()),
        None => {
            call.world.tell(&format!("Operation nonce: {nonce}"));
            call.world.prompt_hidden("Unseal Key (will be hidden): ")
        }
    };
    let key = key.filter(|key| !key.is_empty()).ok_or_else(|| Failure::local("no unseal key was given"))?;
    // EXPOSE: on its way into the request's body.
    let body = map([("key", Node::from(key.expose().trim())), ("nonce", Node::from(nonce))]);
    let found = call.put(doing, update, &body).await?;
    show(call, &whole(found.as_ref()))
}

/// The state of an attempt; its keys, if it is over, one per line.
fn show(call: &mut Call, state: &Node) -> Outcome {
    let keys = state.member("keys_base64").map(Node::items).unwrap_or_default().to_vec();
    if keys.is_empty() || call.format != crate::args::global::Format::Table {
        return call.show_data(state);
    }
    for (at, key) in keys.iter().enumerate() {
        call.world.say(&format!("Key {}: {}", at + 1, key.shown()));
    }
    let nonce = state.member("nonce").map(Node::shown).unwrap_or_default();
    call.world.say(&format!("\nOperation nonce: {nonce}"));
    Ok(Exit::DONE)
}

/// The token is the encoded text's bytes XOR the one-time password's.
fn decode(encoded: &str, otp: &str) -> Result<String, Failure> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let bytes = GeneralPurpose::new(&STANDARD, config)
        .decode(encoded.trim())
        .map_err(|_| Failure::local("the encoded token is not base64"))?;
    if bytes.len() != otp.len() {
        return Err(Failure::local("the one-time password does not have the encoded token's length"));
    }
    let token = bytes.iter().zip(otp.bytes()).map(|(a, b)| a ^ b).collect();
    String::from_utf8(token)
        .map_err(|_| Failure::local("the one-time password does not belong to this token"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back() {
        let (token, otp) = ("hvs.0123456789abcdefghijklmn", "QXm2BTlGFCd8bbBYLXxmzQMXc2fO");
        let mixed: Vec<u8> = token.bytes().zip(otp.bytes()).map(|(a, b)| a ^ b).collect();
        let encoded = base64::engine::general_purpose::STANDARD_NO_PAD.encode(&mixed);
        assert_eq!(decode(&encoded, otp).unwrap(), token);
        assert_eq!(decode(&base64::engine::general_purpose::STANDARD.encode(&mixed), otp).unwrap(), token);
        assert!(decode(&encoded, "short").is_err());
        assert!(decode("???", otp).is_err());
    }
}
