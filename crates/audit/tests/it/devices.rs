//! What happens when devices fail, block, are rotated, disabled or killed: nothing leaves unrecorded, no line is lost or
//! torn, and the chain stays whole.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::world::{Answer, PATIENCE, World, ask, key, open, permit, spec, token, try_open};
use coffre_ambient::{Clock, SystemClock};
use coffre_api::{BoxFuture, RawInput, RawJson, Refusal};
use coffre_audit::chain::{Broken, ChainKey, verify};
use coffre_audit::{
    Broker, Condition, Device, DeviceError, DeviceSpec, EnableError, Head, Health, Manner, Outgoing,
    Released, RequestFacts,
};
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// Takes entries, or refuses them, or never answers.
struct Moody {
    works: Arc<AtomicBool>,
    blocks: bool,
    health: Health,
}

impl Device for Moody {
    fn append(&self, _: Vec<u8>) -> BoxFuture<'_, Result<(), DeviceError>> {
        if self.blocks {
            return Box::pin(std::future::pending());
        }
        let works = self.works.load(Ordering::SeqCst);
        Box::pin(async move { if works { Ok(()) } else { Err(DeviceError::Shut) } })
    }
    fn reopen(&self) -> BoxFuture<'_, Result<(), DeviceError>> {
        Box::pin(async { Ok(()) })
    }
    fn head(&self) -> Option<Head> {
        None
    }
    fn follow(&self) {}
    fn health(&self) -> &Health {
        &self.health
    }
}

async fn moody(broker: &Broker, name: &str, works: &Arc<AtomicBool>, blocks: bool) {
    let health = Health::new(Arc::new(SystemClock));
    let device: Box<dyn Device> = Box::new(Moody { works: Arc::clone(works), blocks, health });
    broker.enable(name, device, &key(9), Manner::default(), false).await.unwrap();
}

fn check(path: &Path) -> Result<coffre_audit::chain::Verified, Broken> {
    verify(BufReader::new(std::fs::File::open(path).unwrap()), None, Some(&ChainKey::new(&key(1))))
}

#[tokio::test]
async fn without_a_working_device_nothing_happens_and_nothing_leaves() {
    let (world, works) = (World::new(), Arc::new(AtomicBool::new(false)));
    moody(&world.broker, "a/", &works, false).await;
    let raw = RawInput::empty();
    let down = ask(&world.broker, "id", &raw, Answer::default()).await.err().flatten().unwrap();
    assert_eq!(down.failures().count(), 1);
    assert!(matches!(Released::from(down).into_outgoing(), Outgoing::AuditDown));

    // It dies between the request and the answer: the answer stays inside.
    works.store(true, Ordering::SeqCst);
    let facts = RequestFacts { id: "id", ..RequestFacts::default() };
    let (_admitted, receipt) =
        world.broker.record_request(permit(&token(), "secret/data/a", &raw), facts, &raw).await.unwrap();
    works.store(false, Ordering::SeqCst);
    let secret = Answer { data: Some(RawJson::parse("\"CANARY\"".into()).unwrap()), ..Answer::default() };
    let released = world.broker.release(receipt, Ok(Box::new(secret))).await;
    assert!(matches!(released.into_outgoing(), Outgoing::AuditDown));
}

#[tokio::test]
async fn one_working_device_is_enough_and_a_blocked_one_delays_nobody() {
    let world = World::with_file(&[]).await;
    let works = Arc::new(AtomicBool::new(false));
    moody(&world.broker, "dead/", &works, false).await;
    moody(&world.broker, "blocked/", &works, true).await;
    let start = SystemClock.boot();
    for _ in 0..20 {
        assert!(matches!(
            ask(&world.broker, "id", &RawInput::empty(), Answer::default()).await,
            Ok(Outgoing::Reply(_))
        ));
    }
    assert!(SystemClock.boot() - start < PATIENCE, "a blocked device held requests up");
    assert_eq!(world.lines().len(), 40);
}

#[tokio::test]
async fn a_blocked_device_fails_requests_in_time_and_can_be_disabled() {
    let (world, works) = (World::new(), Arc::new(AtomicBool::new(true)));
    moody(&world.broker, "blocked/", &works, true).await;
    let start = SystemClock.boot();
    assert!(ask(&world.broker, "id", &RawInput::empty(), Answer::default()).await.is_err());
    assert!(SystemClock.boot() - start < PATIENCE * 4);

    assert_eq!(world.broker.health()[0].1.condition, Condition::Degraded);

    // The request that disables it is not held up by it for ever; nor is it by others that are dead as well.
    works.store(false, Ordering::SeqCst);
    moody(&world.broker, "dead/", &works, false).await;
    let raw = RawInput::empty();
    let facts = RequestFacts { id: "id", repairs_audit: true, ..RequestFacts::default() };
    let permit = permit(&token(), "sys/audit/blocked", &raw);
    let (_admitted, receipt) = world.broker.record_request(permit, facts, &raw).await.unwrap();
    assert_eq!(receipt.unrecorded().unwrap().failures().count(), 2);
    assert!(world.broker.disable("blocked/"));
    let released = world.broker.release(receipt, Ok(Box::new(Answer::default()))).await;
    assert!(matches!(released.into_outgoing(), Outgoing::Reply(_)));
    assert!(!world.broker.disable("blocked/") && !world.broker.has("blocked/"));
    assert!(ask(&world.broker, "id", &raw, Answer::default()).await.is_err());
}

#[tokio::test]
async fn a_pipe_without_a_reader_is_refused_and_a_full_one_fails_in_time() {
    let world = World::new();
    let pipe = world.dir.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let opened = try_open(&spec(&pipe, &[]), None, 1);
    assert!(matches!(opened, Err(DeviceError::Open(_))));

    let reader = std::fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let device = open(&pipe, &[], 1);
    world.broker.enable("pipe/", device, &key(1), Manner::default(), true).await.unwrap();
    let mut failed = 0;
    let raw = RawInput::empty();
    for _ in 0..200 {
        if ask(&world.broker, "id", &raw, Answer::default()).await.is_err() {
            failed += 1;
            break;
        }
    }
    assert_eq!(failed, 1, "nobody read 64 KiB and more, and yet all was taken");
    // Somebody reads again: it recovers, and what it says is whole lines again.
    let reading = std::thread::spawn(move || {
        let mut seen = Vec::new();
        for line in BufReader::new(reader).lines() {
            let line = line.unwrap();
            let done = line.contains("after-the-jam");
            seen.push(line);
            if done {
                break;
            }
        }
        seen
    });
    for _ in 0..100 {
        if ask(&world.broker, "after-the-jam", &raw, Answer::default()).await.is_ok() {
            break;
        }
    }
    let seen = reading.join().unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(seen.last().unwrap()).is_ok());
    assert!(world.broker.disable("pipe/"));
}

#[tokio::test]
async fn a_full_disk_fails_and_leaves_no_half_line() {
    let world = World::new();
    let device = open(Path::new("/dev/full"), &[], 1);
    let refused = world.broker.enable("full/", device, &key(1), Manner::default(), true).await;
    assert!(matches!(refused, Err(EnableError::Device(DeviceError::Write(_)))));
    assert!(!world.broker.has("full/"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rotation_under_load_loses_and_tears_nothing() {
    for fsync in ["false", "true"] {
        let world = Arc::new(World::with_file(&[("fsync", fsync)]).await);
        let (tasks, each) = (8, 250);
        let mut running = Vec::new();
        for task in 0..tasks {
            let world = Arc::clone(&world);
            running.push(tokio::spawn(async move {
                for n in 0..each {
                    let id = format!("{task}-{n}");
                    ask(&world.broker, &id, &RawInput::empty(), Answer::default()).await.unwrap();
                }
            }));
        }
        let mut files = Vec::new();
        for n in 0..20 {
            tokio::time::sleep(Duration::from_millis(2)).await;
            let rotated = world.dir.path().join(format!("audit.log.{n:02}"));
            std::fs::rename(world.log(), &rotated).unwrap();
            assert!(world.broker.reopen().await.is_empty());
            files.push(rotated);
        }
        for task in running {
            task.await.unwrap();
        }
        files.push(world.log());
        let (mut after, mut lines) = (Some(Head::START), 0);
        for file in &files {
            let reader = BufReader::new(std::fs::File::open(file).unwrap());
            let part = verify(reader, after, Some(&ChainKey::new(&key(1)))).unwrap();
            lines += part.lines;
            after = Some(part.to);
        }
        assert_eq!(lines, tasks * each * 2, "fsync={fsync}");
        assert_eq!(world.broker.heads(), [("file/".to_owned(), after.unwrap())]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_writer_thread_loses_no_wake_up() {
    let world = Arc::new(World::with_file(&[("fsync", "true")]).await);
    let running: Vec<_> = (0..64)
        .map(|task| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                for n in 0..50 {
                    let id = format!("{task}-{n}");
                    // A lost wake-up would end in a time-out, which fails here.
                    ask(&world.broker, &id, &RawInput::empty(), Answer::default()).await.unwrap();
                }
            })
        })
        .collect();
    for task in running {
        task.await.unwrap();
    }
    assert_eq!(check(&world.log()).unwrap().lines, 64 * 50 * 2);
}

#[tokio::test]
async fn a_restart_continues_the_chain_and_drops_a_torn_line() {
    let world = World::new();
    for round in 0..4_u64 {
        {
            let broker = Broker::new(Arc::new(SystemClock), PATIENCE);
            let device = open(&world.log(), &[], 1);
            broker.enable("file/", device, &key(1), Manner::default(), false).await.unwrap();
            ask(&broker, "id", &RawInput::empty(), Answer::default()).await.unwrap();
            assert_eq!(broker.heads()[0].1.seq, 2 * (round + 1));
        }
        let mut file = std::fs::OpenOptions::new().append(true).open(world.log()).unwrap();
        // What a crash may leave.
        file.write_all(
            [b"{\"time\":\"2026".as_slice(), b"{", b"", b"{\"time\":\""][usize::try_from(round).unwrap()],
        )
        .unwrap();
    }
    drop(open(&world.log(), &[], 1));
    assert_eq!(check(&world.log()).unwrap().lines, 8);
}

#[tokio::test]
async fn lines_cut_off_before_a_restart_leave_a_gap_that_is_found() {
    let world = World::with_file(&[]).await;
    for _ in 0..3 {
        ask(&world.broker, "id", &RawInput::empty(), Answer::default()).await.unwrap();
    }
    let kept = world.broker.heads()[0].1;
    world.broker.disable_all();
    let text = world.text();
    let cut: Vec<&str> = text.lines().take(4).collect();
    std::fs::write(world.log(), cut.join("\n") + "\n").unwrap();
    assert!(check(&world.log()).unwrap().to != kept);

    let device = try_open(&spec(&world.log(), &[]), Some(kept), 1).unwrap();
    world.broker.enable("file/", device, &key(1), Manner::default(), false).await.unwrap();
    ask(&world.broker, "id", &RawInput::empty(), Answer::default()).await.unwrap();
    assert!(matches!(check(&world.log()), Err(Broken::Order { line: 5, expected: 5, found: 7 })));
}

#[test]
fn one_file_has_one_writer() {
    let world = World::new();
    let first = open(&world.log(), &[], 1);
    let second = try_open(&spec(&world.log(), &[]), None, 1);
    assert!(matches!(second, Err(DeviceError::Taken)));
    drop(first);
    open(&world.log(), &[], 1);
}

#[test]
fn files_are_private_and_stay_in_their_directory() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    drop(open(&world.log(), &[], 1));
    assert_eq!(std::fs::metadata(world.log()).unwrap().permissions().mode() & 0o777, 0o600);

    let (root, outside) = (world.dir.path().join("audit"), world.dir.path().join("outside"));
    std::fs::create_dir(&root).unwrap();
    std::fs::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
    std::os::unix::fs::symlink(outside.join("x"), root.join("file")).unwrap();
    let open = |path: &str| {
        let options = std::collections::BTreeMap::from([("file_path".to_owned(), path.to_owned())]);
        let spec = DeviceSpec::parse("file", &options, Some(&root)).map_err(|e| e.to_string())?;
        try_open(&spec, None, 1).map_err(|e| e.to_string())
    };
    for path in ["link/x", "file", "../outside/x", "/etc/coffre-test"] {
        let error = open(path).err().unwrap();
        assert!(!error.contains("outside") && !error.contains("coffre-test"), "{error}");
    }
    assert!(open("fine.log").is_ok());
    assert!(open(root.join("fine.log").to_str().unwrap()).is_ok());
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}

#[tokio::test]
async fn a_file_that_was_deleted_or_renamed_is_noticed() {
    let world = World::with_file(&[]).await;
    let raw = RawInput::empty();
    ask(&world.broker, "id", &raw, Answer::default()).await.unwrap();
    // Deleted: not one entry goes where nobody finds it.
    std::fs::remove_file(world.log()).unwrap();
    ask(&world.broker, "id", &raw, Answer::default()).await.unwrap();
    let told = check(&world.log()).unwrap();
    assert_eq!((told.lines, told.from.seq), (2, 2));
    // Renamed, and nobody said so: entries go on where they went, until it is noticed.
    let renamed = world.dir.path().join("renamed");
    std::fs::rename(world.log(), &renamed).unwrap();
    ask(&world.broker, "id", &raw, Answer::default()).await.unwrap();
    assert_eq!(check(&renamed).unwrap().lines, 4);
    world.broker.follow();
    ask(&world.broker, "id", &raw, Answer::default()).await.unwrap();
    assert_eq!((check(&renamed).unwrap().lines, check(&world.log()).unwrap().lines), (4, 2));
}

#[test]
fn a_file_of_somebody_else_is_left_as_it_is() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    for foreign in ["#!/bin/sh\n", "{\"storage\":1}", "\n", "{\"time\":1}\n"] {
        std::fs::write(world.log(), foreign).unwrap();
        std::fs::set_permissions(world.log(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let refused = try_open(&spec(&world.log(), &[]), None, 1);
        assert!(matches!(refused, Err(DeviceError::Foreign)), "{foreign}");
        assert_eq!(std::fs::read_to_string(world.log()).unwrap(), foreign);
        assert_eq!(std::fs::metadata(world.log()).unwrap().permissions().mode() & 0o777, 0o755);
    }
}

#[tokio::test]
async fn discard_takes_everything() {
    let world = World::new();
    let device = open(Path::new("discard"), &[], 1);
    world.broker.enable("none/", device, &key(1), Manner::default(), true).await.unwrap();
    let error = world
        .broker
        .enable("none/", open(Path::new("discard"), &[], 1), &key(1), Manner::default(), true)
        .await;
    assert!(matches!(error, Err(EnableError::InUse)));
    let raw = RawInput::empty();
    let facts = RequestFacts { id: "id", ..RequestFacts::default() };
    let (_a, receipt) = world.broker.record_request(permit(&token(), "a", &raw), facts, &raw).await.unwrap();
    let released = world.broker.release(receipt, Err(Refusal::missing())).await;
    assert!(matches!(released.into_outgoing(), Outgoing::Refused(_)));
}

/// Set for the process that is to be killed: the log it writes.
const VICTIM: &str = "COFFRE_TEST_AUDIT_VICTIM";

/// The other half of the next tests: releases answers and says which, until it is killed or cannot write.
#[tokio::test]
async fn victim() {
    let Ok(log) = std::env::var(VICTIM) else { return };
    let broker = Broker::new(Arc::new(SystemClock), PATIENCE);
    let device = open(Path::new(&log), &[], 1);
    broker.enable("file/", device, &key(1), Manner::default(), false).await.unwrap();
    for n in 0.. {
        let id = format!("id-{n}");
        if ask(&broker, &id, &RawInput::empty(), Answer::default()).await.is_err() {
            return;
        }
        println!("\n{id}");
        std::io::stdout().flush().unwrap();
    }
}

#[test]
fn what_was_released_is_in_the_log_after_a_kill() {
    let world = World::new();
    let mut released = Vec::new();
    for round in 0..10 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "devices::victim", "--nocapture", "--test-threads=1"])
            .env(VICTIM, world.log())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        for (count, line) in lines.filter(|line| line.starts_with("id-")).enumerate() {
            released.push(line);
            if count == 30 + 7 * round {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
    }
    assert!(released.len() > 300);
    drop(open(&world.log(), &[], 1));
    let checked = check(&world.log()).unwrap();
    assert!(checked.lines >= 2 * released.len() as u64);
    let text = world.text();
    let answers: Vec<&str> = text.lines().filter(|line| line.contains("\"type\":\"response\"")).collect();
    for id in &released {
        let recorded = answers.iter().filter(|line| line.contains(&format!("\"id\":\"{id}\""))).count();
        assert!(recorded >= 1, "{id} was released and is not in the log");
    }
}

#[test]
fn a_write_that_is_cut_short_is_taken_back() {
    let world = World::new();
    // The limit on file sizes cuts a write in the middle, as a full disk does.
    let script =
        "trap '' XFSZ; ulimit -f 40; exec \"$0\" --exact devices::victim --nocapture --test-threads=1";
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .env(VICTIM, world.log())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let released =
        String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.starts_with("id-")).count();
    let text = world.text();
    assert!(released > 3 && text.len() > 10_000, "{released} {}", text.len());
    assert!(text.ends_with('\n'), "half a line stayed");
    let lines = check(&world.log()).unwrap().lines;
    let owed = 2 * released as u64;
    assert!(lines == owed || lines == owed + 1, "{lines} lines for {released} answers");
}
