//! The one thing that programs of this host may write: what they say of documents that rotate.
//!
//! A rotation waits for the word of those that use a secret. Programs that read through the agent would otherwise be
//! silent while others are heard, and a key could be used before they have it.

use coffre_client::{Body, ErrorKind};
use coffre_rotation::{Ack, ConsumerId, Target, WireDocument as _};
use http::StatusCode;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::answer::{Answer, json_answer, refuse};
use crate::store::Store;

/// The middle of the path of each.
const FOLDER: &str = "/_rot/ack/";
/// As Vault says it, and clients know it.
const NOT_THE_VERSION: &str = "check-and-set parameter did not match the current version";
/// A body may be so large.
const LARGEST: usize = 8 << 10;

/// Where an acknowledgement goes, taken from its path below `/v1/`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The path of the document that it speaks of.
    pub(super) document: String,
    consumer: ConsumerId,
}

impl Place {
    /// `<mount>/data/<environment>/_rot/ack/<target>/<consumer>`; `None` for anything else.
    pub(super) fn of(path: &str) -> Option<Self> {
        let (environment, word) = path.split_once(FOLDER)?;
        let (target, consumer) = word.rsplit_once('/')?;
        let (mount, name) = environment.rsplit_once("/data/")?;
        let sound = !mount.is_empty() && Target::new(name).is_ok() && !name.contains('/');
        let target = Target::new(target).ok().filter(|_| sound)?;
        Some(Self { document: format!("{environment}/{target}"), consumer: ConsumerId::parse(consumer)? })
    }
}

/// Passes it on under the agent's token, if it is one, and says what it says of itself.
pub(super) async fn pass_on(store: &Store, path: &str, place: &Place, body: Incoming) -> Answer {
    let Ok(bytes) = Limited::new(body, LARGEST).collect().await else {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "an acknowledgement is shorter than this");
    };
    let Some(text) = read(&bytes.to_bytes(), place, store.server_ahead()) else {
        return refuse(
            StatusCode::BAD_REQUEST,
            "this is no acknowledgement of the consumer that the path names",
        );
    };
    match store.acknowledge(path, text).await {
        Ok(version) => json_answer(StatusCode::OK, &json!({ "data": { "version": version } })),
        Err(ErrorKind::Conflict) => refuse(StatusCode::BAD_REQUEST, NOT_THE_VERSION),
        Err(ErrorKind::Denied | ErrorKind::Unauthenticated) => {
            refuse(StatusCode::FORBIDDEN, "the server does not let the agent write acknowledgements")
        }
        Err(_) => refuse(StatusCode::SERVICE_UNAVAILABLE, "the server could not be told; try again"),
    }
}

/// `ahead`: the server's time minus this host's, in seconds. Who dated it has this host's clock, and no other to compare.
fn read(bytes: &[u8], place: &Place, ahead: i64) -> Option<Body> {
    #[derive(Deserialize)]
    struct Written<'a> {
        #[serde(default)]
        options: Options,
        #[serde(borrow)]
        data: &'a RawValue,
    }
    #[derive(Default, Deserialize)]
    struct Options {
        cas: Option<u64>,
    }
    let written: Written<'_> = serde_json::from_slice(bytes).ok()?;
    let mut ack = Ack::parse(written.data.get().as_bytes()).ok()?;
    if ack.consumer != place.consumer {
        return None;
    }
    ack.redate(ahead);
    // Nothing but what was read goes on: no other options and no other fields.
    match written.options.cas {
        Some(cas) => Body::json(&json!({ "options": { "cas": cas }, "data": ack })).ok(),
        None => Body::json(&json!({ "data": ack })).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "team/kv/data/prod/_rot/ack/jwt/secret_key/api.web.b.1";

    #[test]
    fn acknowledgements_are_told_from_everything_else() {
        let place = Place::of(PATH).unwrap();
        assert_eq!(place.document, "team/kv/data/prod/jwt/secret_key");
        for other in [
            "kv/data/prod/jwt",
            "kv/data/prod/_rot/rec/jwt/x",
            "kv/data/prod/_rot/ack/x",
            "kv/data/_rot/ack/jwt/x",
            "kv/data/a/b/_rot/ack/jwt/x",
            "/data/prod/_rot/ack/jwt/x",
            "kv/metadata/prod/_rot/ack/jwt/x",
            "kv/data/prod/_rot/ack/../jwt/x",
            "kv/data/prod/_rot/ack/_rot/rec/x",
            "kv/data/prod/_rot/ack/jwt/a b",
        ] {
            assert_eq!(Place::of(other), None, "{other}");
        }
    }

    #[test]
    fn only_the_word_of_that_consumer_is_passed_on() {
        let place = Place::of(PATH).unwrap();
        let word = |consumer: &str| {
            format!(
                r#"{{"options":{{"cas":9}},"data":{{"consumer":"{consumer}","epoch":3,"in_use":2,"expires":"2026-11-22T00:00:00Z","more":"x"}}}}"#
            )
        };
        assert!(read(word("api.web.b.1").as_bytes(), &place, 0).is_some());
        assert!(read(word("api.web.b.2").as_bytes(), &place, 0).is_none());
        assert!(read(br#"{"data":{"value":"x"}}"#, &place, 0).is_none() && read(b"", &place, 0).is_none());
    }
}
