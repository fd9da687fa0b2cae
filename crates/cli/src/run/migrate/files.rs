//! The files that a migration reads, and what is found around them.

use std::path::{Path, PathBuf};

use coffre_manifest::Manifest;
use coffre_migrate::{
    Beyond, File, OddityKind, Plan, Reader, Sources, Syntax, Tree, Usage, discover, hold_against, scan,
};
use coffre_secret::SecretText;

use super::{failed, oracle, unreadable};
use crate::call::Call;
use crate::outcome::Failure;

/// Larger files are no `.env` files and no manifests.
const LARGEST: u64 = 16 << 20;

/// What is found around the files of a plan.
pub(super) struct Around {
    /// Files and values that the plan does not reach.
    pub(super) beyond: Vec<Beyond>,
    /// What the code asks for.
    pub(super) usage: Usage,
    /// What the application's own interpreter said, if it was asked.
    pub(super) oracle: Option<String>,
}

/// The files that were named, or the one beside the manifest.
pub(super) fn sources(
    call: &Call,
    directory: &Path,
    manifest: Option<&Manifest>,
) -> Result<Sources, Failure> {
    let declared = manifest.and_then(|manifest| manifest.dotenv().release.clone());
    let release = call.parsed.one("dotenv-release").map(str::to_owned).or(declared);
    let release = match (release, call.parsed.one("oracle")) {
        (None, Some(python)) => Some(oracle::release(python)?),
        (release, _) => release,
    };
    let named: Vec<String> =
        call.parsed.many("env-file").into_iter().map(str::to_owned).chain(call.rest(0)).collect();
    let mut files: Vec<(Syntax, PathBuf)> = named
        .iter()
        .map(|text| Syntax::split(text))
        .map(|(syntax, file)| (syntax, PathBuf::from(file)))
        .collect();
    if files.is_empty() {
        let beside = if directory == Path::new(".") { ".env".into() } else { directory.join(".env") };
        files.push((Syntax::PythonDotenv, beside));
    }
    read_all(call, files, release.as_deref())
}

/// The files of the plan, read as it read them.
pub(super) fn planned(call: &Call, plan: &Plan) -> Result<Sources, Failure> {
    let files = plan.sources.iter().map(|source| (source.syntax, PathBuf::from(&source.file))).collect();
    read_all(call, files, plan.dotenv_release.as_deref())
}

fn read_all(call: &Call, paths: Vec<(Syntax, PathBuf)>, release: Option<&str>) -> Result<Sources, Failure> {
    let reader =
        Reader::declared(release).ok_or_else(|| Failure::local("-dotenv-release: write it as 1.2.4"))?;
    let mut files = Vec::new();
    for (syntax, path) in paths {
        let bytes = read(&path).map_err(|error| unreadable(&path, &error))?;
        files.push(File { name: path.display().to_string(), bytes: bytes.into(), syntax });
    }
    let env = |name: &str| call.world.env.var(name).map(SecretText::new);
    Sources::read(files, reader, &env).map_err(|error| failed(error.into()))
}

/// Looks for what else is given to the programs, asks the application's interpreter if that was allowed, and notes what
/// was decided.
pub(super) fn look_around(
    call: &Call,
    directory: &Path,
    manifest: Option<&Manifest>,
    sources: &mut Sources,
) -> Result<Around, Failure> {
    let tree = Tree::walk(directory);
    let text = |name: &str| call.world.env.var(name);
    let env = |name: &str| call.world.env.var(name).map(SecretText::new);
    let beyond = hold_against(&discover(&tree, &text), sources, &env);
    let mut said = None;
    if let Some(python) = call.parsed.one("oracle") {
        let read: Vec<PathBuf> = sources.python_files().map(PathBuf::from).collect();
        let answer = oracle::ask(python, &read)?;
        let against = format!("python-dotenv {} of {python}", answer.release);
        for (name, value) in &answer.values {
            sources.hold_against(name, value.as_ref(), OddityKind::Oracle, &against);
        }
        said = Some(against);
    }
    let decided = manifest.map(|manifest| manifest.dotenv().accept.clone()).unwrap_or_default();
    let given = call.parsed.many("accept").into_iter().map(str::to_owned);
    sources.accept(&decided.into_iter().chain(given).collect::<Vec<_>>());
    let usage = scan(&tree).against(sources, manifest);
    Ok(Around { beyond, usage, oracle: said })
}

pub(super) fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LARGEST).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == LARGEST {
        return Err(std::io::Error::other("it is larger than 16 MiB"));
    }
    Ok(bytes)
}

pub(super) fn read_text(path: &Path) -> std::io::Result<String> {
    String::from_utf8(read(path)?).map_err(|_| std::io::Error::other("it is not UTF-8 text"))
}
