//! `sys/tools`: random bytes and digests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffre_api::coerce::LooseInt;
use coffre_api::sys::tools::{Hash, HashInput, HashOutput, Random, RandomInput, RandomOutput};
use coffre_api::{Refusal, SecretField};
use coffre_crypto::digest::Algorithm;
use coffre_engine::{Cx, Reply, Serve};
use coffre_secret::{SecretText, SecretVec};

use super::Sys;

/// Bytes of one draw, as in Vault.
const MAX_RANDOM: usize = 128 << 10;

impl Serve<Random> for Sys {
    async fn serve(&self, cx: Cx<'_>, input: RandomInput) -> Result<Reply<RandomOutput>, Refusal> {
        let form = Form::of(input.format.as_deref(), Form::Base64)?;
        let mut bytes = SecretVec::new(vec![0; wanted_bytes(&input)?]);
        cx.entropy().fill(bytes.expose_mut()).map_err(Refusal::bug)?;
        // EXPOSE: what the caller asked for.
        let text = SecretText::new(form.write(bytes.expose()));
        Ok(Reply::data(RandomOutput { random_bytes: SecretField::new(text) }))
    }
}

/// The number in the path wins; a single word in the path is a source or a number.
fn wanted_bytes(input: &RandomInput) -> Result<usize, Refusal> {
    let in_path = match (input.source.as_str(), input.urlbytes) {
        ("" | "platform", number) => number,
        ("seal" | "all", _) => {
            return Err(Refusal::invalid("this server draws from one source: platform"));
        }
        (word, None) => {
            let number = word.parse().map_err(|_| Refusal::invalid("error parsing url-set byte count"))?;
            Some(LooseInt(number))
        }
        (_, Some(_)) => return Err(Refusal::invalid("unsupported entropy source: use platform")),
    };
    let number = in_path.or(input.bytes).map_or(32, |LooseInt(number)| number);
    match usize::try_from(number) {
        Ok(1..=MAX_RANDOM) => usize::try_from(number).map_err(Refusal::bug),
        _ => Err(Refusal::invalid("\"bytes\" must be at least 1 and at most 131072")),
    }
}

impl Serve<Hash> for Sys {
    async fn serve(&self, _: Cx<'_>, input: HashInput) -> Result<Reply<HashOutput>, Refusal> {
        let form = Form::of(input.format.as_deref(), Form::Hex)?;
        let name = input.urlalgorithm.or(input.algorithm).unwrap_or_else(|| "sha2-256".into());
        let algorithm = Algorithm::by_name(&name).ok_or_else(|| {
            Refusal::invalid(
                "unsupported algorithm: use sha2-224, sha2-256, sha2-384, sha2-512, sha3-256, sha3-384 or sha3-512",
            )
        })?;
        let input = input.input.ok_or_else(|| Refusal::invalid("missing input"))?;
        // EXPOSE: decoded and digested; both texts are wiped.
        let bytes = SecretVec::new(
            STANDARD
                .decode(input.expose())
                .map_err(|_| Refusal::invalid("unable to decode input as base64"))?,
        );
        Ok(Reply::data(HashOutput { sum: form.write(&algorithm.digest(bytes.expose())) }))
    }
}

/// How bytes are written.
#[derive(Clone, Copy)]
enum Form {
    Hex,
    Base64,
}

impl Form {
    fn of(word: Option<&str>, usual: Self) -> Result<Self, Refusal> {
        match word {
            None | Some("") => Ok(usual),
            Some("hex") => Ok(Self::Hex),
            Some("base64") => Ok(Self::Base64),
            Some(_) => Err(Refusal::invalid("unsupported encoding format; must be \"hex\" or \"base64\"")),
        }
    }

    fn write(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => hex::encode(bytes),
            Self::Base64 => STANDARD.encode(bytes),
        }
    }
}
