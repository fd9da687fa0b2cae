//! What every backend must do, as a suite: fixed cases, then a random history compared with a model.
//!
//! A backend's test gives an empty store to [`check`]. The suite reports the first deviation instead of panicking,
//! so that it can live here, beside the trait it explains.

use std::collections::BTreeMap;

use coffre_ambient::SeededEntropy;

use crate::store::{Batch, MAX_VALUE, PAGE_BYTES, Page, Step, Store, StoreError};
use crate::{BadKey, Key};

/// How a store behaved otherwise than it must.
#[derive(Debug, thiserror::Error)]
pub enum Deviation {
    /// It answered wrongly.
    #[error("{0}")]
    Wrong(String),
    /// It failed where it must not.
    #[error("an operation failed")]
    Failed(#[from] StoreError),
    /// The suite itself used a bad key.
    #[error(transparent)]
    BadKey(#[from] BadKey),
}

/// Runs everything against this empty store; `seed` chooses the random history, `steps` its length.
pub async fn check(store: &dyn Store, seed: u64, steps: u32) -> Result<(), Deviation> {
    single_records(store).await?;
    batches(store).await?;
    expectations(store).await?;
    limits(store).await?;
    pages(store).await?;
    history(store, seed, steps).await
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, wanted: &T) -> Result<(), Deviation> {
    if found == wanted {
        return Ok(());
    }
    Err(Deviation::Wrong(format!("{what}: found {found:?}, wanted {wanted:?}")))
}

async fn empty(store: &dyn Store) -> Result<(), Deviation> {
    store.transact(Batch::new().delete_prefix("")).await?;
    same("after deleting everything", &store.list_page("", None, 9).await?, &Page::default())
}

async fn single_records(store: &dyn Store) -> Result<(), Deviation> {
    same("a fresh store", &store.list_page("", None, 9).await?, &Page::default())?;
    let key = Key::new("a/é b")?;
    same("a missing record", &store.get(&key).await?, &None)?;
    store.delete(key.clone()).await?;
    for value in [vec![], vec![0, 255], vec![7; 100_000]] {
        store.put(key.clone(), value.clone()).await?;
        same("a record", &store.get(&key).await?, &Some(value))?;
    }
    store.delete(key.clone()).await?;
    same("a deleted record", &store.get(&key).await?, &None)
}

async fn batches(store: &dyn Store) -> Result<(), Deviation> {
    let [a, b, c] = [Key::new("b/a")?, Key::new("b/b")?, Key::new("c")?];
    let batch = Batch::new()
        .put(a.clone(), vec![1])
        .put(c.clone(), vec![3])
        .delete_prefix("b/")
        .put(b.clone(), vec![2])
        .put(b.clone(), vec![22])
        .delete(c.clone());
    store.transact(batch).await?;
    same("deleted by prefix", &store.get(&a).await?, &None)?;
    same("put after that, twice", &store.get(&b).await?, &Some(vec![22]))?;
    same("put, then deleted", &store.get(&c).await?, &None)?;
    store.transact(Batch::new()).await?;
    store.put(Key::new("ba")?, vec![]).await?;
    store.transact(Batch::new().delete_prefix("b/")).await?;
    same("only what begins so", &store.list_page("", None, 9).await?.keys, &vec!["ba".to_owned()])?;
    empty(store).await
}

async fn expectations(store: &dyn Store) -> Result<(), Deviation> {
    let [a, b] = [Key::new("a")?, Key::new("b")?];
    let claim =
        |value| Batch::new().put(b.clone(), vec![9]).expect_absent(a.clone()).put(a.clone(), vec![value]);
    store.transact(claim(1)).await?;
    store.delete(b.clone()).await?;
    match store.transact(claim(2)).await {
        Err(StoreError::Exists(key)) => same("the key that exists", &key, &a)?,
        other => return Err(Deviation::Wrong(format!("a second claim gave {other:?}"))),
    }
    same("the claimed record", &store.get(&a).await?, &Some(vec![1]))?;
    same("the rest of a refused batch", &store.get(&b).await?, &None)?;
    empty(store).await
}

async fn limits(store: &dyn Store) -> Result<(), Deviation> {
    let longest = Key::new("k".repeat(crate::MAX_KEY))?;
    store.put(longest.clone(), vec![1]).await?;
    same("the longest key", &store.get(&longest).await?, &Some(vec![1]))?;
    let too_large = Batch::new().put(Key::new("x")?, vec![1]).put(Key::new("y")?, vec![0; MAX_VALUE + 1]);
    match store.transact(too_large).await {
        Err(StoreError::TooLarge(_)) => {}
        other => return Err(Deviation::Wrong(format!("a value that is too large gave {other:?}"))),
    }
    same("the rest of a refused batch", &store.get(&Key::new("x")?).await?, &None)?;
    empty(store).await
}

async fn pages(store: &dyn Store) -> Result<(), Deviation> {
    let keys = ["a", "a!", "a/", "a/b", "a/\u{10FFFF}", "a/\u{10FFFF}z", "a0", "b", "é"];
    let mut batch = Batch::new();
    for key in keys.iter().rev() {
        batch = batch.put(Key::new(*key)?, vec![]);
    }
    store.transact(batch).await?;
    type Case<'a> = (&'a str, Option<&'a str>, usize, &'a [&'a str], bool);
    let cases: [Case<'_>; 10] = [
        ("", None, 99, &keys, false),
        ("", None, 9, &keys, false),
        ("", None, 8, keys.get(..8).unwrap_or_default(), true),
        ("", None, 0, &[], true),
        ("zz", None, 0, &[], false),
        ("a/", None, 2, &["a/", "a/b"], true),
        ("a/", Some("a/b"), 9, &["a/\u{10FFFF}", "a/\u{10FFFF}z"], false),
        ("", Some("a/\u{10FFFF}\u{10FFFF}"), 2, &["a0", "b"], true),
        ("a", Some(""), 1, &["a"], true),
        ("a", Some("b"), 9, &[], false),
    ];
    for (prefix, after, limit, wanted, more) in cases {
        let wanted = Page { keys: wanted.iter().map(|key| (*key).to_owned()).collect(), more };
        let what = format!("the page of {prefix:?} after {after:?}, at most {limit}");
        same(&what, &store.list_page(prefix, after, limit).await?, &wanted)?;
        let read = store.read_page(prefix, after, limit).await?;
        let keys = read.records.into_iter().map(|(key, _)| key).collect();
        same(&format!("the records of {what}"), &Page { keys, more: read.more }, &wanted)?;
    }
    empty(store).await?;
    large_pages(store).await
}

/// A page of records ends before it becomes too large, and loses none.
async fn large_pages(store: &dyn Store) -> Result<(), Deviation> {
    let value = |n: u8| vec![n; PAGE_BYTES / 2];
    let batch = (0..5).try_fold(Batch::new(), |batch, n| {
        Ok::<_, BadKey>(batch.put(Key::new(format!("large/{n}"))?, value(n)))
    })?;
    store.transact(batch).await?;
    let (mut after, mut found): (Option<String>, Vec<u8>) = (None, Vec::new());
    loop {
        let page = store.read_page("large/", after.as_deref(), 99).await?;
        let small =
            page.records.len() <= 2 && page.records.iter().all(|(_, value)| value.len() == PAGE_BYTES / 2);
        same("pages of large records are small", &small, &true)?;
        found.extend(page.records.iter().filter_map(|(_, value)| value.first()));
        after = page.records.last().map(|(key, _)| key.clone());
        if !page.more || after.is_none() {
            break;
        }
    }
    same("large records over pages", &found, &vec![0, 1, 2, 3, 4])?;
    empty(store).await
}

/// Random batches over few keys, so that they collide; after each the whole content is compared.
async fn history(store: &dyn Store, seed: u64, steps: u32) -> Result<(), Deviation> {
    let random = SeededEntropy::new(seed);
    let mut model = BTreeMap::<String, Vec<u8>>::new();
    for step in 0..steps {
        let batch = random_batch(&random)?;
        let refused = batch.absent().iter().any(|key| model.contains_key(key.as_str()));
        let outcome = store.transact(batch.clone()).await;
        match (&outcome, refused) {
            (Ok(()), false) => apply_to_model(&mut model, batch),
            (Err(StoreError::Exists(_)), true) => {}
            _ => return Err(Deviation::Wrong(format!("seed {seed} step {step}: {outcome:?}"))),
        }
        let page = store.list_page("", None, 1_000).await?;
        same(&format!("keys at seed {seed} step {step}"), &page.keys, &model.keys().cloned().collect())?;
        let probe = random_key(&random)?;
        let wanted = model.get(probe.as_str()).cloned();
        same(&format!("value at seed {seed} step {step}"), &store.get(&probe).await?, &wanted)?;
    }
    empty(store).await
}

/// A batch over a small set of keys.
pub fn random_batch(random: &SeededEntropy) -> Result<Batch, BadKey> {
    let mut batch = Batch::new();
    if random.below(4) == 0 {
        batch = batch.expect_absent(random_key(random)?);
    }
    for _ in 0..=random.below(5) {
        batch = match random.below(8) {
            0..=4 => {
                let len = usize::try_from(random.below(300)).unwrap_or(0);
                let fill = u8::try_from(random.below(256)).unwrap_or(0);
                batch.put(random_key(random)?, vec![fill; len])
            }
            5 | 6 => batch.delete(random_key(random)?),
            _ => batch.delete_prefix(format!("k{}/", random.below(4))),
        };
    }
    Ok(batch)
}

fn random_key(random: &SeededEntropy) -> Result<Key, BadKey> {
    Key::new(format!("k{}/{}", random.below(4), random.below(12)))
}

/// What a batch whose expectations hold does to a map.
pub fn apply_to_model(model: &mut BTreeMap<String, Vec<u8>>, batch: Batch) {
    for step in batch.into_steps() {
        match step {
            Step::Put(key, value) => drop(model.insert(key.into_string(), value)),
            Step::Delete(key) => drop(model.remove(key.as_str())),
            Step::DeletePrefix(prefix) => model.retain(|key, _| !key.starts_with(&prefix)),
        }
    }
}
