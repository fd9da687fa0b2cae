//! What cargo knows about the workspace: members, layers, dependencies, licences.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// The repository's root, from where this crate was compiled.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// A member of the workspace.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// Package name, for example `coffre-api`.
    pub(crate) name: String,
    /// Directory, absolute.
    pub(crate) dir: PathBuf,
    /// `[package.metadata] layer`, if stated.
    pub(crate) layer: Option<u64>,
    /// `[package] description`, empty if missing.
    pub(crate) description: String,
    /// Whether it has a library target.
    pub(crate) library: bool,
    /// Direct dependencies.
    pub(crate) uses: Vec<Use>,
}

/// One direct dependency.
#[derive(Debug, Clone)]
pub(crate) struct Use {
    /// Package name.
    pub(crate) name: String,
    /// Whether only the tests see it.
    pub(crate) dev: bool,
}

/// A package somewhere in the tree of dependencies.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// SPDX expression, if the package states one.
    pub(crate) licence: Option<String>,
    /// Where it comes from; `None` for our own.
    pub(crate) source: Option<String>,
}

/// The members, in cargo's order.
pub(crate) fn members() -> Result<Vec<Member>> {
    let metadata = metadata(&["--no-deps"])?;
    list(&metadata, "packages").iter().map(member).collect()
}

/// Every package that any target of the workspace may link.
pub(crate) fn packages() -> Result<Vec<Package>> {
    let metadata = metadata(&["--all-features"])?;
    Ok(list(&metadata, "packages")
        .iter()
        .map(|package| Package {
            name: text(package, "name"),
            version: text(package, "version"),
            licence: package.get("license").and_then(Value::as_str).map(str::to_owned),
            source: package.get("source").and_then(Value::as_str).map(str::to_owned),
        })
        .collect())
}

fn metadata(extra: &[&str]) -> Result<Value> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1"])
        .args(extra)
        .current_dir(root())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata printed something else than JSON")
}

fn member(package: &Value) -> Result<Member> {
    let manifest = PathBuf::from(text(package, "manifest_path"));
    let dir = manifest.parent().context("a manifest without a directory")?.to_path_buf();
    let library = list(package, "targets")
        .iter()
        .flat_map(|target| list(target, "kind"))
        .any(|kind| matches!(kind.as_str(), Some("lib" | "rlib" | "cdylib")));
    let uses = list(package, "dependencies")
        .iter()
        .map(|used| Use { name: text(used, "name"), dev: text(used, "kind") == "dev" })
        .collect();
    Ok(Member {
        name: text(package, "name"),
        dir,
        layer: package.pointer("/metadata/layer").and_then(Value::as_u64),
        description: text(package, "description"),
        library,
        uses,
    })
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
