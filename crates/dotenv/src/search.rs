//! Where python-dotenv and Flask would look for a file, without looking: which left-over file would be found is asked of
//! the caller, so that a launcher, an agent or a check can use it with or without a disk.

use std::fmt;
use std::path::{Path, PathBuf};

/// No directory lies deeper; what is above is not looked at.
const HIGHEST: usize = 64;

/// Who would find a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Finder {
    /// `load_dotenv()` and `find_dotenv()`: `.env` beside the module that calls it, then upwards.
    Module,
    /// `find_dotenv(usecwd=True)`, and any `load_dotenv()` from an interactive or frozen program: `.env` in the working
    /// directory, then upwards.
    WorkingDirectory,
    /// The `flask` command: `.env` and `.flaskenv` in the working directory, then upwards.
    Flask,
}

impl fmt::Display for Finder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Module => "load_dotenv(), from the module's directory upwards",
            Self::WorkingDirectory => "python-dotenv, from the working directory upwards",
            Self::Flask => "the flask command, from the working directory upwards",
        })
    }
}

/// A file that would be found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeftOver {
    /// Where it is.
    pub path: PathBuf,
    /// Who would find it.
    pub finder: Finder,
    /// Whether it is the one that would be read; the others would be if it were not there.
    pub nearest: bool,
}

/// `name` in the directory and in each one above it, in the order in which python-dotenv looks.
pub fn upwards<'a>(directory: &'a Path, name: &'a str) -> impl Iterator<Item = PathBuf> + 'a {
    directory.ancestors().take(HIGHEST).map(move |above| above.join(name))
}

/// The files that a program would find which runs in `working` and whose modules lie in `modules`; absolute paths.
/// `is_file` says whether something is there.
pub fn left_over(working: &Path, modules: &[PathBuf], is_file: &dyn Fn(&Path) -> bool) -> Vec<LeftOver> {
    let mut found: Vec<LeftOver> = Vec::new();
    let places = modules.iter().map(|module| (module.as_path(), ".env", Finder::Module));
    let here = [(working, ".env", Finder::WorkingDirectory), (working, ".flaskenv", Finder::Flask)];
    for (directory, name, finder) in places.chain(here) {
        let there = upwards(directory, name).filter(|path| is_file(path));
        for (number, path) in there.enumerate() {
            let nearest = number == 0;
            match found.iter_mut().find(|known| known.path == path) {
                Some(known) => known.nearest |= nearest,
                None => found.push(LeftOver { path, finder, nearest }),
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_upwards_is_found_once() {
        let there = ["/srv/app/.env", "/srv/.env", "/srv/app/api/.flaskenv", "/home/.env"];
        let is_file = |path: &Path| there.iter().any(|known| Path::new(known) == path);
        let found = left_over(Path::new("/srv/app/api"), &[PathBuf::from("/srv/app/lib")], &is_file);
        let shown: Vec<_> = found
            .iter()
            .map(|found| (found.path.display().to_string(), found.finder, found.nearest))
            .collect();
        assert_eq!(
            shown,
            [
                ("/srv/app/.env".to_owned(), Finder::Module, true),
                ("/srv/.env".to_owned(), Finder::Module, false),
                ("/srv/app/api/.flaskenv".to_owned(), Finder::Flask, true),
            ]
        );
    }
}
