//! Replies of a Redis server: any bytes are a reply or an error, the same in whatever pieces they arrive, and a reply is
//! never larger than what was sent.
#![no_main]

use coffre_database::redis::wire::{Broken, Reply, command, reply};
use libfuzzer_sys::fuzz_target;
use tokio::io::BufReader;

fuzz_target!(|data: (u8, &[u8])| {
    let (piece, bytes) = data;
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let whole = all(1 << 20, bytes).await;
        let pieces = all(usize::from(piece) + 1, bytes).await;
        assert_eq!(written(&whole.0), written(&pieces.0), "it depends on how the bytes arrive");
        assert_eq!(whole.1, pieces.1);
        let size: usize = whole.0.iter().map(size).sum();
        assert!(size <= bytes.len(), "{size} bytes out of {}", bytes.len());
        let again = all(1 << 20, &written(&whole.0)).await;
        assert_eq!(written(&again.0), written(&whole.0), "writing a reply changed it");
        for one in &whole.0 {
            sent(one).await;
        }
    });
});

/// All replies in these bytes, and why there is no further one.
async fn all(buffer: usize, bytes: &[u8]) -> (Vec<Reply>, Broken) {
    let mut stream = BufReader::with_capacity(buffer, bytes);
    let mut found = Vec::new();
    loop {
        match reply(&mut stream).await {
            Ok(one) => found.push(one),
            Err(broken) => return (found, broken),
        }
    }
}

/// What a server would send for them. Numbers are not kept.
fn written(replies: &[Reply]) -> Vec<u8> {
    let mut out = Vec::new();
    for one in replies {
        match one {
            Reply::Simple(text) => line(&mut out, "+", text),
            Reply::Error(code, detail) if detail.is_empty() => line(&mut out, "-", code),
            Reply::Error(code, detail) => line(&mut out, "-", &format!("{code} {detail}")),
            Reply::Int => line(&mut out, ":", "0"),
            Reply::Bulk(None) => line(&mut out, "$", "-1"),
            Reply::Bulk(Some(bytes)) => {
                line(&mut out, "$", &bytes.len().to_string());
                out.extend_from_slice(bytes.expose());
                out.extend_from_slice(b"\r\n");
            }
            Reply::Array(None) => line(&mut out, "*", "-1"),
            Reply::Array(Some(items)) => {
                line(&mut out, "*", &items.len().to_string());
                out.extend(written(items));
            }
        }
    }
    out
}

fn line(out: &mut Vec<u8>, kind: &str, text: &str) {
    out.extend_from_slice(format!("{kind}{text}\r\n").as_bytes());
}

fn size(one: &Reply) -> usize {
    match one {
        Reply::Simple(text) => text.len(),
        Reply::Error(code, detail) => code.len() + detail.len(),
        Reply::Bulk(Some(bytes)) => bytes.len(),
        Reply::Array(Some(items)) => items.iter().map(size).sum(),
        _ => 0,
    }
}

/// An array of strings is what a command is; as one it is read back with the same arguments.
async fn sent(one: &Reply) {
    let _any = (one.field("flags"), one.is_nil(), one.text());
    let arguments: Option<Vec<&[u8]>> = one
        .items()
        .iter()
        .map(|item| match item {
            Reply::Bulk(Some(bytes)) => Some(bytes.expose().as_slice()),
            _ => None,
        })
        .collect();
    if let Some(arguments) = arguments.filter(|arguments| !arguments.is_empty()) {
        let command = command(&arguments);
        let (read, _) = all(1 << 20, command.expose()).await;
        assert_eq!(written(&read), written(std::slice::from_ref(one)), "a command is not what was given");
    }
}
