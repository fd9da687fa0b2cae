//! Completion of command lines, from the table of commands: which words may follow those that stand there already.
//!
//! Pure. The shells' scripts ([`script`]) ask the program for the words, so a new command or flag needs no new script.

use std::collections::BTreeMap;

use crate::args::{Flag, Takes};
use crate::commands::{COMMANDS, Command};

/// A word that may stand next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// What is inserted. A flag that takes a value ends with `=`.
    pub(crate) word: String,
    /// What it is for, in one sentence.
    pub(crate) about: &'static str,
}

/// A shell that has a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// What may stand in place of the last word, given those before it (without the program's name).
pub(crate) fn candidates(words: &[String]) -> Vec<Candidate> {
    let (typed, before) = words.split_last().map_or(("", &[][..]), |(last, rest)| (last.as_str(), rest));
    if before.iter().any(|word| word == "--") {
        return Vec::new();
    }
    match longest_command(before) {
        Some(command) if typed.starts_with('-') => flags(command, typed),
        // A command's own arguments are paths and data, except where it is the beginning of longer commands.
        _ => next_words(before, typed),
    }
}

/// The command that the leading words name.
fn longest_command(words: &[String]) -> Option<&'static Command> {
    (1..=3).rev().find_map(|many| {
        let name = words.get(..many)?.join(" ");
        COMMANDS.iter().find(|command| command.name == name)
    })
}

fn flags(command: &'static Command, typed: &str) -> Vec<Candidate> {
    let dashes = if typed.starts_with("--") { "--" } else { "-" };
    let spelled = |flag: &'static Flag| {
        let end = if flag.takes == Takes::Nothing { "" } else { "=" };
        Candidate { word: format!("{dashes}{}{end}", flag.name), about: flag.summary }
    };
    let mut found: Vec<Candidate> = command.all_flags().map(spelled).collect();
    found.retain(|candidate| candidate.word.starts_with(typed));
    found.sort_by(|a, b| a.word.cmp(&b.word));
    found
}

fn next_words(before: &[String], typed: &str) -> Vec<Candidate> {
    let mut found = BTreeMap::new();
    for command in COMMANDS {
        let mut words = command.name.split(' ');
        if !before.iter().all(|word| words.next() == Some(word.as_str())) {
            continue;
        }
        let Some(word) = words.next().filter(|word| word.starts_with(typed)) else { continue };
        let about = if words.next().is_none() { command.summary } else { "Several commands." };
        found.entry(word).or_insert(about);
    }
    found.into_iter().map(|(word, about)| Candidate { word: word.to_owned(), about }).collect()
}

/// The script that makes a shell complete `program`.
pub(crate) fn script(shell: Shell, program: &str) -> String {
    let name = format!("_{program}_words");
    match shell {
        Shell::Bash => format!(
            "# bash completion for {program}: put this into a file that ~/.bashrc reads.\n\
             {name}() {{\n    \
                 local IFS=$'\\n'\n    \
                 COMPREPLY=($({program} completion words -- \"${{COMP_WORDS[@]:1:COMP_CWORD}}\" 2>/dev/null))\n    \
                 [[ ${{COMPREPLY[0]-}} == *= ]] && compopt -o nospace\n    \
                 return 0\n\
             }}\n\
             complete -o default -F {name} {program}\n"
        ),
        Shell::Zsh => format!(
            "#compdef {program}\n\
             # zsh completion for {program}: put this into a file _{program} in a directory of $fpath.\n\
             {name}() {{\n    \
                 local -a found\n    \
                 found=(\"${{(@f)$({program} completion words -- \"${{(@)words[2,CURRENT]}}\" 2>/dev/null)}}\")\n    \
                 if [[ -n ${{found[1]}} ]]; then\n        \
                     compadd -S '' -- ${{(M)found:#*=}}\n        \
                     compadd -- ${{found:#*=}}\n    \
                 else\n        \
                     _files\n    \
                 fi\n\
             }}\n\
             if [[ $funcstack[1] == _{program} ]]; then {name}; else compdef {name} {program}; fi\n"
        ),
        Shell::Fish => format!(
            "# fish completion for {program}: put this into ~/.config/fish/completions/{program}.fish.\n\
             function {name}\n    \
                 set -l words (commandline -opc) (commandline -ct)\n    \
                 {program} completion words -describe -- $words[2..-1] 2>/dev/null\n\
             end\n\
             complete -c {program} -a '({name})'\n"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        candidates(&words).into_iter().map(|candidate| candidate.word).collect()
    }

    #[test]
    fn commands_complete_word_by_word() {
        assert_eq!(words("stat"), ["status"]);
        assert_eq!(words("kv metadata p"), ["patch", "put"]);
        assert!(words("kv ").contains(&"metadata".to_owned()));
        assert!(words("").contains(&"operator".to_owned()));
        assert!(words("nonsense ").is_empty());
    }

    #[test]
    fn flags_complete_for_their_command() {
        assert_eq!(words("kv put -ca"), ["-ca-cert=", "-ca-path=", "-cas="]);
        assert_eq!(words("token lookup --acc"), ["--accessor"]);
        assert!(words("read secret/a -f").iter().any(|word| word == "-format="));
        assert!(words("run -- pytho").is_empty());
    }

    #[test]
    fn every_command_can_be_reached() {
        for command in COMMANDS {
            let (before, last) = command.name.rsplit_once(' ').unwrap_or(("", command.name));
            let line = if before.is_empty() { String::new() } else { format!("{before} ") };
            assert!(words(&line).iter().any(|word| word == last), "{}", command.name);
        }
    }
}
