//! How each secret was exposed while it stood in a file: in the history of a repository, to every user of the machine, or
//! to whoever could read the file. History is searched by reading old versions of files of assignments and comparing values
//! here; no value is an argument of a program.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use coffre_crypto::digest;
use coffre_dotenv::{Dialect, Document, Interpolation, Precedence};
use coffre_secret::{SecretText, SecretVec};

use crate::journal::{Exposure, Queued};
use crate::plan::{Action, Plan};
use crate::source::Sources;

/// Old versions that are looked at.
const MOST_BLOBS: usize = 5_000;
/// Larger ones are no files of assignments.
const LARGEST_BLOB: u64 = 1 << 20;

/// The plan's secrets, each with the worst exposure that is found.
#[must_use]
pub fn exposures(plan: &Plan, sources: &Sources) -> Vec<Queued> {
    let secret = plan.items.iter().filter(|item| !matches!(item.action, Action::Skip | Action::Template));
    let names: BTreeSet<&str> = secret.map(|item| item.name.as_str()).collect();
    let open: BTreeSet<&str> =
        sources.files.iter().map(|file| file.name.as_str()).filter(|name| is_open(name)).collect();
    let in_git = in_history(sources, &names);
    let exposure = |name: &str| {
        let file = sources.variable(name).map(|variable| variable.file.as_str()).unwrap_or_default();
        match (in_git.contains(name), open.contains(file)) {
            (true, _) => Exposure::Git,
            (false, true) => Exposure::WorldReadable,
            (false, false) => Exposure::File,
        }
    };
    names.iter().map(|name| Queued::by_migration(*name, exposure(name))).collect()
}

fn is_open(file: &str) -> bool {
    std::fs::metadata(file).is_ok_and(|about| about.mode() & 0o004 != 0)
}

/// The names whose value of today stands in an old version of a file of assignments.
fn in_history<'a>(sources: &Sources, names: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
    // By hash, so that many values against many versions stay quick; the hashes go no further than this function.
    let mut wanted: BTreeMap<[u8; 32], Vec<&str>> = BTreeMap::new();
    for name in names {
        let value = sources.variable(name).and_then(|variable| variable.value.as_ref());
        // An empty value says nothing.
        for value in value.into_iter().filter(|value| !value.is_empty()) {
            // EXPOSE: its hash is taken.
            wanted.entry(digest::sha256(value.expose().as_bytes())).or_default().push(name);
        }
    }
    let mut directories: Vec<PathBuf> =
        sources.files.iter().map(|file| directory_of(Path::new(&file.name))).collect();
    directories.dedup();
    let blobs = directories.iter().flat_map(|directory| old_versions(directory));
    let hashes = blobs.flat_map(|blob| hashes(&blob));
    hashes.filter_map(|hash| wanted.get(&hash)).flatten().copied().collect()
}

/// The hashes of a file's values.
fn hashes(blob: &SecretVec) -> Vec<[u8; 32]> {
    // EXPOSE: parsed; values are secret again.
    let Ok(document) = Document::from_bytes(blob.expose().clone(), Dialect::default()) else { return vec![] };
    let nothing = |_: &str| None::<SecretText>;
    let values = document.values(&nothing, Precedence::FileFirst, Interpolation::On);
    // EXPOSE: their hashes are taken.
    values.iter().filter_map(|(_, value)| Some(digest::sha256(value?.expose().as_bytes()))).collect()
}

/// All versions that the history has of files which are called like files of assignments.
fn old_versions(directory: &Path) -> Vec<SecretVec> {
    let listed = git(
        directory,
        &[
            "log",
            "--all",
            "--format=",
            "--raw",
            "--no-abbrev",
            "--no-renames",
            "-m",
            "-z",
            "--",
            ":(top,icase)*.env*",
            ":(top,icase)*.flaskenv",
            ":(top,icase)*/env",
        ],
    );
    let Some(listed) = listed.and_then(|output| String::from_utf8(output).ok()) else { return vec![] };
    // `:100644 100644 <old> <new> M`
    let mut ids: Vec<&str> = listed
        .split(['\0', '\n'])
        .filter(|line| line.starts_with(':'))
        .flat_map(|line| line.split(' ').skip(2).take(2))
        .filter(|id| id.bytes().any(|byte| byte != b'0') && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids.truncate(MOST_BLOBS);
    contents(directory, &ids).unwrap_or_default()
}

/// The contents of blobs, through one `git cat-file`.
fn contents(directory: &Path, ids: &[&str]) -> Option<Vec<SecretVec>> {
    let mut child = command(directory)
        .args(["cat-file", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let (mut ask, mut answer) = (child.stdin.take()?, std::io::BufReader::new(child.stdout.take()?));
    let mut found = Vec::new();
    for id in ids {
        writeln!(ask, "{id}").ok()?;
        ask.flush().ok()?;
        let mut head = String::new();
        std::io::BufRead::read_line(&mut answer, &mut head).ok()?;
        let Some(size) = head.trim_end().rsplit(' ').next().and_then(|size| size.parse::<u64>().ok()) else {
            continue;
        };
        let mut bytes = Vec::new();
        // One line end follows.
        (&mut answer).take(size + 1).read_to_end(&mut bytes).ok()?;
        bytes.pop();
        let bytes = SecretVec::new(bytes);
        found.extend((size <= LARGEST_BLOB).then_some(bytes));
    }
    drop(ask);
    let _ = child.wait();
    Some(found)
}

fn git(directory: &Path, arguments: &[&str]) -> Option<Vec<u8>> {
    let done = command(directory).args(arguments).stderr(Stdio::null()).output().ok()?;
    done.status.success().then_some(done.stdout)
}

/// A repository's settings may name programs; none of them is started.
fn command(directory: &Path) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(directory).args([
        "-c",
        "core.fsmonitor=false",
        "-c",
        "log.showSignature=false",
        "--no-pager",
    ]);
    command.env("GIT_OPTIONAL_LOCKS", "0").env("GIT_TERMINAL_PROMPT", "0").env("GIT_NO_LAZY_FETCH", "1");
    command
}

fn directory_of(path: &Path) -> PathBuf {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new(".")).to_owned()
}
