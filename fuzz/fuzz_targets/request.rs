//! The whole kernel, in memory: any sequence of requests is answered, none with an internal error, and without a token
//! only the public endpoints answer.
//!
//! An input is text. Each line is a request: a letter for the operation (`r`ead, `l`ist, `w`rite, `p`atch, `d`elete), a
//! path, and, after a space, a body.
#![no_main]

use std::sync::Arc;

use coffre_ambient::{ManualClock, SeededEntropy, Wall};
use coffre_api::{Kind, Op, RawInput, VaultPath};
use coffre_audit::Outgoing;
use coffre_core::{Incoming, Kernel, Settings};
use coffre_secret::SecretText;
use coffre_storage::Memory;
use libfuzzer_sys::fuzz_target;

/// Requests of one input that are tried; later lines are left out.
const MOST: usize = 12;

/// What answers without a token. The reviewed list is in the product's tests; these are the beginnings of its lines.
const PUBLIC: [&str; 7] = [
    "sys/init",
    "sys/seal-status",
    "sys/unseal",
    "sys/health",
    "sys/leader",
    "sys/wrapping/",
    "sys/internal/ui/mounts",
];

fuzz_target!(|text: &str| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(play(text));
});

async fn play(text: &str) {
    // No audit device over the API: it would write files where the input says.
    let settings = Settings { audit_over_http: false, ..Settings::default() };
    let clock = Arc::new(ManualClock::starting_at(Wall::from_secs(1_700_000_000)));
    let kernel = Kernel::new(Arc::new(Memory::new()), clock, Arc::new(SeededEntropy::new(1)), settings);
    kernel.start_dev(Some(SecretText::new("root".to_owned()))).await.expect("a development server");
    for line in text.lines().take(MOST) {
        let Some(request) = Request::parse(line) else { continue };
        let sealed = kernel.active().is_none();
        let nobody = kernel.handle(request.incoming(None)).await.into_outgoing();
        if let Outgoing::Reply(_) = nobody {
            let path = request.path.as_str();
            let public = PUBLIC.iter().any(|known| path.starts_with(known)) || path.ends_with("login");
            assert!(public, "{path} answered without a token");
        }
        let answer = kernel.handle(request.incoming(Some("root"))).await.into_outgoing();
        match answer {
            Outgoing::Refused(refusal) => {
                assert_ne!(refusal.kind(), Kind::Bug, "internal error at {line:?}: {:?}", refusal.cause());
            }
            Outgoing::AuditDown => panic!("no device, yet audit is down"),
            Outgoing::Reply(_) => {
                let open = PUBLIC.iter().any(|known| request.path.as_str().starts_with(known));
                assert!(!sealed || open, "{} answered while sealed", request.path);
            }
        }
    }
}

struct Request<'a> {
    op: Op,
    path: VaultPath,
    trailing_slash: bool,
    body: &'a str,
}

impl<'a> Request<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let op = match line.chars().next()? {
            'r' => Op::Read,
            'l' => Op::List,
            'w' => Op::Write,
            'p' => Op::Patch,
            'd' => Op::Delete,
            _ => return None,
        };
        let (path, body) = line[1..].trim_start().split_once(' ').unwrap_or((line[1..].trim_start(), ""));
        let trailing_slash = path.ends_with('/');
        Some(Self { op, path: VaultPath::parse(path).ok()?, trailing_slash, body })
    }

    fn incoming(&self, token: Option<&str>) -> Incoming {
        let body = SecretText::new(self.body.to_owned());
        Incoming {
            op: self.op,
            path: self.path.clone(),
            trailing_slash: self.trailing_slash,
            token: token.map(|token| SecretText::new(token.to_owned())),
            wrap_ttl: None,
            raw: RawInput::from_json(body).unwrap_or_else(|_| RawInput::empty()),
            headers: Vec::new(),
            open: coffre_api::OpenCeremonies::default(),
            peer: None,
        }
    }
}
