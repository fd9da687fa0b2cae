//! Files with the agent's token, for programs that insist on one. Only on request: a token in a file is one more copy.

use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::Entropy;
use coffre_client::{Body, Client, Op, Request};
use coffre_secret::{SecretText, SecretVec};
use tokio::sync::watch;

use crate::config::Sink;
use crate::file::{is_already, replace};
use crate::health::Health;
use crate::retry::Retry;
use crate::store::TokenNews;

/// What a sink needs.
#[derive(Clone)]
pub struct Parts {
    /// Without a token.
    pub client: Client,
    /// Where troubles are told.
    pub health: Health,
    /// For temporary names and waits.
    pub entropy: Arc<dyn Entropy>,
}

/// Name of a sink in health reports.
#[must_use]
pub fn part(sink: &Sink) -> String {
    format!("sink {}", sink.place.path.display())
}

/// Keeps a file in step with the token, until the task is dropped.
pub async fn run(sink: Sink, parts: Parts, mut tokens: watch::Receiver<TokenNews>) {
    let name = part(&sink);
    let mut retry = Retry::new(Arc::clone(&parts.entropy));
    let mut written = 0;
    loop {
        let (token, generation) = {
            let news = tokens.borrow_and_update();
            (news.token.clone(), news.generation)
        };
        let mut wait = None;
        if let Some(token) = token.filter(|_| generation != written) {
            match write(&sink, &parts, &token).await {
                Ok(()) => {
                    (written, wait) = (generation, None);
                    retry.reset();
                    parts.health.well(&name);
                    tracing::info!(file = %sink.place.path.display(), "wrote the token");
                }
                Err(why) => {
                    wait = Some(retry.next());
                    tracing::error!(file = %sink.place.path.display(), error = why, "the token could not be written");
                    parts.health.ill(&name, why);
                }
            }
        }
        let changed = tokens.changed();
        match wait {
            Some(wait) => drop(tokio::time::timeout(wait, changed).await),
            None => {
                if changed.await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn write(sink: &Sink, parts: &Parts, token: &SecretText) -> Result<(), String> {
    let bytes = match sink.wrap_ttl {
        // EXPOSE: this is the file that was asked for.
        None => SecretVec::new(token.expose().as_bytes().to_vec()),
        Some(ttl) => wrapped(&parts.client, token, ttl).await?,
    };
    if is_already(&sink.place, &bytes) {
        return Ok(());
    }
    let (place, entropy) = (sink.place.clone(), Arc::clone(&parts.entropy));
    let done = tokio::task::spawn_blocking(move || replace(&place, &bytes, entropy.as_ref())).await;
    done.map_err(|_| "writing was interrupted".to_owned())?.map_err(|error| error.to_string())
}

/// The token behind a wrapping token, as the JSON document that Vault's agent writes.
async fn wrapped(client: &Client, token: &SecretText, ttl: Duration) -> Result<SecretVec, String> {
    let asked = Request::new(Op::Write, "sys/wrapping/wrap")
        .body(Body::fields([("token", token)]))
        .wrap_ttl(ttl.as_secs().max(1).to_string());
    let answer = client.with_token(token.duplicate()).request(asked).await;
    let answer = answer.map_err(|error| format!("{error}. {}", error.advice()))?;
    let info = answer.and_then(|answer| answer.wrap_info).ok_or("the server did not wrap the token")?;
    let mut bytes = SecretVec::new(Vec::with_capacity(1_024));
    let document = serde_json::json!({
        // EXPOSE: this is the file that was asked for.
        "token": info.token.expose(), "accessor": info.accessor, "ttl": info.ttl,
        "creation_time": info.creation_time, "creation_path": info.creation_path,
    });
    // Texts and numbers always have a JSON form.
    let _ = serde_json::to_writer(bytes.expose_mut(), &document);
    Ok(bytes)
}
