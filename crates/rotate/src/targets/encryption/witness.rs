//! What acknowledgements in the store say of the use of an old key.

use std::sync::Arc;
use std::time::Duration;

use coffre_rotation::{Ack, Approval, WireDocument, paths};

use super::{Meter, Testimony, Witness};
use crate::{At, BoxFuture, Failure, Kv};

/// More acknowledgements than this are not read; then it counts as in use.
const MOST: usize = 2_000;

/// More approvals than this are not looked at; 8 are asked for at most.
const APPROVERS: usize = 64;

/// Reads the acknowledgements of a target below `<environment>/_rot/ack/`.
///
/// A consumer may count its decryptions ([`Ack::decrypts`]). Where one does not, or none is registered, nobody knows of all,
/// and the quiet time is measured from the second clean scan.
pub struct Acknowledgements {
    kv: Arc<dyn Kv>,
    environment: String,
    lasts: Duration,
    quiet: Duration,
}

impl Acknowledgements {
    /// Of an environment in a mount. A consumer that follows by itself is believed for `lasts` after its last word, whatever
    /// that says: `S + 2K`, as gates do. Of those that were there within `quiet` it matters whether they count.
    #[must_use]
    pub fn new(kv: Arc<dyn Kv>, environment: &str, lasts: Duration, quiet: Duration) -> Self {
        Self { kv, environment: environment.to_owned(), lasts, quiet }
    }

    async fn read(&self, at: At<'_>, gen_no: u64, kid: &str) -> Result<Testimony, Failure> {
        let folder = paths::acks(&self.environment, &at.record.target);
        let names = self.kv.list(&folder).await?;
        let (mut in_use, mut meter) = (Vec::new(), Meter::default());
        for name in names.iter().filter(|name| !name.ends_with('/')).take(MOST) {
            let Some(read) = self.kv.read(&format!("{folder}/{name}"), None).await? else { continue };
            let Some(text) = read.document else { continue };
            let written = read.created.unwrap_or(at.now);
            // EXPOSE: an acknowledgement holds no material.
            let Ok(ack) = Ack::parse(text.expose().as_bytes()) else {
                // Somebody is there, a newer version perhaps: for as long as its word would be believed it may use anything.
                if written.plus(self.lasts) >= at.now {
                    in_use.push(format!("{name} (its word is not to be understood)"));
                }
                if written.plus(self.lasts).plus(self.quiet) >= at.now {
                    meter.silent = meter.silent.saturating_add(1);
                }
                continue;
            };
            let last = ack.decrypts.as_ref().and_then(|counted| counted.get(kid));
            // No clock of a host puts it after the word that tells of it.
            meter.last = meter.last.max(last.map(|under| under.last.min(written)));
            let bound = if ack.frozen { ack.expires } else { ack.expires.min(written.plus(self.lasts)) };
            if bound.plus(self.quiet) >= at.now {
                let counts = if ack.decrypts.is_some() { &mut meter.counting } else { &mut meter.silent };
                *counts = counts.saturating_add(1);
            }
            // An older one than that: perhaps that one as well. After a rollback the active one is older, too.
            if bound >= at.now && ack.in_use <= gen_no && ack.in_use != at.record.active {
                in_use.push(name.clone());
            }
        }
        if names.len() > MOST {
            in_use.push(format!("(more than {MOST} consumers)"));
        }
        let approvals = self.approvals(&at, gen_no).await?;
        Ok(Testimony { meter, in_use, approvals })
    }

    /// The entities of those who consent. Each has one document, which the policy lets nobody else write; one that says
    /// something else than its path, was written before the key was replaced, or too long ago, counts for nobody.
    async fn approvals(&self, at: &At<'_>, gen_no: u64) -> Result<Vec<String>, Failure> {
        let target = &at.record.target;
        let Some(old) = at.record.retiring_gen(gen_no) else { return Ok(Vec::new()) };
        let folder = paths::approvals(&self.environment, target, gen_no);
        let names = self.kv.list(&folder).await?;
        let mut found = Vec::new();
        for name in names.into_iter().filter(|name| !name.ends_with('/')).take(APPROVERS) {
            let Some(read) = self.kv.read(&format!("{folder}/{name}"), None).await? else { continue };
            let Some(text) = read.document else { continue };
            // EXPOSE: an approval holds no material.
            let approval = Approval::parse(text.expose().as_bytes());
            let of = (target, gen_no, name.as_str());
            if approval.is_ok_and(|approval| approval.counts(of, old.since, read.created, at.now)) {
                found.push(name);
            } else {
                tracing::warn!(%target, generation = gen_no, who = name, "a consent does not count: it is too old, or not one of its path");
            }
        }
        Ok(found)
    }
}

impl Witness for Acknowledgements {
    fn testify<'a>(
        &'a self,
        at: At<'a>,
        gen_no: u64,
        kid: &'a str,
    ) -> BoxFuture<'a, Result<Testimony, Failure>> {
        Box::pin(self.read(at, gen_no, kid))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use coffre_ambient::{SeededEntropy, Wall};
    use coffre_rotation::{ConsumerId, Decrypts, Kind, Record, Target};
    use coffre_secret::SecretText;

    use super::*;
    use crate::{Manage, Metadata, Version};

    const NOW: Wall = Wall::from_secs(1_790_000_000);
    const DAY: u64 = 86_400;

    /// Documents that stand, and when each was written.
    struct Documents(BTreeMap<String, (String, Wall)>);

    impl Kv for Documents {
        fn read<'a>(
            &'a self,
            path: &'a str,
            _: Option<u64>,
        ) -> BoxFuture<'a, Result<Option<Version>, Failure>> {
            let version = |(text, at): &(String, Wall)| {
                let document = Some(SecretText::from(text.as_str()));
                Version { version: 1, document, destroyed: false, created: Some(*at) }
            };
            Box::pin(async move { Ok(self.0.get(path).map(version)) })
        }

        fn write<'a>(&'a self, _: &'a str, _: &'a SecretText, _: u64) -> BoxFuture<'a, Result<u64, Failure>> {
            Box::pin(async { Err(Failure::denied("nothing is written here")) })
        }

        fn list<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<String>, Failure>> {
            let below = move |path: &String| path.strip_prefix(folder)?.strip_prefix('/').map(str::to_owned);
            Box::pin(async move { Ok(self.0.keys().filter_map(below).collect()) })
        }

        fn metadata<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<Metadata>, Failure>> {
            Box::pin(async { Ok(None) })
        }

        fn manage<'a>(&'a self, _: &'a str, _: Manage) -> BoxFuture<'a, Result<(), Failure>> {
            Box::pin(async { Ok(()) })
        }

        fn server_time(&self) -> Option<Wall> {
            None
        }
    }

    fn days_ago(days: u64) -> Wall {
        Wall::from_secs(NOW.secs() - days * DAY)
    }

    /// Generation 3 was replaced forty days ago, generation 2 a hundred days ago.
    fn record(target: &Target) -> Record {
        let mut record = Record::new(target.clone(), Kind::EncryptionKey, "one".to_owned(), 4, NOW);
        let old = |gen_no: u64, since: u64| {
            let since = days_ago(since).rfc3339();
            serde_json::from_value(serde_json::json!({
                "gen": gen_no, "since": since, "earliest_retire": since, "phase": "DESTROY"
            }))
        };
        record.retiring = vec![old(2, 100).unwrap(), old(3, 40).unwrap()];
        record
    }

    async fn who(stand: &[(String, (String, Wall))], gen_no: u64) -> Vec<String> {
        let target = Target::new("encryption/master_key").unwrap();
        let (record, entropy) = (record(&target), SeededEntropy::new(1));
        let at = At {
            record: &record,
            document: None,
            earlier: None,
            fence: 1,
            now: NOW,
            until: NOW,
            entropy: &entropy,
        };
        let documents = Documents(stand.iter().cloned().collect());
        let witness = Acknowledgements::new(
            Arc::new(documents),
            "prod",
            Duration::from_secs(1),
            Duration::from_secs(DAY),
        );
        witness.approvals(&at, gen_no).await.unwrap()
    }

    fn consent(path_gen: u64, path_entity: &str, says: (u64, &str), days: u64) -> (String, (String, Wall)) {
        let target = Target::new("encryption/master_key").unwrap();
        let path = paths::approval("prod", &target, path_gen, path_entity);
        let text = Approval::new(target, says.0, says.1).write().unwrap();
        // EXPOSE: an approval holds no material.
        (path, (text.expose().to_owned(), days_ago(days)))
    }

    #[tokio::test]
    async fn a_consent_counts_once_for_its_own_path_and_generation() {
        let mut stand = vec![
            consent(3, "e-anna", (3, "e-anna"), 1),
            consent(3, "e-ben", (3, "e-ben"), 29),
            consent(3, "e-eve", (3, "e-anna"), 1),
            consent(3, "e-old", (2, "e-old"), 1),
            consent(2, "e-zoe", (2, "e-zoe"), 1),
            consent(4, "e-zoe", (4, "e-zoe"), 1),
        ];
        let mut other = consent(3, "e-else", (3, "e-else"), 1);
        other.1.0 = other.1.0.replace("master_key", "other_key");
        stand.push(other);
        let mut none = consent(3, "e-none", (3, "e-none"), 1);
        none.1.0 = "{}".to_owned();
        stand.push(none);
        assert_eq!(who(&stand, 3).await, ["e-anna", "e-ben"]);
        assert_eq!(who(&stand, 2).await, ["e-zoe"]);
        assert_eq!(who(&stand, 4).await, Vec::<String>::new(), "it is in use");
    }

    #[tokio::test]
    async fn a_consent_ends_and_is_not_given_in_advance() {
        let stand = [
            consent(3, "e-early", (3, "e-early"), 41),
            consent(3, "e-long-ago", (3, "e-long-ago"), 30),
            consent(3, "e-now", (3, "e-now"), 0),
            consent(2, "e-replaced-before", (2, "e-replaced-before"), 31),
        ];
        assert_eq!(who(&stand, 3).await, ["e-now"]);
        assert_eq!(who(&stand, 2).await, Vec::<String>::new());
    }

    async fn metered(stand: Vec<(Ack, Wall)>) -> Testimony {
        heard(4, stand).await
    }

    /// What is heard of generation 3 when this one is active.
    async fn heard(active: u64, stand: Vec<(Ack, Wall)>) -> Testimony {
        let target = Target::new("encryption/master_key").unwrap();
        let documents = stand.into_iter().map(|(ack, written)| {
            // EXPOSE: an acknowledgement holds no material.
            let text = ack.write().unwrap().expose().to_owned();
            (paths::ack("prod", &target, &ack.consumer), (text, written))
        });
        let (mut record, entropy) = (record(&target), SeededEntropy::new(1));
        record.active = active;
        let (document, earlier) = (None, None);
        let at = At { record: &record, document, earlier, fence: 1, now: NOW, until: NOW, entropy: &entropy };
        let kv = Arc::new(Documents(documents.collect()));
        let witness =
            Acknowledgements::new(kv, "prod", Duration::from_secs(3_600), Duration::from_secs(7 * DAY));
        witness.testify(at, 3, "k3").await.unwrap()
    }

    fn said(process: &str, days: u64, decrypts: Option<&[(&str, u64)]>) -> (Ack, Wall) {
        let written = days_ago(days);
        let consumer = ConsumerId::of("api", "web", "boot", process);
        let mut ack = Ack::new(consumer, 9, 4, written.plus(Duration::from_secs(3_600)));
        let under =
            |(kid, days): &(&str, u64)| ((*kid).to_owned(), Decrypts { count: 1, last: days_ago(*days) });
        ack.decrypts = decrypts.map(|list| list.iter().map(under).collect());
        (ack, written)
    }

    #[tokio::test]
    async fn decryptions_are_known_if_everybody_of_late_counts_them() {
        let counts = |days, list: &'static [(&'static str, u64)]| said("1", days, Some(list));
        let heard = metered(vec![counts(1, &[("k3", 3), ("k2", 1)]), said("2", 2, Some(&[]))]).await;
        assert_eq!(heard.meter, Meter { counting: 2, silent: 0, last: Some(days_ago(3)) });
        let heard = metered(vec![counts(1, &[]), said("2", 2, None), said("3", 30, None)]).await;
        assert_eq!(heard.meter, Meter { counting: 1, silent: 1, last: None }, "the third is long gone");
        let heard = metered(vec![counts(1, &[]), said("2", 30, Some(&[("k3", 31)]))]).await;
        assert_eq!(heard.meter.last, Some(days_ago(31)), "who is gone told of it");
        let heard = metered(vec![counts(1, &[("k3", 0)])]).await;
        assert_eq!(heard.meter.last, Some(days_ago(1)), "not after the word itself");
        assert_eq!(metered(Vec::new()).await.meter, Meter::default());
    }

    #[tokio::test]
    async fn a_word_that_cannot_be_understood_is_that_of_somebody() {
        let target = Target::new("encryption/master_key").unwrap();
        let hears = async |days| {
            let path = paths::ack("prod", &target, &ConsumerId::of("api", "web", "boot", "1"));
            let documents =
                Documents(BTreeMap::from([(path, ("{\"schema\": \"ack/9\"}".to_owned(), days_ago(days)))]));
            let witness = Acknowledgements::new(
                Arc::new(documents),
                "prod",
                Duration::from_secs(3_600),
                Duration::from_secs(7 * DAY),
            );
            let (record, entropy) = (record(&target), SeededEntropy::new(1));
            let (document, earlier) = (None, None);
            let at =
                At { record: &record, document, earlier, fence: 1, now: NOW, until: NOW, entropy: &entropy };
            let heard = witness.testify(at, 3, "k3").await.unwrap();
            (heard.in_use.len(), heard.meter.silent)
        };
        assert_eq!(hears(0).await, (1, 1));
        assert_eq!(hears(1).await, (0, 1), "it is gone, and did not count");
        assert_eq!(hears(30).await, (0, 0));
    }

    #[tokio::test]
    async fn after_a_rollback_who_uses_the_active_generation_does_not_use_the_newer_one() {
        let uses = |process: &str, in_use| {
            let (mut ack, written) = said(process, 0, None);
            ack.in_use = in_use;
            (ack, written)
        };
        let of = |in_use: u64| vec![uses("1", in_use)];
        assert_eq!(heard(2, of(2)).await.in_use, Vec::<String>::new(), "it is what everybody uses now");
        for in_use in [1, 3] {
            assert_eq!(heard(2, of(in_use)).await.in_use.len(), 1, "{in_use}");
        }
        assert_eq!(heard(4, of(2)).await.in_use.len(), 1, "an older one than that");
        assert_eq!(heard(4, of(4)).await.in_use, Vec::<String>::new());
    }
}
