//! Killed at every journal line, at every call to the server and at every write of a file, with and without its effect,
//! while switching over, retiring and going back to any point: the same command ends as if nothing had happened, or a
//! rollback gives back exactly what was there, files byte for byte. Enumerated, and counted.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

mod fake;

use std::io::Write as _;
use std::time::Duration;

use coffre_ambient::{ManualClock, SystemEntropy, Wall};
use coffre_manifest::Manifest;
use coffre_migrate::{
    Back, Error, File, Fingerprints, Journal, Object, OpenKey, Overwrite, Place, Plan, Reader, Retiring,
    RolledBack, SealKey, Sources, Syntax, Target, Work, apply, classify, cutover, plan, recovery_key, retire,
    role_state, rollback_to, survey, verify,
};
use coffre_secret::{SecretBytes, SecretText};
use fake::{Cabinet, Crash, Death, Disk, Server, Slip, Visible, World};

const MANIFEST: &str = r#"
app = "shop"
environments = ["dev", "prod"]
[secret.SECRET_KEY]
path = "flask/secret_key"
[secret.DB_PASSWORD]
path = "database/password"
[secret.DATABASE_URL]
template = "postgresql://shop:{DB_PASSWORD|pct}@db/shop"
[secret.DIFFERENT]
path = "app/different"
[config]
names = ["PORT", "HOST"]
"#;
const ENV: &str = "# Shop\nSECRET_KEY='a#$^b-c-d'\nDB_PASSWORD=\"p@ss w%rd\"\r\nDATABASE_URL=postgresql://shop:p%40ss%20w%25rd@db/shop\nPORT=8000 # web\n";
const MORE: &str = "HOST=0.0.0.0\nDIFFERENT=brand-new-value\n";
const SERVER: &str = "https://vault:8200";

/// A server on which something is there already.
fn used() -> World {
    let mut world = World::default();
    world.objects.insert(Object::Mount("shop".to_owned()), "kv/2".to_owned());
    world.objects.insert(Object::Auth("approle".to_owned()), "approle".to_owned());
    let role = Object::Role { auth: "approle".to_owned(), name: "shop-api".to_owned() };
    world.objects.insert(role, role_state(&["default".to_owned()], 60, 120));
    world.put_doc("shop/prod/app/different", r#"{"value":"old"}"#);
    world.put_doc("shop/prod/_manifest", r#"{"schema":"manifest/1"}"#);
    world
}

fn worlds() -> [World; 2] {
    [World::default(), used()]
}

struct Site {
    server: Server,
    disk: Disk,
    cabinet: Cabinet,
    manifest: Manifest,
    clock: ManualClock,
    keys: (SealKey, OpenKey),
    plan: Plan,
}

/// What dies, and when.
#[derive(Clone, Copy, Debug)]
enum Blow {
    Server(Death),
    Line(Crash),
    Write(Slip),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Apply,
    Cutover,
    Retire,
    Back(Option<u64>),
}

fn sources(cabinet: &Cabinet) -> Sources {
    let files = cabinet.files();
    let files = [".env", "more.env"].map(|name| File {
        name: name.to_owned(),
        bytes: files[name].0.clone().into(),
        syntax: if name == ".env" { Syntax::PythonDotenv } else { Syntax::split("systemd:x").0 },
    });
    Sources::read(files.into(), Reader::Unknown, &|_: &str| None::<SecretText>).unwrap()
}

impl Site {
    async fn with(world: World) -> Self {
        let cabinet = Cabinet::default();
        cabinet.put(".env", ENV.as_bytes(), 0o640);
        cabinet.put("more.env", MORE.as_bytes(), 0o600);
        let mut site = Self {
            server: Server::with(world),
            disk: Disk::default(),
            cabinet,
            manifest: Manifest::parse(MANIFEST).unwrap(),
            clock: ManualClock::starting_at(Wall::from_secs(1_790_000_000)),
            keys: recovery_key().unwrap(),
            plan: serde_json::from_str(EMPTY).unwrap(),
        };
        site.plan = site.planned().await;
        assert!(site.plan.questions.is_empty(), "{:?}", site.plan.questions);
        site.restart();
        site
    }

    async fn planned(&self) -> Plan {
        let sources = sources(&self.cabinet);
        let found = survey(&self.server, &self.target()).await.unwrap();
        let findings = classify(&sources, Some(&self.manifest));
        plan(&self.target(), &sources, &findings, &found, &Overwrite::All, &prints())
    }

    fn target(&self) -> Target<'_> {
        Target { manifest: &self.manifest, environment: "prod", server: SERVER, auth: "approle" }
    }

    async fn run(&self, stage: Stage) -> Result<RolledBack, Error> {
        let mut journal = Journal::open(Box::new(self.disk.clone()))?;
        let (prints, quiet) = (prints(), |_: &str| {});
        let work = Work {
            vault: &self.server,
            clock: &self.clock,
            entropy: &SystemEntropy,
            prints: &prints,
            progress: &quiet,
            settle: Duration::ZERO,
        };
        match stage {
            Stage::Apply => {
                apply(&work, &self.plan, &sources(&self.cabinet), &mut journal).await?;
            }
            Stage::Cutover => {
                let verified = verify(&self.server, &self.target(), &sources(&self.cabinet)).await?;
                cutover(&work, &self.target(), &self.plan, &verified, &mut journal).await?;
            }
            Stage::Retire => {
                let sources = sources(&self.cabinet);
                let verified = verify(&self.server, &self.target(), &sources).await?;
                let retiring = Retiring {
                    plan: &self.plan,
                    sources: &sources,
                    desk: &self.cabinet,
                    key: &self.keys.0,
                    soak: Duration::from_secs(60),
                };
                retire(&work, &retiring, verified, &mut journal)?;
            }
            Stage::Back(to) => {
                let back =
                    Back { to, desk: Some(&self.cabinet), key: Some(&self.keys.1), plan: Some(&self.plan) };
                return rollback_to(&work, SERVER, &mut journal, &back).await;
            }
        }
        Ok(RolledBack::default())
    }

    async fn up_to(&self, stages: &[Stage]) {
        for stage in stages {
            self.run(*stage).await.unwrap_or_else(|error| panic!("{stage:?}: {error}"));
            self.clock.advance(Duration::from_secs(120));
            self.restart();
        }
    }

    fn strike(&self, blow: Blow) {
        match blow {
            Blow::Server(death) => self.server.dies(death),
            Blow::Line(crash) => self.disk.dies(crash),
            Blow::Write(slip) => self.cabinet.slips(slip),
        }
    }

    fn restart(&self) {
        self.server.revive();
        self.disk.revive();
        self.cabinet.revive();
    }

    fn state(&self) -> State {
        (self.server.world().visible(), self.cabinet.files())
    }

    fn lines(&self) -> usize {
        self.disk.content().iter().filter(|byte| **byte == b'\n').count()
    }

    fn line_of(&self, what: &str) -> u64 {
        let content = String::from_utf8(self.disk.content()).unwrap();
        content.lines().position(|line| line.contains(what)).unwrap() as u64 + 1
    }
}

type State = (Visible, std::collections::BTreeMap<String, (Vec<u8>, u32)>);

const EMPTY: &str = r#"{"plan_id":"","app":"","environment":"","server":"","dotenv_release":null,"sources":[],"setup":[],"documents":[],"items":[],"oddities":[],"questions":[],"mark":""}"#;

fn prints() -> Fingerprints {
    Fingerprints::under(&SecretBytes::zeroed())
}

/// Every way in which a stage can be cut off, from what the uninterrupted one did.
async fn blows(world: &World, before: &[Stage], stage: Stage) -> Vec<Blow> {
    let site = Site::with(world.clone()).await;
    site.up_to(before).await;
    site.run(stage).await.unwrap_or_else(|error| panic!("{stage:?}: {error}"));
    let calls = 1..=site.server.calls();
    let lines = 1..=site.disk.appends();
    let writes = 1..=site.cabinet.writes();
    let calls = calls.flat_map(|n| [Death::Before(n), Death::After(n)]).map(Blow::Server);
    let lines = lines.flat_map(|n| [Crash::Before(n), Crash::After(n), Crash::Torn(n), Crash::Lost(n)]);
    let writes = writes.flat_map(|n| [Slip::Before(n), Slip::After(n), Slip::Full(n)]).map(Blow::Write);
    calls.chain(lines.map(Blow::Line)).chain(writes).collect()
}

fn say(text: &str) {
    std::io::stderr().write_all(format!("kill matrix: {text}\n").as_bytes()).unwrap();
}

/// What a stage leaves when nothing goes wrong.
async fn undisturbed(world: &World, stages: &[Stage]) -> State {
    let site = Site::with(world.clone()).await;
    site.up_to(stages).await;
    site.state()
}

/// Strikes a stage everywhere; then either repeats it, or takes everything back.
async fn matrix(before: &[Stage], stage: Stage) {
    let mut count = 0;
    for world in worlds() {
        let expected = undisturbed(&world, &[before, &[stage]].concat()).await;
        for blow in blows(&world, before, stage).await {
            for resume in [true, false] {
                let site = Site::with(world.clone()).await;
                let fresh = site.state();
                site.up_to(before).await;
                site.strike(blow);
                let what = format!("{stage:?} {blow:?} resume {resume}");
                // Logging out is the one call whose failure nobody minds.
                let struck = site.run(stage).await.err().map(|error| error.to_string());
                site.restart();
                if resume {
                    site.run(stage).await.unwrap_or_else(|error| panic!("{what}: {struck:?}: {error}"));
                    assert_eq!(site.state(), expected, "{what}");
                    let (changes, writes) = (site.server.changes(), site.cabinet.writes());
                    site.run(stage).await.unwrap_or_else(|error| panic!("{what}: again: {error}"));
                    // A verification logs in and out, and tries a write that must be refused.
                    assert!(site.server.changes() - changes <= 3, "{what}: a repetition wrote");
                    assert_eq!(site.cabinet.writes(), writes, "{what}: a repetition wrote a file");
                }
                let undone =
                    site.run(Stage::Back(None)).await.unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(undone.left, Vec::<String>::new(), "{what}");
                assert_eq!(site.state(), fresh, "{what}: not as before");
                count += 1;
            }
        }
    }
    say(&format!("{stage:?}: {count} ways to die, all resumed or undone"));
    assert!(count > 100);
}

#[tokio::test]
async fn killed_anywhere_while_switching_over() {
    matrix(&[Stage::Apply], Stage::Cutover).await;
}

#[tokio::test]
async fn killed_anywhere_while_retiring() {
    matrix(&[Stage::Apply, Stage::Cutover], Stage::Retire).await;
}

#[tokio::test]
async fn killed_anywhere_on_the_way_back() {
    let whole = [Stage::Apply, Stage::Cutover, Stage::Retire];
    let mut count = 0;
    for world in worlds() {
        let site = Site::with(world.clone()).await;
        site.up_to(&whole).await;
        let points = [None, Some(site.line_of("\"CUTOVER\"")), Some(site.line_of("\"END\""))];
        for to in points {
            let expected = undisturbed(&world, &[&whole[..], &[Stage::Back(to)]].concat()).await;
            for blow in blows(&world, &whole, Stage::Back(to)).await {
                let site = Site::with(world.clone()).await;
                let fresh = site.state();
                site.up_to(&whole).await;
                site.strike(blow);
                let what = format!("back to {to:?}, {blow:?}");
                let ended = site.run(Stage::Back(to)).await.is_ok();
                site.restart();
                if !ended {
                    match site.run(Stage::Back(to)).await {
                        Ok(undone) => assert_eq!(undone.left, Vec::<String>::new(), "{what}"),
                        // It died after its last line.
                        Err(Error::NothingToUndo(_)) if to.is_none() => {}
                        Err(error) => panic!("{what}: {error}"),
                    }
                }
                assert_eq!(site.state(), expected, "{what}");
                if to.is_some() {
                    site.run(Stage::Back(None)).await.unwrap_or_else(|error| panic!("{what}: {error}"));
                }
                assert_eq!(site.state(), fresh, "{what}: not as before");
                count += 1;
            }
        }
    }
    say(&format!("rollback: {count} ways to die, all resumed"));
    assert!(count > 300);
}

#[tokio::test]
async fn back_to_every_line_and_forth_again() {
    for world in worlds() {
        let whole = [Stage::Apply, Stage::Cutover, Stage::Retire];
        let end = undisturbed(&world, &whole).await;
        let probe = Site::with(world.clone()).await;
        probe.up_to(&whole).await;
        let lines = probe.lines() as u64;
        for line in 1..=lines {
            let mut site = Site::with(world.clone()).await;
            let fresh = site.state();
            site.up_to(&whole).await;
            let undone = site.run(Stage::Back(Some(line))).await.unwrap();
            assert_eq!(undone.left, Vec::<String>::new(), "{line}");
            assert!(!undone.whole);
            let ended = site.line_of("\"END\"");
            if line < ended {
                // Documents moved, so the plan is made again.
                site.plan = site.planned().await;
                site.run(Stage::Apply).await.unwrap_or_else(|error| panic!("{line}: {error}"));
            }
            site.up_to(&[Stage::Cutover, Stage::Retire]).await;
            assert_eq!(without_plan(site.state()), without_plan(end.clone()), "{line}");
            for _ in 0..3 {
                match site.run(Stage::Back(None)).await {
                    Ok(undone) => assert_eq!(undone.left, Vec::<String>::new(), "{line}"),
                    Err(Error::NothingToUndo(_)) => break,
                    Err(error) => panic!("{line}: {error}"),
                }
            }
            assert_eq!(site.state(), fresh, "{line}");
        }
        say(&format!("rollback to each of {lines} lines, and forth again"));
    }
}

/// The manifest document names its plan and versions, which differ after going back and forth.
fn without_plan(mut state: State) -> State {
    state.0.1.remove(&Place { mount: "shop".to_owned(), path: "prod/_manifest".to_owned() });
    state
}

#[tokio::test]
async fn the_gates_of_retiring_hold() {
    let site = Site::with(World::default()).await;
    let refused = async |site: &Site| site.run(Stage::Retire).await.unwrap_err().to_string();
    site.run(Stage::Apply).await.unwrap();
    assert!(refused(&site).await.contains("migrate cutover"));
    site.run(Stage::Cutover).await.unwrap();
    assert!(refused(&site).await.contains("wait 60 s"));
    site.clock.advance(Duration::from_secs(61));
    // A value that is not what the vault holds.
    site.server.change(|world| world.put_doc("shop/prod/app/different", r#"{"value":"rotated"}"#));
    assert!(refused(&site).await.contains("DIFFERENT has another value"));
    assert_eq!(site.cabinet.writes(), 0);
    assert_eq!(site.cabinet.files()[".env"].0, ENV.as_bytes());
}

#[tokio::test]
async fn stubs_archives_and_journals_hold_no_secret() {
    let site = Site::with(World::default()).await;
    site.up_to(&[Stage::Apply, Stage::Cutover, Stage::Retire]).await;
    let files = site.cabinet.files();
    let stub = String::from_utf8(files[".env"].0.clone()).unwrap();
    assert!(
        stub.contains("# Shop\n# SECRET_KEY: in the vault, shop/prod/flask/secret_key:value\n"),
        "{stub}"
    );
    assert!(stub.contains("# DATABASE_URL: composed, ") && stub.ends_with("PORT=8000 # web\n"), "{stub}");
    assert_eq!(files[".env"].1, 0o640, "mode is kept");
    let kept = format!(
        "{stub}{}{}{}",
        String::from_utf8_lossy(&files["more.env"].0),
        String::from_utf8_lossy(&site.cabinet.archives()),
        String::from_utf8(site.disk.content()).unwrap()
    );
    for value in ["a#$^b", "p@ss", "p%40ss", "brand-new"] {
        assert!(!kept.contains(value), "{value} is in {kept}");
    }
}

#[tokio::test]
async fn what_was_rotated_since_is_left_and_its_line_is_dead() {
    let site = Site::with(World::default()).await;
    site.up_to(&[Stage::Apply, Stage::Cutover, Stage::Retire]).await;
    site.server.change(|world| world.put_doc("shop/prod/flask/secret_key", r#"{"value":"rotated"}"#));
    site.cabinet.put("more.env", b"HOST=changed\n", 0o600);
    let undone = site.run(Stage::Back(None)).await.unwrap();
    assert_eq!(undone.dead, [".env:2 SECRET_KEY"]);
    assert_eq!(site.cabinet.files()[".env"].0, ENV.as_bytes());
    assert!(
        undone.left.iter().any(|left| left.starts_with("more.env: somebody changed it")),
        "{:?}",
        undone.left
    );
    assert!(undone.left.iter().any(|left| left.contains("flask/secret_key")), "{:?}", undone.left);
    assert_eq!(site.server.world().visible().1.len(), 1);
}

#[tokio::test]
async fn retired_files_need_their_key() {
    let mut site = Site::with(World::default()).await;
    site.up_to(&[Stage::Apply, Stage::Cutover, Stage::Retire]).await;
    let before = site.state();
    site.keys.1 = recovery_key().unwrap().1;
    let refused = site.run(Stage::Back(None)).await.unwrap_err();
    assert!(matches!(refused, Error::Archive(_)), "{refused}");
    assert_eq!(site.state(), before, "nothing was changed");
}

#[tokio::test]
async fn of_two_operators_who_write_the_same_one_owns_it() {
    // Both plan before either applies; both would write equal values.
    let mut first = Site::with(World::default()).await;
    let mut second = Site::with(World::default()).await;
    second.server = first.server.clone();
    let place = Place { mount: "shop".to_owned(), path: "prod/flask/secret_key".to_owned() };
    // The second is cut off after it announced its writes and before any of them reached the server.
    let calls = {
        let probe = Site::with(World::default()).await;
        probe.server.dies(Death::Before(usize::MAX));
        probe.run(Stage::Apply).await.unwrap();
        let content = String::from_utf8(probe.disk.content()).unwrap();
        content.lines().position(|line| line.contains("\"INTENT\"")).unwrap()
    };
    second.disk.dies(Crash::After(calls + 3));
    second.run(Stage::Apply).await.unwrap_err();
    second.restart();
    first.plan = first.planned().await;
    first.run(Stage::Apply).await.unwrap();
    let error = second.run(Stage::Apply).await.unwrap_err();
    assert!(matches!(&error, Error::Conflict(_) | Error::Moved(_)), "{error}");
    second.run(Stage::Back(None)).await.unwrap();
    assert!(first.server.world().docs.contains_key(&place), "the second takes nothing of the first's back");
}

#[tokio::test]
async fn a_file_that_was_edited_after_the_archive_is_not_replaced() {
    let edited = [MORE.as_bytes(), b"# written since\n"].concat();
    let mut met = 0;
    for lines in 1..12 {
        let site = Site::with(World::default()).await;
        site.up_to(&[Stage::Apply, Stage::Cutover]).await;
        site.disk.dies(Crash::After(lines));
        if site.run(Stage::Retire).await.is_ok() {
            continue;
        }
        site.restart();
        let files = site.cabinet.files();
        if site.cabinet.archives().is_empty() || files["more.env"].0 != MORE.as_bytes() {
            continue;
        }
        if files[".env"].0 == ENV.as_bytes() {
            continue;
        }
        site.cabinet.put("more.env", &edited, 0o600);
        let refused = site.run(Stage::Retire).await.unwrap_err();
        assert!(matches!(&refused, Error::SourceMoved { file } if file == "more.env"), "{lines}: {refused}");
        assert_eq!(site.cabinet.files()["more.env"].0, edited, "nothing is lost");
        met += 1;
    }
    assert!(met > 0, "no death between the two files was met");
}
