//! The requests that are being answered.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use coffre_ambient::Wall;
use coffre_api::sys::host::InFlightRequest;
use coffre_api::{Op, VaultPath};

use crate::incoming::Incoming;

/// The requests that are being answered. As many as there are connections: the listener bounds them.
#[derive(Default)]
pub(crate) struct InFlight {
    next: AtomicU64,
    all: papaya::HashMap<u64, Entered>,
}

struct Entered {
    op: Op,
    path: VaultPath,
    peer: String,
    since: Wall,
}

/// A request that is being answered; it leaves the list when this is dropped, also if its task is cancelled.
pub(crate) struct Flight<'a> {
    list: &'a InFlight,
    number: u64,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.list.all.pin().remove(&self.number);
    }
}

impl InFlight {
    /// A request begins.
    pub(crate) fn enter(&self, incoming: &Incoming, since: Wall) -> Flight<'_> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let peer = incoming.peer.map(|peer| peer.to_string()).unwrap_or_default();
        let entered = Entered { op: incoming.op, path: incoming.path.clone(), peer, since };
        self.all.pin().insert(number, entered);
        Flight { list: self, number }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.all.len()
    }

    /// All of them, by their number.
    pub(crate) fn list(&self) -> BTreeMap<String, InFlightRequest> {
        let all = self.all.pin();
        let shown = all.iter().map(|(number, entered)| {
            let request = InFlightRequest {
                start_time: entered.since.rfc3339(),
                client_remote_address: entered.peer.clone(),
                request_path: format!("/v1/{}", entered.path),
                request_method: method(entered.op).into(),
            };
            (number.to_string(), request)
        });
        shown.collect()
    }
}

const fn method(op: Op) -> &'static str {
    match op {
        Op::Read => "GET",
        Op::List => "LIST",
        Op::Write => "PUT",
        Op::Patch => "PATCH",
        Op::Delete => "DELETE",
    }
}
