//! `completion` and `man`: what shells and manuals need, from the table of commands.

use std::fs;
use std::path::Path;

use crate::args::Flag;
use crate::call::Call;
use crate::complete::{self, Shell};
use crate::manual;
use crate::outcome::{Exit, Failure, Outcome};

pub(crate) const WORDS: &[Flag] = &[Flag::switch("describe", "Say what each word is for, after a tab.")];

/// The script of one shell.
fn script(call: &mut Call, shell: Shell) -> Outcome {
    call.expect_args(0, 0)?;
    let text = complete::script(shell, &call.world.program);
    call.world.say(text.trim_end());
    Ok(Exit::DONE)
}

pub(crate) fn bash(call: &mut Call) -> Outcome {
    script(call, Shell::Bash)
}

pub(crate) fn zsh(call: &mut Call) -> Outcome {
    script(call, Shell::Zsh)
}

pub(crate) fn fish(call: &mut Call) -> Outcome {
    script(call, Shell::Fish)
}

/// What the scripts ask: the words that may stand in place of the last one.
pub(crate) fn words(call: &mut Call) -> Outcome {
    let describe = call.parsed.on("describe");
    let lines: Vec<String> = complete::candidates(&call.parsed.positionals)
        .into_iter()
        .map(|found| if describe { format!("{}\t{}", found.word, found.about) } else { found.word })
        .collect();
    if !lines.is_empty() {
        call.world.say(&lines.join("\n"));
    }
    Ok(Exit::DONE)
}

/// Writes the manual pages into a directory.
pub(crate) fn man(call: &mut Call) -> Outcome {
    let directory = call.only_arg()?;
    let directory = Path::new(&directory);
    let failed = |path: &Path, error: &std::io::Error| {
        Failure::local(format!("cannot write {}: {error}", path.display()))
    };
    fs::create_dir_all(directory).map_err(|error| failed(directory, &error))?;
    let pages = manual::pages(&call.world.program, env!("CARGO_PKG_VERSION"));
    for page in &pages {
        let path = directory.join(&page.file);
        fs::write(&path, &page.text).map_err(|error| failed(&path, &error))?;
    }
    let where_to = directory.display();
    call.world.say(&format!("Wrote {} manual pages to {where_to}: try `man -M`, or `man -l`.", pages.len()));
    Ok(Exit::DONE)
}
