//! The yardstick: an axum server that knows one answer.

use std::fs;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::any;

/// Serves the bytes of a file for every path. Arguments: address, file.
pub(super) fn serve(args: &[String]) -> Result<()> {
    let [address, file] = args else { anyhow::bail!("the bare server needs an address and a file") };
    let answer: Arc<[u8]> = fs::read(file).with_context(|| format!("reading {file}"))?.into();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener =
            tokio::net::TcpListener::bind(address).await.with_context(|| format!("binding {address}"))?;
        let answer = Bytes::from_owner(answer);
        // The request's body is read, as a server that does something with it must.
        let reply = move |_body: Bytes| {
            let answer = answer.clone();
            async move { ([(CONTENT_TYPE, "application/json")], answer) }
        };
        axum::serve(listener, Router::new().route("/v1/{*path}", any(reply))).await.context("serving")
    })
}
