//! Each crate uses only the layers below it, and what a layer must not know it does not link.
//!
//! The layers are in `ARCHITECTURE.md`. Normal and build dependencies go strictly downwards. Dev-dependencies may also
//! name a crate of the same layer: a test may put two neighbours together, the product may not.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::workspace::{self, Member};

/// Packages that mean I/O, an async runtime or HTTP; the layers below say who may name them.
const ASYNC: &[&str] = &["tokio", "futures-util", "hyper", "hyper-util", "reqwest", "axum", "tokio-rustls"];
const HTTP: &[&str] = &["http", "http-body-util", "hyper", "hyper-util", "reqwest", "axum"];

/// The half that talks to a server, as seen from the server: it links none of these, and these may use the client.
const CLIENT_SIDE: &[&str] = &["coffre-client", "coffre-source", "coffre-app"];

/// The one crate with a lint table of its own.
const UNSAFE_CRATE: &str = "coffre-secret";

/// The one file that may hold `unsafe`, below the unsafe crate.
const UNSAFE_FILE: &str = "src/lock.rs";

/// Checks all of it and prints one line; fails with every finding.
pub(crate) fn run() -> Result<()> {
    let members = workspace::members()?;
    let root = workspace::root();
    let manifest = fs::read_to_string(root.join("Cargo.toml")).context("reading the root Cargo.toml")?;
    let mut findings = Vec::new();
    for member in &members {
        findings.extend(own(member)?);
        findings.extend(downwards(member, &members));
        findings.extend(ignorance(member));
        findings.extend(unsafe_files(member)?);
    }
    findings.extend(agreement(&manifest, &members, &root));
    findings.extend(builtin_only(&root)?);
    if !findings.is_empty() {
        bail!("layers:\n  {}", findings.join("\n  "));
    }
    println!("layers: {} crates hold", members.len());
    Ok(())
}

/// A layer, a description, and the workspace's lints.
fn own(member: &Member) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let name = &member.name;
    if member.layer.is_none() {
        found
            .push(format!("{name}: no `[package.metadata] layer = n`; take the number from ARCHITECTURE.md"));
    }
    if member.description.trim().is_empty() {
        found.push(format!("{name}: no description in Cargo.toml; one line that says what it is for"));
    }
    let path = member.dir.join("Cargo.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let table: toml::Table = text.parse().with_context(|| format!("parsing {}", path.display()))?;
    let inherits = table
        .get("lints")
        .and_then(|lints| lints.get("workspace"))
        .and_then(toml::Value::as_bool)
        .unwrap_or(false);
    let denies_unsafe = table
        .get("lints")
        .and_then(|lints| lints.get("rust")?.get("unsafe_code")?.as_str().map(|level| level == "deny"))
        .unwrap_or(false);
    if *name == UNSAFE_CRATE {
        if !denies_unsafe {
            found.push(format!("{name}: must deny `unsafe_code`, so that one file alone can expect it"));
        }
    } else if !inherits {
        found.push(format!("{name}: no `[lints] workspace = true`"));
    }
    Ok(found)
}

/// Dependencies within the workspace go to smaller layers.
fn downwards(member: &Member, members: &[Member]) -> Vec<String> {
    let Some(mine) = member.layer else { return Vec::new() };
    let mut found = Vec::new();
    for used in &member.uses {
        let Some(other) = members.iter().find(|other| other.name == used.name) else { continue };
        let Some(theirs) = other.layer else { continue };
        let allowed = if used.dev { theirs <= mine } else { theirs < mine };
        if !allowed {
            found.push(format!(
                "{} (layer {mine}) uses {} (layer {theirs}); a crate uses only smaller layers",
                member.name, other.name
            ));
        }
    }
    found
}

/// What a layer must not know. The server never links the client, and everything up to `policy` is synchronous and
/// does no I/O, which is what makes it fuzzable.
fn ignorance(member: &Member) -> Vec<String> {
    let name = member.name.as_str();
    let layer = member.layer.unwrap_or(0);
    let mut forbidden: Vec<(&str, &str)> = Vec::new();
    if layer <= 1 || matches!(name, "coffre-api" | "coffre-policy" | "coffre-cache") {
        forbidden.extend(ASYNC.iter().map(|used| (*used, "this half is synchronous and does no I/O")));
    }
    let may_speak_http = layer >= 8 || name == "coffre-client";
    if !may_speak_http {
        forbidden.extend(HTTP.iter().map(|used| (*used, "HTTP stays at the rim, in `http` and `client`")));
    }
    if (layer <= 7 || name == "coffre-http") && !CLIENT_SIDE.contains(&name) {
        forbidden.extend(CLIENT_SIDE.iter().map(|used| (*used, "the server does not know its own client")));
    }
    forbidden.push(("openssl", "TLS is rustls"));
    forbidden.push(("native-tls", "TLS is rustls"));
    member
        .uses
        .iter()
        .filter(|used| !used.dev)
        .filter_map(|used| {
            let (_, why) = forbidden.iter().find(|(banned, _)| *banned == used.name)?;
            Some(format!("{name} uses {}: {why}", used.name))
        })
        .collect()
}

/// The word `unsafe` outside the one file; the lints refuse the code, this refuses the expectation.
fn unsafe_files(member: &Member) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for path in crate::measure::rust_files(&member.dir)? {
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let masked = crate::masked::mask(&text);
        let holds = crate::masked::words(&masked).any(|word| word == "unsafe");
        let exempt = member.name == UNSAFE_CRATE && path.ends_with(UNSAFE_FILE);
        if holds && !exempt {
            found.push(format!("{}: `unsafe` outside {UNSAFE_CRATE}/{UNSAFE_FILE}", path.display()));
        }
    }
    Ok(found)
}

/// The list in the root manifest carries each layer in its comment, in ascending order.
fn agreement(manifest: &str, members: &[Member], root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut last = 0;
    for member in members {
        let folder = member.dir.strip_prefix(root).unwrap_or(&member.dir).display().to_string();
        let wanted = format!("\"{folder}\",");
        let Some(line) = manifest.lines().map(str::trim).find(|line| line.starts_with(&wanted)) else {
            found.push(format!("{}: not listed as {wanted} in the root Cargo.toml", member.name));
            continue;
        };
        let comment = line.split_once('#').map_or("", |(_, comment)| comment.trim());
        let stated = comment.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
        if stated.is_none() || stated != member.layer {
            found.push(format!(
                "{}: the root Cargo.toml says layer {stated:?}, its own manifest {:?}",
                member.name, member.layer
            ));
        }
        if comment.split_whitespace().count() < 2 {
            found.push(format!(
                "{}: its line in the root Cargo.toml has no comment on what it is",
                member.name
            ));
        }
    }
    for stated in
        manifest.lines().filter(|line| line.trim_start().starts_with("\"crates/")).filter_map(layer_of)
    {
        if stated < last {
            found.push(format!("root Cargo.toml: members are not in ascending order at layer {stated}"));
        }
        last = stated;
    }
    found
}

fn layer_of(line: &str) -> Option<u64> {
    line.split_once('#')?.1.split_whitespace().next()?.parse().ok()
}

/// The kernel names engines and methods in one file only.
fn builtin_only(root: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for path in crate::measure::rust_files(&root.join("crates/core/src"))? {
        if path.ends_with("builtin.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let product = crate::measure::without_tests(&crate::masked::mask(&text));
        if crate::masked::words(&product).any(|word| matches!(word, "coffre_engines" | "coffre_methods")) {
            found.push(format!("{}: engines are named only in core/src/builtin.rs", path.display()));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::workspace::Use;

    fn member(name: &str, layer: u64, uses: &[(&str, bool)]) -> Member {
        Member {
            name: name.to_owned(),
            dir: PathBuf::from("/repo/crates").join(name),
            layer: Some(layer),
            description: "what it is".to_owned(),
            library: true,
            uses: uses.iter().map(|(name, dev)| Use { name: (*name).to_owned(), dev: *dev }).collect(),
        }
    }

    #[test]
    fn upwards_and_sideways_are_refused_and_downwards_is_not() {
        let all = [member("a", 0, &[]), member("b", 1, &[]), member("c", 1, &[("b", false)])];
        assert_eq!(downwards(&all[2], &all).len(), 1, "sideways");
        let up = member("d", 0, &[("b", false)]);
        assert_eq!(downwards(&up, &all).len(), 1, "upwards");
        let down = member("e", 2, &[("a", false), ("b", false)]);
        assert!(downwards(&down, &all).is_empty());
    }

    #[test]
    fn tests_may_use_a_neighbour_but_nothing_above() {
        let all = [member("b", 1, &[]), member("d", 2, &[])];
        assert!(downwards(&member("c", 1, &[("b", true)]), &all).is_empty());
        assert_eq!(downwards(&member("c", 1, &[("d", true)]), &all).len(), 1);
    }

    #[test]
    fn the_pure_half_links_no_runtime_and_the_server_no_client() {
        assert_eq!(ignorance(&member("coffre-policy", 3, &[("tokio", false)])).len(), 1);
        assert_eq!(ignorance(&member("coffre-core", 7, &[("coffre-client", false)])).len(), 1);
        assert_eq!(ignorance(&member("coffre-engine", 5, &[("hyper", false)])).len(), 1);
        assert!(ignorance(&member("coffre-client", 3, &[("reqwest", false)])).is_empty());
        assert!(ignorance(&member("coffre-storage", 2, &[("tokio", true)])).is_empty());
    }

    #[test]
    fn n9_unsafe_is_found_outside_of_the_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join(UNSAFE_FILE), dir.path().join("src/other.rs"));
        fs::create_dir_all(one.parent().unwrap()).unwrap();
        let with = |name: &str| Member { dir: dir.path().to_path_buf(), ..member(name, 0, &[]) };
        fs::write(&one, "fn f() { unsafe { g() } }").unwrap();
        fs::write(&other, "// unsafe in words\nconst X: &str = \"unsafe\";").unwrap();
        assert!(unsafe_files(&with(UNSAFE_CRATE)).unwrap().is_empty(), "the one file, and words");
        assert_eq!(unsafe_files(&with("coffre-x")).unwrap().len(), 1, "the same file of another crate");
        fs::write(&other, "unsafe impl Send for X {}").unwrap();
        assert_eq!(unsafe_files(&with(UNSAFE_CRATE)).unwrap().len(), 1, "another file of the one crate");
    }

    #[test]
    fn the_list_of_members_must_say_the_same_layer() {
        let root = Path::new("/repo");
        let all = [member("a", 2, &[])];
        assert!(agreement("  \"crates/a\", # 2  what it is\n", &all, root).is_empty());
        assert_eq!(agreement("  \"crates/a\", # 3  what it is\n", &all, root).len(), 1);
        assert_eq!(agreement("  \"crates/a\", # 2\n", &all, root).len(), 1);
        assert_eq!(agreement("", &all, root).len(), 1);
    }
}
