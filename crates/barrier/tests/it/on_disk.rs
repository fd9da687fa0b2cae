//! The barrier over a database file: what was written before a restart is there after it, and nothing rests in clear.

use std::fs;
use std::sync::Arc;

use coffre_storage::Store;
use coffre_storage::redb::{Redb, RedbOptions};

use super::{Cluster, barrier_over, small};

const CANARY: &[u8] = b"canary-83b1d2";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_outlives_its_process() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("data");
    let open = || Redb::open(&directory, RedbOptions::default()).unwrap();
    let cluster = Cluster::over(open(), small()).await;
    let writers = (0..16).map(|writer| {
        let view = cluster.root().sub(&format!("w{writer}/"));
        tokio::spawn(async move {
            for n in 0..10 {
                view.put(&format!("k{n}"), CANARY).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let Cluster { store, barrier, shares, limits } = cluster;
    drop((store, barrier));
    for entry in fs::read_dir(&directory).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(CANARY.len()).any(|window| window == CANARY), "plaintext rests");
    }
    let store = Arc::new(open());
    let barrier = barrier_over(Arc::clone(&store) as Arc<dyn Store>, limits);
    let cluster = Cluster { store, barrier, shares, limits };
    cluster.unseal().await;
    let folders = cluster.root().list("", None, 99).await.unwrap().names;
    assert_eq!(folders.len(), 16);
    for folder in folders {
        for n in 0..10 {
            let found = cluster.root().get(&format!("{folder}k{n}")).await.unwrap().unwrap();
            assert_eq!(found.expose(), CANARY);
        }
    }
}
