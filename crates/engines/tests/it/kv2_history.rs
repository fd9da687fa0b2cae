//! KV version 2 against a model: random histories of all operations, compared after each step.

use std::collections::BTreeMap;
use std::time::Duration;

use coffre_ambient::SeededEntropy;
use coffre_engines::kv::v2::KvV2;
use serde_json::{Map, Value, json};

use crate::rig::{Rig, in_memory};

#[derive(Clone, Default)]
struct Version {
    data: Map<String, Value>,
    /// Seconds since the start.
    deleted: Option<u64>,
    destroyed: bool,
}

#[derive(Clone, Default)]
struct Secret {
    current: u64,
    versions: BTreeMap<u64, Version>,
    max: u64,
}

impl Secret {
    fn add(&mut self, data: Map<String, Value>) {
        self.current += 1;
        self.versions.insert(self.current, Version { data, ..Version::default() });
        let max = if self.max == 0 { 10 } else { self.max };
        let current = self.current;
        self.versions.retain(|number, _| number + max > current);
    }

    fn readable(&self, number: u64, now: u64) -> bool {
        self.versions.get(&number).is_some_and(|v| !v.destroyed && v.deleted.is_none_or(|at| at > now))
    }
}

struct World {
    rig: Rig,
    entropy: SeededEntropy,
    secrets: BTreeMap<&'static str, Secret>,
    now: u64,
}

const PATHS: [&str; 3] = ["a", "a/b", "c"];

impl World {
    async fn step(&mut self) -> String {
        let path = PATHS[usize::try_from(self.entropy.below(3)).unwrap()];
        let some = self.entropy.below(6) + self.secrets.get(path).map_or(0, |s| s.current.saturating_sub(4));
        match self.entropy.below(12) {
            0..=2 => self.write(path).await,
            3 => self.patch(path).await,
            4 => self.delete_latest(path).await,
            5 => self.change(path, "delete", some).await,
            6 => self.change(path, "undelete", some).await,
            7 => self.change(path, "destroy", some).await,
            8 => self.limit(path).await,
            9 if self.entropy.below(4) == 0 => {
                assert_eq!(self.rig.delete(&format!("metadata/{path}")).await.status, 204);
                self.secrets.remove(path);
                format!("remove {path}")
            }
            10 => {
                self.rig.clock.advance(Duration::from_secs(1));
                self.now += 1;
                "wait".into()
            }
            _ => self.compare(path, some).await,
        }
    }

    async fn write(&mut self, path: &'static str) -> String {
        let n = self.entropy.below(1_000);
        let current = self.secrets.get(path).map_or(0, |s| s.current);
        let cas = [None, Some(current), Some(self.entropy.below(4))][usize::try_from(n % 3).unwrap()];
        let data = json!({ "n": n, "k": path });
        let options = cas.map_or(json!({}), |cas| json!({ "cas": cas }));
        let done = self.rig.put(&format!("data/{path}"), json!({ "data": data, "options": options })).await;
        let allowed = cas.is_none_or(|cas| cas == current);
        assert_eq!(done.status, if allowed { 200 } else { 400 }, "write {path} cas {cas:?}");
        if allowed {
            let secret = self.secrets.entry(path).or_default();
            secret.add(data.as_object().unwrap().clone());
            assert_eq!(done.data["version"], json!(secret.current));
        }
        format!("write {path} cas {cas:?}")
    }

    async fn patch(&mut self, path: &'static str) -> String {
        let n = self.entropy.below(3);
        let change = json!({ format!("p{n}"): n, "n": null });
        let done = self.rig.patch(&format!("data/{path}"), json!({ "data": change })).await;
        let now = self.now;
        match self.secrets.get_mut(path).filter(|s| s.readable(s.current, now)) {
            None => assert_eq!(done.status, 404),
            Some(secret) => {
                let mut data = secret.versions[&secret.current].data.clone();
                data.remove("n");
                data.insert(format!("p{n}"), json!(n));
                secret.add(data);
                assert_eq!(done.data["version"], json!(secret.current));
            }
        }
        format!("patch {path}")
    }

    async fn delete_latest(&mut self, path: &'static str) -> String {
        assert_eq!(self.rig.delete(&format!("data/{path}")).await.status, 204);
        let now = self.now;
        if let Some(secret) = self.secrets.get_mut(path).filter(|s| s.readable(s.current, now)) {
            secret.versions.get_mut(&secret.current).unwrap().deleted = Some(now);
        }
        format!("delete {path}")
    }

    async fn change(&mut self, path: &'static str, what: &str, number: u64) -> String {
        let done = self.rig.put(&format!("{what}/{path}"), json!({ "versions": [number] })).await;
        assert_eq!(done.status, 204);
        let now = self.now;
        if let Some(secret) = self.secrets.get_mut(path) {
            let readable = secret.readable(number, now);
            if let Some(version) = secret.versions.get_mut(&number) {
                match what {
                    "delete" if readable => version.deleted = Some(now),
                    "undelete" if !version.destroyed => version.deleted = None,
                    "destroy" => version.destroyed = true,
                    _ => {}
                }
            }
        }
        format!("{what} {path} {number}")
    }

    async fn limit(&mut self, path: &'static str) -> String {
        let max = self.entropy.below(6);
        assert_eq!(
            self.rig.put(&format!("metadata/{path}"), json!({ "max_versions": max })).await.status,
            204
        );
        self.secrets.entry(path).or_default().max = max;
        format!("limit {path} {max}")
    }

    async fn compare(&self, path: &'static str, number: u64) -> String {
        let secret = self.secrets.get(path).cloned().unwrap_or_default();
        let read = self.rig.get(&format!("data/{path}?version={number}")).await;
        let number = if number == 0 { secret.current } else { number };
        match secret.versions.get(&number) {
            None => assert_eq!((read.status, read.text.as_str()), (404, ""), "{path} {number}"),
            Some(version) if secret.readable(number, self.now) => {
                assert_eq!(read.status, 200, "{path} {number}");
                assert_eq!(read.data["data"], Value::Object(version.data.clone()));
            }
            Some(version) => {
                assert_eq!((read.status, &read.data["data"]), (404, &Value::Null), "{path} {number}");
                assert_eq!(read.data["metadata"]["destroyed"], json!(version.destroyed));
            }
        }
        format!("read {path} {number}")
    }

    async fn compare_all(&self) {
        for path in PATHS {
            let shown = self.rig.get(&format!("metadata/{path}")).await;
            let Some(secret) = self.secrets.get(path) else {
                assert_eq!(shown.status, 404, "{path}");
                continue;
            };
            assert_eq!(shown.data["current_version"], json!(secret.current), "{path}");
            let numbers = shown.data["versions"].as_object().unwrap().len();
            assert_eq!(numbers, secret.versions.len(), "{path}");
            for number in secret.versions.keys() {
                self.compare(path, *number).await;
            }
        }
    }
}

#[tokio::test]
async fn random_histories_agree_with_the_model() {
    for seed in 1..=40 {
        let entropy = SeededEntropy::new(seed);
        let mut world = World { rig: in_memory(KvV2).await, entropy, secrets: BTreeMap::new(), now: 0 };
        for step in 0..150 {
            let done = world.step().await;
            println!("seed {seed} step {step}: {done}");
            if step % 10 == 9 {
                world.compare_all().await;
            }
        }
        world.compare_all().await;
    }
}
