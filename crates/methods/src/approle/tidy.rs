//! Removing what is expired or left behind by a crash between two steps. Safe at any time and as often as one likes.

use coffre_api::approle::TidySecretIds;
use coffre_api::{Nothing, Refusal};
use coffre_barrier::View;
use coffre_engine::{Cx, MountCx, Reply, Serve, storage};

use super::AppRole;
use super::model::{ACCESSORS, Accessor, SECRET_IDS, accessor_key, secret_id_key};
use super::records::{self, read, removal};

/// How many records are looked at between two questions to the storage.
const PAGE: usize = 500;

/// How many pages the background looks at in one go.
const AT_ONCE: usize = 4;

/// How far the background has come, round after round.
#[derive(Debug, Default)]
pub(super) struct Round {
    in_accessors: bool,
    after: Option<String>,
}

impl Serve<TidySecretIds> for AppRole {
    /// Works inline and page by page. Each record is looked at again under its own lock before it is removed, so that
    /// no login loses a valid secret id to a stale look.
    async fn serve(&self, cx: Cx<'_>, _: Nothing) -> Result<Reply<Nothing>, Refusal> {
        let mut round = Round::default();
        while !step(cx.on_mount(), &mut round).await? {}
        Ok(Reply::accepted(None).warn("Tidy operation done: expired secret ids are removed."))
    }
}

/// Looks at some more records; what is left waits for the next call.
pub(super) async fn go_on(cx: MountCx<'_>, round: &mut Round) -> Result<(), Refusal> {
    for _ in 0..AT_ONCE {
        if step(cx, round).await? {
            break;
        }
    }
    Ok(())
}

/// Looks at one page; says whether the round is done, and the next one begins.
async fn step(cx: MountCx<'_>, round: &mut Round) -> Result<bool, Refusal> {
    let folder = if round.in_accessors { ACCESSORS } else { SECRET_IDS };
    let page = page(cx.view()?, folder, round.after.take()).await?;
    for (generation, name) in &page.children {
        if round.in_accessors {
            tidy_accessor(cx, generation, name).await?;
        } else {
            tidy_secret_id(cx, generation, name).await?;
        }
    }
    let (is_last, has_ended) = (round.in_accessors, page.next.is_none());
    round.after = page.next;
    round.in_accessors = is_last != has_ended;
    Ok(is_last && has_ended)
}

/// Some keys below a prefix, as the two segments after it.
struct Page {
    children: Vec<(String, String)>,
    /// Where to go on, if there is more.
    next: Option<String>,
}

/// The next page of a folder, in the order of the keys; what is written meanwhile may or may not be seen.
async fn page(view: &View, prefix: &str, after: Option<String>) -> Result<Page, Refusal> {
    let listing = view.scan(prefix, after.as_deref(), PAGE).await.map_err(storage)?;
    let split = |key: &String| {
        let (generation, name) = key.strip_prefix(prefix)?.split_once('/')?;
        Some((generation.to_owned(), name.to_owned()))
    };
    let children = listing.names.iter().filter_map(split).collect();
    let next = listing.names.into_iter().next_back().filter(|_| listing.more);
    Ok(Page { children, next })
}

/// Removes one secret id if it is dead, having looked twice: once cheaply, once under its lock.
async fn tidy_secret_id(cx: MountCx<'_>, generation: &str, hash: &str) -> Result<(), Refusal> {
    let view = cx.view()?;
    if !is_dead(cx, generation, hash).await? {
        return Ok(());
    }
    let _exclusive = cx.lock(&secret_id_key(generation, hash)).await;
    if is_dead(cx, generation, hash).await?
        && let Some(record) = records::secret_id(view, generation, hash).await?
    {
        view.transact(removal(generation, hash, &record.accessor)).await.map_err(storage)?;
    }
    Ok(())
}

/// Expired, or left over from a role that is gone. A role is stored before its first secret id and its generation
/// never comes again, so who is not live now never will be.
async fn is_dead(cx: MountCx<'_>, generation: &str, hash: &str) -> Result<bool, Refusal> {
    let view = cx.view()?;
    let Some(record) = records::secret_id(view, generation, hash).await? else { return Ok(false) };
    Ok(record.is_expired(cx.now()) || !records::is_live(view, &record.role, generation).await?)
}

/// Removes an accessor whose secret id is gone. Both are always written together, so a missing one stays missing.
async fn tidy_accessor(cx: MountCx<'_>, generation: &str, accessor: &str) -> Result<(), Refusal> {
    let view = cx.view()?;
    let key = accessor_key(generation, accessor);
    let Some(Accessor { secret_id_hash }) = read(view, &key).await? else { return Ok(()) };
    if records::secret_id(view, generation, &secret_id_hash).await?.is_none() {
        view.delete(&key).await.map_err(storage)?;
    }
    Ok(())
}
