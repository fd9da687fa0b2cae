//! Leases are taken within a budget and only if they live as long as promised; each one that was taken is ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use coffre_ambient::SeededEntropy;
use coffre_rotation::{Record, Target as Name};

use super::super::leases::{Lease, Token};
use super::*;
use crate::FailureKind;

const DAY: Duration = Duration::from_secs(86_400);

/// A vault of which only the leases are there.
#[derive(Default)]
struct Fake {
    live: Mutex<BTreeMap<String, String>>,
    made: Mutex<u32>,
    token: Token,
}

#[derive(Clone, Default)]
struct Shared(Arc<Fake>);

impl Shared {
    fn ids(&self) -> Vec<String> {
        self.0.live.lock().unwrap().keys().cloned().collect()
    }
}

fn ready<'a, T: Send + 'a>(value: T) -> BoxFuture<'a, Result<T, Failure>> {
    Box::pin(std::future::ready(Ok(value)))
}

impl Leases for Shared {
    fn issue(&self) -> BoxFuture<'_, Result<Lease, Failure>> {
        let mut made = self.0.made.lock().unwrap();
        *made += 1;
        let (id, username) = (format!("database/creds/api/{made}"), format!("v-{made}"));
        self.0.live.lock().unwrap().insert(id.clone(), username.clone());
        ready(Lease { id, duration: DAY, username, password: "CANARY".into() })
    }

    fn renew<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool, Failure>> {
        ready(self.0.live.lock().unwrap().contains_key(id))
    }

    fn revoke<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), Failure>> {
        self.0.live.lock().unwrap().remove(id);
        ready(())
    }

    fn live(&self) -> BoxFuture<'_, Result<Option<u64>, Failure>> {
        ready(u64::try_from(self.ids().len()).ok())
    }

    fn longest(&self) -> BoxFuture<'_, Result<Option<Duration>, Failure>> {
        ready(Some(7 * DAY))
    }

    fn token(&self) -> BoxFuture<'_, Result<Token, Failure>> {
        ready(self.0.token)
    }
}

impl Login for Shared {
    fn works<'a>(&'a self, user: &'a str, _: &'a SecretText) -> BoxFuture<'a, Result<bool, Failure>> {
        ready(self.0.live.lock().unwrap().values().any(|name| name == user))
    }
}

fn target(vault: &Shared, budget: Budget) -> Dynamic {
    let place = Place { login: Box::new(vault.clone()), fields: vec![("host".to_owned(), "db".into())] };
    Dynamic::new(vault.clone(), budget, 7 * DAY, Some(place))
}

fn record() -> Record {
    Record::new(Name::new("database/api").unwrap(), Kind::Dynamic, "i".repeat(32), 0, now())
}

fn now() -> Wall {
    Wall::from_secs(1_800_000_000)
}

fn at<'a>(
    record: &'a Record,
    document: Option<&'a Document>,
    earlier: Option<&'a Document>,
    entropy: &'a SeededEntropy,
) -> At<'a> {
    At { record, document, earlier, fence: 1, now: now(), until: now().plus(DAY), entropy }
}

#[tokio::test]
async fn a_user_takes_over_from_the_one_before_and_no_lease_is_left() {
    let (vault, record, entropy) = (Shared::default(), record(), SeededEntropy::new(1));
    let target = target(&vault, Budget::default());
    let mut document: Option<Document> = None;
    for round in 1..=3 {
        let pending = target.prepare(at(&record, document.as_ref(), None, &entropy)).await.unwrap();
        assert_eq!(pending.principal.as_deref(), Some(format!("v-{round}").as_str()));
        target.verify(at(&record, document.as_ref(), None, &entropy), &pending).await.unwrap();
        let promoted = target.promote(at(&record, document.as_ref(), None, &entropy), &pending).unwrap();
        assert_eq!(promoted.field("password").unwrap().expose(), "CANARY");
        assert_eq!(promoted.get::<String>("host").as_deref(), Some("db"));
        let earlier = document.replace(promoted);
        let here = at(&record, document.as_ref(), earlier.as_ref(), &entropy);
        assert!(target.works(here, Which::Active).await.unwrap());
        for _ in 0..2 {
            target.retire(here, round - 1).await.unwrap();
        }
        assert_eq!(vault.ids(), [format!("database/creds/api/{round}")]);
    }
    let here = at(&record, document.as_ref(), document.as_ref(), &entropy);
    assert_eq!(target.retire(here, 3).await.unwrap_err().kind(), FailureKind::Conflict);
    let pending = target.prepare(here).await.unwrap();
    for _ in 0..2 {
        target.undo(here, &pending).await.unwrap();
    }
    assert_eq!(vault.ids(), ["database/creds/api/3"]);
    assert_eq!(target.verify(here, &pending).await.unwrap_err().kind(), FailureKind::Permanent);
    vault.0.live.lock().unwrap().clear();
    assert!(!target.works(here, Which::Active).await.unwrap(), "a lease that is gone is drift");
}

#[tokio::test]
async fn beyond_the_budget_it_halts_instead_of_making_a_user() {
    let (vault, record, entropy) = (Shared::default(), record(), SeededEntropy::new(1));
    let here = at(&record, None, None, &entropy);
    let few = target(&vault, Budget { live: 2, per_minute: 9 });
    for _ in 0..2 {
        few.prepare(here).await.unwrap();
    }
    let refused = few.prepare(here).await.unwrap_err();
    assert_eq!(refused.kind(), FailureKind::Config);
    assert!(refused.message().contains("max_live_leases is 2"), "{refused}");
    assert!(few.check(here).await.join("\n").contains("max_live_leases is 2"));
    let slow = target(&vault, Budget { live: 99, per_minute: 3 });
    for _ in 0..3 {
        slow.prepare(here).await.unwrap();
    }
    assert_eq!(slow.prepare(here).await.unwrap_err().kind(), FailureKind::Config);
    assert_eq!(vault.ids().len(), 5);
    let later = At { now: now().plus(Duration::from_secs(60)), ..here };
    slow.prepare(later).await.unwrap();
}

#[tokio::test]
async fn a_lease_that_would_end_too_early_is_not_taken() {
    let token = Token { ttl: Some(DAY), ..Token::default() };
    let vault = Shared(Arc::new(Fake { token, ..Fake::default() }));
    let (record, entropy) = (record(), SeededEntropy::new(1));
    let here = at(&record, None, None, &entropy);
    let target = target(&vault, Budget::default());
    let refused = target.prepare(here).await.unwrap_err();
    assert_eq!(refused.kind(), FailureKind::Config);
    assert!(refused.message().contains("168h") && refused.message().contains("24h"), "{refused}");
    assert_eq!(target.check(here).await, [refused.message()]);
    assert_eq!(vault.ids(), Vec::<String>::new());
}
