//! Killed at every call to the server (with and without its effect) and at every journal line (before, after, torn,
//! lost), a migration ends as if nothing had happened, or is taken back to exactly the state before; and nobody else's
//! write is ever lost.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

mod fake;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use coffre_ambient::{ManualClock, SystemEntropy, Wall};
use coffre_manifest::Manifest;
use coffre_migrate::{
    Applied, Error, File, Fingerprints, Journal, Object, Overwrite, Place, Plan, Reader, RolledBack, Sources,
    Target, Verified, Work, apply, classify, plan, role_state, rollback, status, survey, verify,
};
use coffre_secret::{SecretBytes, SecretText};
use fake::{Crash, Death, Disk, Server, Visible, World};

const MANIFEST: &str = r#"
app = "shop"
environments = ["dev", "prod"]
[secret.SECRET_KEY]
path = "flask/secret_key"
[secret.DB_PASSWORD]
path = "database/password"
[secret.DB_USER]
path = "database/password"
field = "username"
[secret.DATABASE_URL]
template = "postgresql://{DB_USER}:{DB_PASSWORD|pct}@db:5432/shop"
[secret.SAME]
path = "app/same"
[secret.DIFFERENT]
path = "app/different"
[secret.DELETED]
path = "app/deleted"
[secret.BARE]
path = "app/bare"
[secret.EMPTY]
path = "app/empty"
[config]
names = ["FLASK_ENV", "PORT"]
"#;

const ENV: &str = "\
SECRET_KEY='a#$^b'
DB_USER=shop
DB_PASSWORD=\"p@ss w%rd\"
DATABASE_URL=postgresql://shop:p%40ss%20w%25rd@db:5432/shop
SAME=same
DIFFERENT=new
DELETED=again
BARE=first
EMPTY=
FLASK_ENV=production
PORT=8000
";

/// A server on which much is there already, partly in the way.
fn used() -> World {
    let mut world = World::default();
    world.objects.insert(Object::Mount("shop".to_owned()), "kv/2".to_owned());
    world.objects.insert(Object::Auth("approle".to_owned()), "approle".to_owned());
    world.objects.insert(Object::Policy("shop-api-read".to_owned()), "path \"other/*\" {}\n".to_owned());
    let role = Object::Role { auth: "approle".to_owned(), name: "shop-api".to_owned() };
    world.objects.insert(role, role_state(&["default".to_owned()], 60, 120));
    world.put_doc("shop/prod/app/same", r#"{"value":"same"}"#);
    world.put_doc("shop/prod/app/different", r#"{"value":"older","n":1.50}"#);
    world.put_doc("shop/prod/app/different", r#"{"value":"old","n":1.50}"#);
    world.put_doc("shop/prod/app/deleted", r#"{"value":"was here"}"#);
    world.put_doc("shop/prod/unrelated", r#"{"value":"mine"}"#);
    let place = |path: &str| Place { mount: "shop".to_owned(), path: path.to_owned() };
    world.docs.get_mut(&place("prod/app/deleted")).unwrap().versions[0].gone = true;
    world.docs.entry(place("prod/app/bare")).or_default().custom = "owner=team".to_owned();
    world.docs.get_mut(&place("prod/app/different")).unwrap().custom = "owner=me".to_owned();
    world
}

fn worlds() -> [World; 2] {
    [World::default(), used()]
}

fn prints() -> Fingerprints {
    Fingerprints::under(&SecretBytes::zeroed())
}

fn sources(text: &str) -> Sources {
    let file = File::dotenv(".env", text.as_bytes().to_vec());
    Sources::read(vec![file], Reader::Unknown, &|_: &str| None::<SecretText>).unwrap()
}

fn say(text: &str) {
    std::io::stderr().write_all(format!("kill matrix: {text}\n").as_bytes()).unwrap();
}

/// One machine: a server, a disk, the files and the manifest.
struct Site {
    server: Server,
    disk: Disk,
    sources: Sources,
    manifest: Manifest,
    clock: ManualClock,
}

impl Site {
    fn with(world: World) -> Self {
        Self {
            server: Server::with(world),
            disk: Disk::default(),
            sources: sources(ENV),
            manifest: Manifest::parse(MANIFEST).unwrap(),
            clock: ManualClock::starting_at(Wall::from_secs(1_790_000_000)),
        }
    }

    fn target(&self) -> Target<'_> {
        Target {
            manifest: &self.manifest,
            environment: "prod",
            server: "https://vault:8200",
            auth: "approle",
        }
    }

    async fn plan(&self, overwrite: Overwrite) -> Plan {
        let found = survey(&self.server, &self.target()).await.unwrap();
        let findings = classify(&self.sources, Some(&self.manifest));
        plan(&self.target(), &self.sources, &findings, &found, &overwrite, &prints())
    }

    async fn apply(&self, plan: &Plan) -> Result<Applied, Error> {
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
        apply(&work, plan, &self.sources, &mut journal).await
    }

    async fn rollback(&self) -> Result<RolledBack, Error> {
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
        rollback(&work, "https://vault:8200", &mut journal).await
    }

    async fn verify(&self) -> Result<Verified, Error> {
        verify(&self.server, &self.target(), &self.sources).await
    }

    fn visible(&self) -> Visible {
        self.server.world().visible()
    }

    fn versions(&self) -> BTreeMap<Place, usize> {
        self.server.world().docs.into_iter().map(|(place, doc)| (place, doc.versions.len())).collect()
    }

    fn restart(&self) {
        self.server.revive();
        self.disk.revive();
    }
}

/// What the uninterrupted run gives: (after apply, its version numbers, calls of apply, of rollback, lines of both).
struct Undisturbed {
    applied: Visible,
    versions: BTreeMap<Place, usize>,
    rolled_back_versions: BTreeMap<Place, usize>,
    calls: (usize, usize),
    lines: (usize, usize),
}

async fn undisturbed(world: World) -> Undisturbed {
    let site = Site::with(world.clone());
    let plan = site.plan(Overwrite::All).await;
    assert!(plan.questions.is_empty(), "{:?}", plan.questions);
    site.restart();
    site.apply(&plan).await.unwrap();
    let (apply_calls, apply_lines) = (site.server.calls(), site.disk.appends());
    let (applied, versions) = (site.visible(), site.versions());
    assert_eq!(site.verify().await.unwrap().variables(), 11);
    site.restart();
    let undone = site.rollback().await.unwrap();
    assert_eq!(undone.left, Vec::<String>::new());
    assert_eq!(site.visible(), world.visible(), "a rollback leaves exactly what was there");
    Undisturbed {
        applied,
        versions,
        rolled_back_versions: site.versions(),
        calls: (apply_calls, site.server.calls()),
        lines: (apply_lines, site.disk.appends()),
    }
}

async fn resumes(site: &Site, plan: &Plan, expected: &Undisturbed, world: &World, what: &str) {
    site.restart();
    site.apply(plan).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(site.visible(), expected.applied, "{what}");
    assert_eq!(site.versions(), expected.versions, "{what}: written twice");
    let changes = site.server.changes();
    assert!(site.apply(plan).await.unwrap().nothing_to_do, "{what}");
    assert_eq!(site.server.changes(), changes, "{what}: applying again wrote");
    site.verify().await.unwrap_or_else(|error| panic!("{what}: {error}"));
    taken_back(site, world, what).await;
}

async fn taken_back(site: &Site, world: &World, what: &str) {
    site.restart();
    match site.rollback().await {
        Ok(undone) => assert_eq!(undone.left, Vec::<String>::new(), "{what}"),
        Err(Error::NothingToUndo(_)) => {}
        Err(error) => panic!("{what}: {error}"),
    }
    assert_eq!(site.visible(), world.visible(), "{what}");
}

#[tokio::test]
async fn the_server_dies_at_any_call_of_apply() {
    let mut count = 0;
    for world in worlds() {
        let expected = undisturbed(world.clone()).await;
        for n in 1..=expected.calls.0 {
            for death in [Death::Before(n), Death::After(n)] {
                for resume in [true, false] {
                    count += 1;
                    let site = Site::with(world.clone());
                    let plan = site.plan(Overwrite::All).await;
                    site.server.dies(death);
                    let error = site.apply(&plan).await.unwrap_err();
                    let what = format!("{death:?}, resume {resume}: {error}");
                    if resume {
                        resumes(&site, &plan, &expected, &world, &what).await;
                    } else {
                        taken_back(&site, &world, &what).await;
                    }
                }
            }
        }
    }
    say(&format!("the server dies at any call of apply: {count} ways, all resumed or undone"));
}

#[tokio::test]
async fn killed_at_any_journal_line_of_apply() {
    let mut count = 0;
    for world in worlds() {
        let expected = undisturbed(world.clone()).await;
        for n in 1..=expected.lines.0 {
            for crash in [Crash::Before(n), Crash::After(n), Crash::Torn(n), Crash::Lost(n)] {
                for resume in [true, false] {
                    count += 1;
                    let site = Site::with(world.clone());
                    let plan = site.plan(Overwrite::All).await;
                    site.disk.dies(crash);
                    let error = site.apply(&plan).await.unwrap_err();
                    let what = format!("{crash:?}, resume {resume}: {error}");
                    if resume {
                        resumes(&site, &plan, &expected, &world, &what).await;
                    } else {
                        taken_back(&site, &world, &what).await;
                    }
                }
            }
        }
    }
    say(&format!("killed at any journal line of apply: {count} ways, all resumed or undone"));
}

#[tokio::test]
async fn killed_anywhere_during_rollback() {
    let mut count = 0;
    for world in worlds() {
        let expected = undisturbed(world.clone()).await;
        let deaths = (1..=expected.calls.1)
            .flat_map(|n| [(Some(Death::Before(n)), None), (Some(Death::After(n)), None)]);
        let crashes = (1..=expected.lines.1).flat_map(|n| {
            [Crash::Before(n), Crash::After(n), Crash::Torn(n), Crash::Lost(n)]
                .map(|crash| (None, Some(crash)))
        });
        for (death, crash) in deaths.chain(crashes) {
            count += 1;
            let site = Site::with(world.clone());
            let plan = site.plan(Overwrite::All).await;
            site.apply(&plan).await.unwrap();
            site.restart();
            death.inspect(|death| site.server.dies(*death));
            crash.inspect(|crash| site.disk.dies(*crash));
            let what = format!("{death:?} {crash:?}");
            assert!(site.rollback().await.is_err(), "{what}");
            taken_back(&site, &world, &what).await;
            assert_eq!(site.versions(), expected.rolled_back_versions, "{what}: taken back twice");
        }
    }
    say(&format!("killed anywhere during rollback: {count} ways, all resumed"));
}

#[tokio::test]
async fn a_plan_given_up_for_another_can_still_be_taken_back() {
    let world = used();
    let calls = undisturbed(world.clone()).await.calls.0;
    for n in 1..=calls {
        let mut site = Site::with(world.clone());
        let first = site.plan(Overwrite::All).await;
        site.server.dies(Death::After(n));
        site.apply(&first).await.unwrap_err();
        site.restart();
        site.sources = sources(&ENV.replace("DIFFERENT=new", "DIFFERENT=newer"));
        let refused = site.apply(&first).await.unwrap_err();
        assert!(matches!(refused, Error::SourceMoved { .. }), "{refused}");
        let second = site.plan(Overwrite::All).await;
        site.apply(&second).await.unwrap_or_else(|error| panic!("{n}: {error}"));
        site.verify().await.unwrap();
        // Both runs, the newer first.
        for _ in 0..2 {
            match site.rollback().await {
                Ok(undone) => assert_eq!(undone.left, Vec::<String>::new(), "{n}"),
                Err(Error::NothingToUndo(_)) => {}
                Err(error) => panic!("{n}: {error}"),
            }
        }
        assert_eq!(site.visible(), world.visible(), "{n}");
    }
}

#[tokio::test]
async fn a_destination_that_moved_stops_everything_before_the_first_write() {
    let site = Site::with(used());
    let plan = site.plan(Overwrite::All).await;
    site.server.change(|world| world.put_doc("shop/prod/app/different", r#"{"value":"theirs"}"#));
    let (before, changes) = (site.server.world(), site.server.changes());
    let error = site.apply(&plan).await.unwrap_err();
    assert!(matches!(&error, Error::Moved(places) if places == &["shop/prod/app/different"]), "{error}");
    assert!(error.to_string().contains("migrate plan"), "{error}");
    assert_eq!((site.server.world(), site.server.changes()), (before, changes));
}

#[tokio::test]
async fn somebody_who_writes_at_the_same_moment_loses_nothing() {
    for world in worlds() {
        for write in 1..=6 {
            let site = Site::with(world.clone());
            let plan = site.plan(Overwrite::All).await;
            site.server.intrude_at(write);
            let error = site.apply(&plan).await.unwrap_err();
            let Error::Conflict(places) = &error else { panic!("{error}") };
            assert_eq!(places.len(), 1);
            let theirs = |site: &Site| {
                let docs = site.visible().1;
                docs.iter().filter(|(_, (text, _))| text.as_deref() == Some(r#"{"value":"foreign"}"#)).count()
            };
            assert_eq!(theirs(&site), 1, "{error}");
            site.restart();
            site.rollback().await.unwrap();
            assert_eq!(theirs(&site), 1, "a rollback leaves their write");
        }
    }
}

#[tokio::test]
async fn what_others_changed_after_us_is_left() {
    let site = Site::with(World::default());
    let plan = site.plan(Overwrite::All).await;
    site.apply(&plan).await.unwrap();
    site.server.change(|world| world.put_doc("shop/prod/flask/secret_key", r#"{"value":"rotated"}"#));
    let undone = site.rollback().await.unwrap();
    assert_eq!(undone.left.len(), 2, "{:?}", undone.left);
    assert!(
        undone.left[0].contains("shop/prod/flask/secret_key") && undone.left[0].contains("version 2"),
        "{undone:?}"
    );
    assert!(undone.left[1].contains("secrets engine shop/"), "{undone:?}");
    let (objects, docs) = site.visible();
    assert_eq!(docs.len(), 1);
    assert_eq!(objects.into_keys().collect::<Vec<_>>(), [Object::Mount("shop".to_owned())]);
}

#[tokio::test]
async fn what_others_made_before_us_is_theirs() {
    let site = Site::with(World::default());
    let plan = site.plan(Overwrite::All).await;
    let made: Vec<(Object, String)> = site.target().objects();
    site.server.change(|world| world.objects.extend(made));
    let theirs = site.visible();
    assert_eq!(site.apply(&plan).await.unwrap().objects, 0);
    site.verify().await.unwrap();
    assert_eq!(site.rollback().await.unwrap().left, Vec::<String>::new());
    assert_eq!(site.visible(), theirs);
}

#[tokio::test]
async fn another_value_is_not_replaced_unless_asked() {
    let site = Site::with(used());
    let plan = site.plan(Overwrite::Only(vec![])).await;
    assert_eq!(plan.questions.len(), 1, "{:?}", plan.questions);
    assert!(plan.questions[0].contains("-overwrite=DIFFERENT"), "{:?}", plan.questions);
    let changes = site.server.changes();
    assert!(matches!(site.apply(&plan).await.unwrap_err(), Error::Blocked(_)));
    assert_eq!(site.server.changes(), changes);
    assert!(site.plan(Overwrite::Only(vec!["DIFFERENT".to_owned()])).await.questions.is_empty());
}

#[tokio::test]
async fn an_edited_plan_or_journal_is_refused() {
    let site = Site::with(World::default());
    let mut plan = site.plan(Overwrite::All).await;
    plan.documents[0].place.path = "prod/elsewhere".to_owned();
    assert!(matches!(site.apply(&plan).await.unwrap_err(), Error::PlanChanged));
    let plan = site.plan(Overwrite::All).await;
    site.apply(&plan).await.unwrap();
    let content = site.disk.content();
    let lines = content.split_inclusive(|byte| *byte == b'\n').count();
    for (number, edit) in [(2, "shop"), (3, "wanted")] {
        let mut edited: Vec<Vec<u8>> =
            content.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        let text = String::from_utf8(edited[number].clone()).unwrap().replacen(edit, "else", 1);
        edited[number] = text.into_bytes();
        site.disk.set(edited.concat());
        let error = site.apply(&plan).await.unwrap_err();
        assert!(error.to_string().contains(&format!("line {}", number + 1)), "{error}");
    }
    // A line taken out of the middle is noticed too.
    let cut: Vec<u8> = content
        .split_inclusive(|byte| *byte == b'\n')
        .enumerate()
        .filter(|(n, _)| *n != lines / 2)
        .flat_map(|(_, line)| line.to_vec())
        .collect();
    site.disk.set(cut);
    assert!(site.rollback().await.is_err());
}

#[tokio::test]
async fn verification_fails_for_what_is_wrong() {
    let site = Site::with(World::default());
    let plan = site.plan(Overwrite::All).await;
    site.apply(&plan).await.unwrap();
    let says = async |change: &dyn Fn(&mut World)| {
        let kept = site.server.world();
        site.server.change(change);
        let problem = site.verify().await.unwrap_err().to_string();
        site.server.change(|world| *world = kept.clone());
        problem
    };
    let policy = Object::Policy("shop-api-read".to_owned());
    let secret = Place { mount: "shop".to_owned(), path: "prod/flask/secret_key".to_owned() };
    let other = says(&|world| world.put_doc("shop/prod/flask/secret_key", r#"{"value":"other"}"#)).await;
    assert!(other.contains("SECRET_KEY has another value"), "{other}");
    let gone = says(&|world| drop(world.docs.remove(&secret))).await;
    assert!(gone.contains("SECRET_KEY is not in the vault"), "{gone}");
    let part =
        says(&|world| world.put_doc("shop/prod/database/password", r#"{"value":"x","username":"shop"}"#))
            .await;
    assert!(part.contains("DATABASE_URL has another value"), "templates are rendered from the vault: {part}");
    let wide = says(&|world| {
        let text = "path \"shop/*\" {\n  capabilities = [\"read\", \"update\"]\n}\n";
        world.objects.insert(policy.clone(), text.to_owned());
    })
    .await;
    assert!(wide.contains("may write") && wide.contains("may read"), "{wide}");
    let narrow = says(&|world| drop(world.objects.insert(policy.clone(), String::new()))).await;
    assert!(narrow.contains("cannot read"), "{narrow}");
    let mut more = Site::with(site.server.world());
    more.manifest = Manifest::parse(&format!("{MANIFEST}[secret.UNSET]\npath = \"app/unset\"\n")).unwrap();
    let unset = more.verify().await.unwrap_err().to_string();
    assert!(unset.contains("UNSET is not in the vault"), "the program would not start: {unset}");
    for value in ["a#$^b", "p@ss", "again", "other"] {
        assert!(
            ![&other, &gone, &part, &wide, &narrow].iter().any(|text| text.contains(&format!("`{value}")))
        );
    }
    site.verify().await.unwrap();
}

#[tokio::test]
async fn n7_no_value_is_in_the_plan_the_journal_or_a_message() {
    let site = Site::with(used());
    let plan = site.plan(Overwrite::All).await;
    site.server.dies(Death::After(20));
    let message = site.apply(&plan).await.unwrap_err();
    site.restart();
    site.apply(&plan).await.unwrap();
    site.rollback().await.unwrap();
    let kept = format!(
        "{}{message}{message:?}{}",
        serde_json::to_string(&plan).unwrap(),
        String::from_utf8(site.disk.content()).unwrap()
    );
    for value in ["a#$^b", "p@ss", "p%40ss", "\"again\"", "\"first\"", "\"old\"", "was here"] {
        assert!(!kept.contains(value), "{value} is in {kept}");
    }
    assert_eq!(
        site.plan(Overwrite::All).await.plan_id,
        site.plan(Overwrite::All).await.plan_id,
        "plans are reproducible"
    );
}

#[tokio::test]
async fn many_documents_in_batches() {
    let entries: String = (0..150).map(|n| format!("[secret.K{n}_TOKEN]\npath = \"many/k{n}\"\n")).collect();
    let mut site = Site::with(World::default());
    site.manifest =
        Manifest::parse(&format!("app = \"shop\"\nenvironments = [\"prod\"]\n{entries}")).unwrap();
    site.sources = sources(&(0..150).map(|n| format!("K{n}_TOKEN=value-{n}\n")).collect::<String>());
    let plan = site.plan(Overwrite::All).await;
    for n in [100, 110, 20] {
        site.server.dies(Death::After(n));
        site.apply(&plan).await.unwrap_err();
        site.restart();
    }
    site.apply(&plan).await.unwrap();
    assert!(site.versions().values().all(|versions| *versions == 1));
    assert_eq!(site.verify().await.unwrap().from_vault(), 150);
    let journal = Journal::open(Box::new(site.disk.clone())).unwrap();
    let found = status(&journal);
    assert_eq!((found.runs.len(), found.runs[0].state, found.runs[0].in_doubt), (1, "applied", 0));
}
