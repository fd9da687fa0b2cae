//! The process's surroundings, as values: environment, streams, terminals.

use std::io::{IsTerminal as _, Read, Write};
use std::path::PathBuf;

use coffre_secret::SecretText;

use crate::visible::visible;

/// Where environment variables are looked up.
pub(crate) trait Lookup: Send + Sync {
    /// The value of a variable, if it is set and is text.
    fn var(&self, name: &str) -> Option<String>;
}

/// The environment that this process was given.
pub(crate) struct ProcessEnv;

impl Lookup for ProcessEnv {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that asks the process for its environment"
    )]
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

impl Lookup for std::collections::BTreeMap<String, String> {
    fn var(&self, name: &str) -> Option<String> {
        self.get(name).cloned()
    }
}

/// Standard error, for lines that come while something else of the surroundings is in use.
pub(crate) struct Voice<'a> {
    err: &'a mut dyn Write,
    colour: bool,
}

impl Voice<'_> {
    /// A line for the person.
    pub(crate) fn tell(&mut self, text: &str) {
        let _ = writeln!(self.err, "{}", visible(text));
    }

    /// A line for the person, in yellow where standard error is a terminal.
    pub(crate) fn warn(&mut self, text: &str) {
        let text = visible(text);
        // Nobody is left to tell if this fails.
        let _ = match self.colour {
            true => writeln!(self.err, "\x1b[33m{text}\x1b[0m"),
            false => writeln!(self.err, "{text}"),
        };
    }
}

/// Everything a command may touch besides its arguments and the server.
pub(crate) struct World {
    pub(crate) env: Box<dyn Lookup>,
    /// `coffre`, `vault` or `bao`: what the program was called.
    pub(crate) program: String,
    pub(crate) stdin: Box<dyn Read>,
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    pub(crate) out_is_terminal: bool,
    pub(crate) in_is_terminal: bool,
    err_is_terminal: bool,
    lost_output: bool,
    /// Whether what is printed comes from the server, so that a terminal must not obey it.
    pub(crate) cautious: bool,
    /// `-no-color`.
    pub(crate) plain: bool,
    /// `-non-interactive`.
    pub(crate) silent: bool,
}

impl World {
    /// The surroundings of this process.
    pub(crate) fn of_process(program: String) -> Self {
        Self {
            env: Box::new(ProcessEnv),
            program,
            out_is_terminal: std::io::stdout().is_terminal(),
            in_is_terminal: std::io::stdin().is_terminal(),
            err_is_terminal: std::io::stderr().is_terminal(),
            stdin: Box::new(std::io::stdin()),
            out: Box::new(std::io::stdout()),
            err: Box::new(std::io::stderr()),
            lost_output: false,
            cautious: false,
            plain: false,
            silent: false,
        }
    }

    /// The result of a command, on standard output, with a new line.
    pub(crate) fn say(&mut self, text: &str) {
        self.say_bare(text);
        self.say_bare("\n");
    }

    /// The result of a command, on standard output, as it is.
    pub(crate) fn say_bare(&mut self, text: &str) {
        let text = if self.cautious && self.out_is_terminal { visible(text) } else { text.into() };
        self.lost_output |= self.out.write_all(text.as_bytes()).is_err();
    }

    /// How many characters fit on a line of the result: `COLUMNS`, else what the terminal says; `None`: any number.
    pub(crate) fn columns(&self) -> Option<usize> {
        let said = self.env.var("COLUMNS").and_then(|text| text.parse().ok());
        let asked = || rustix::termios::tcgetwinsize(std::io::stdout()).ok().map(|size| size.ws_col.into());
        said.or_else(|| asked().filter(|_| self.out_is_terminal)).filter(|columns| *columns > 0)
    }

    /// A line of the result, coloured (SGR) where standard output is a terminal.
    pub(crate) fn say_coloured(&mut self, colour: Option<u8>, text: &str) {
        match colour.filter(|_| self.out_is_terminal && self.wants_colour()) {
            None => self.say(text),
            Some(colour) => {
                let painted = format!("\x1b[{colour}m{}\x1b[0m\n", visible(text));
                self.lost_output |= self.out.write_all(painted.as_bytes()).is_err();
            }
        }
    }

    /// A line for the person, on standard error.
    pub(crate) fn tell(&mut self, text: &str) {
        self.paint(None, text);
    }

    /// A warning, on standard error, in yellow where that is a terminal.
    pub(crate) fn warn(&mut self, text: &str) {
        self.paint(Some(33), text);
    }

    /// An error, on standard error, its first line in red where that is a terminal.
    pub(crate) fn complain(&mut self, text: &str) {
        let (first, rest) = text.split_once('\n').map_or((text, None), |(first, rest)| (first, Some(rest)));
        self.paint(Some(31), first);
        if let Some(rest) = rest {
            self.tell(rest);
        }
    }

    /// The environment, and a voice on standard error that can be used meanwhile.
    pub(crate) fn env_and_voice(&mut self) -> (&dyn Lookup, Voice<'_>) {
        let colour = self.colour();
        (self.env.as_ref(), Voice { err: self.err.as_mut(), colour })
    }

    /// Pushes out what was said; false if any of it was lost (a full disk, a closed pipe).
    pub(crate) fn finish(&mut self) -> bool {
        self.lost_output |= self.out.flush().is_err();
        !self.lost_output
    }

    /// The user's home directory.
    pub(crate) fn home(&self) -> Option<PathBuf> {
        self.env.var("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
    }

    /// Asks for a value without showing it; `None` if there is no terminal to ask at, or nobody wants to be asked.
    pub(crate) fn prompt_hidden(&mut self, label: &str) -> Option<SecretText> {
        if !self.in_is_terminal || self.silent {
            return None;
        }
        let typed = rpassword::prompt_password(label).ok()?;
        Some(SecretText::new(typed))
    }

    /// All of standard input as text, without the white space around it, up to 1 MiB.
    pub(crate) fn stdin_trimmed(&mut self) -> Option<SecretText> {
        let mut text = SecretText::default();
        (&mut self.stdin).take(1 << 20).read_to_string(text.expose_mut()).ok()?;
        // EXPOSE: trimmed; wrapped again.
        Some(SecretText::from(text.expose().trim()))
    }

    /// A line on standard error, coloured (SGR) where that is a terminal; no colours but ours.
    fn paint(&mut self, colour: Option<u8>, text: &str) {
        let text = visible(text);
        // Nobody is left to tell if this fails.
        let _ = match colour.filter(|_| self.colour()) {
            Some(colour) => writeln!(self.err, "\x1b[{colour}m{text}\x1b[0m"),
            None => writeln!(self.err, "{text}"),
        };
    }

    fn colour(&self) -> bool {
        self.err_is_terminal && self.wants_colour()
    }

    fn wants_colour(&self) -> bool {
        let unwanted = |name: &str| self.env.var(name).is_some_and(|value| !value.is_empty());
        !self.plain && !unwanted("NO_COLOR") && !unwanted("VAULT_CLI_NO_COLOR")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Tape(Arc<Mutex<Vec<u8>>>);

    impl Write for Tape {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_terminal_does_not_obey_the_server_and_a_program_gets_every_byte() {
        for (terminal, expected) in [(true, "a\\u{1b}[31m\n"), (false, "a\x1b[31m\n")] {
            let (out, err) = (Tape::default(), Tape::default());
            let mut world = World::of_process("vault".to_owned());
            (world.out, world.err) = (Box::new(out.clone()), Box::new(err.clone()));
            (world.out_is_terminal, world.err_is_terminal, world.cautious) = (terminal, terminal, true);
            world.say("a\x1b[31m");
            world.tell("b\x1b]0;title\x07");
            world.warn("c\x1b[2J");
            world.complain("d\x1b[2J\ne\x1b[2J");
            assert_eq!(String::from_utf8(out.0.lock().unwrap().clone()).unwrap(), expected);
            let told = String::from_utf8(err.0.lock().unwrap().clone()).unwrap();
            let ours = told.replace("\x1b[33m", "").replace("\x1b[31m", "").replace("\x1b[0m", "");
            assert!(!ours.contains('\x1b') && !ours.contains('\x07'), "{told:?}");
            assert!(ours.contains("b\\u{1b}]0;title\\u{7}\n"), "{told:?}");
        }
    }
}
