//! `operator generate-root`: a new root token, by enough holders of the unseal key.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use coffre_ambient::{SystemEntropy, ids};
use coffre_client::{Op, Request};

use crate::args::Flag;
use crate::args::global::Format;
use crate::call::{Call, object, whole};
use crate::json::{Node, map};
use crate::outcome::{Exit, Failure, Outcome};
use crate::render::columns;
use crate::run::ceremony::{give_key, text};
use crate::run::pgp_keys;

/// The length of root tokens, and so of their one-time passwords.
const OTP_LENGTH: usize = 28;

pub(crate) const FLAGS: &[Flag] = &[
    Flag::switch("init", "Start."),
    Flag::switch("cancel", "Give up."),
    Flag::switch("status", "Show how far it is."),
    Flag::one(
        "decode",
        "Turn this encoded token into the token; needs -otp. `-` reads it from standard input.",
    ),
    Flag::switch("generate-otp", "Print a one-time password for -init."),
    Flag::one("otp", "One-time password that hides the new token."),
    Flag::one("pgp-key", "Public key that hides the new token: a file, or base64."),
    Flag::one("nonce", "The attempt that the key is for."),
];

const DOING: &str = "generating a root token";
const ATTEMPT: &str = "sys/generate-root/attempt";

pub(crate) async fn generate_root(call: &mut Call) -> Outcome {
    if let Some(encoded) = call.parsed.one("decode").map(str::to_owned) {
        return show_decoded(call, &encoded);
    }
    if call.parsed.on("generate-otp") {
        let otp =
            ids::base62(&SystemEntropy, OTP_LENGTH).map_err(|error| Failure::local(error.to_string()))?;
        call.world.say(&otp);
        return Ok(Exit::DONE);
    }
    if call.parsed.on("cancel") {
        call.send(DOING, Request::new(Op::Delete, ATTEMPT)).await?;
        return call.succeed("Root token generation canceled (if it was started)");
    }
    if call.parsed.on("status") {
        let found = call.send(DOING, Request::new(Op::Read, ATTEMPT)).await?;
        return show(call, &whole(found.as_ref()));
    }
    if call.parsed.on("init") {
        let mut body = call.given(&["otp"]);
        body.extend(pgp_keys::one(call, "pgp-key")?.map(|key| ("pgp_key".to_owned(), key)));
        let found = call.put(DOING, ATTEMPT, &object(body)).await?;
        return show(call, &whole(found.as_ref()));
    }
    let state = give_key(call, DOING, ATTEMPT, "sys/generate-root/update").await?;
    show(call, &state)
}

fn show(call: &mut Call, state: &Node) -> Outcome {
    if call.format != Format::Table || call.parsed.one("field").is_some() {
        return call.show_data(state);
    }
    let of = |name: &str| text(state, name);
    let mut rows = vec![
        ("Nonce", of("nonce")),
        ("Started", of("started")),
        ("Progress", format!("{}/{}", of("progress"), of("required"))),
        ("Complete", of("complete")),
    ];
    let optional = [
        ("PGP Fingerprint", "pgp_fingerprint"),
        ("Encoded Token", "encoded_token"),
        ("OTP", "otp"),
        ("OTP Length", "otp_length"),
    ];
    rows.extend(
        optional.into_iter().map(|(title, name)| (title, of(name))).filter(|(_, value)| !value.is_empty()),
    );
    if !of("otp").is_empty() {
        call.world
            .tell("Keep the OTP: it alone turns the encoded token, which comes at the end, into the token.");
    }
    let rows: Vec<_> = rows.into_iter().map(|(title, value)| vec![title.to_owned(), value]).collect();
    call.world.say(&columns(&rows));
    Ok(Exit::DONE)
}

fn show_decoded(call: &mut Call, encoded: &str) -> Outcome {
    let otp = call.parsed.one("otp").ok_or_else(|| Failure::local("-decode needs -otp as well"))?.to_owned();
    let token = match encoded {
        "-" => {
            let read = call.world.stdin_trimmed();
            // EXPOSE: decoded for the caller.
            decode(read.as_ref().map_or("", |text| text.expose()), &otp)?
        }
        encoded => decode(encoded, &otp)?,
    };
    if call.format == Format::Table {
        call.world.say(&token);
        return Ok(Exit::DONE);
    }
    call.show_data(&map([("token", Node::from(token.as_str()))]))
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
