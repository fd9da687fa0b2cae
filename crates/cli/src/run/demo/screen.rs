//! What the person sees: one line for each step, aligned; colour only on a terminal.

use std::future::Future;
use std::time::Duration;

use coffre_ambient::{Clock, SystemClock};

use super::trouble::Trouble;
use crate::world::World;

/// How wide the text of a step may be before it goes on in the next line.
const WIDTH: usize = 84;
/// What stands before it: mark, number, name, time.
const INDENT: usize = 25;

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Done,
    Partly,
    NotYet,
    Failed,
}

impl Mark {
    const fn shown(self) -> (&'static str, &'static str) {
        match self {
            Self::Done => ("✓", "32"),
            Self::Partly => ("~", "33"),
            Self::NotYet => ("·", "2"),
            Self::Failed => ("✗", "31"),
        }
    }
}

/// A step that did what it should: its result, the line that says what it proves, and what to show below it.
#[derive(Debug)]
pub(crate) struct Told<T> {
    pub(crate) value: T,
    pub(crate) proof: String,
    pub(crate) below: Vec<String>,
}

impl<T> Told<T> {
    pub(crate) fn new(value: T, proof: impl Into<String>) -> Self {
        Self { value, proof: proof.into(), below: vec![] }
    }
}

/// A step that did not.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) number: usize,
    pub(crate) step: &'static str,
    pub(crate) trouble: Trouble,
}

/// The terminal, or whatever standard output is.
pub(crate) struct Screen<'w> {
    world: &'w mut World,
    colour: bool,
    /// Whether a line may be written over.
    live: bool,
    steps: usize,
    said: String,
    began: Duration,
}

impl<'w> Screen<'w> {
    pub(crate) fn new(world: &'w mut World) -> Self {
        let unwanted = |name: &str| world.env.var(name).is_some_and(|value| !value.is_empty());
        let dumb = world.env.var("TERM").is_some_and(|value| value == "dumb");
        let live = world.out_is_terminal && !dumb;
        let colour = live && !unwanted("NO_COLOR") && !unwanted("VAULT_CLI_NO_COLOR");
        Self { colour, live, world, steps: 0, said: String::new(), began: SystemClock.boot() }
    }

    /// Everything that was printed.
    pub(crate) fn said(&self) -> &str {
        &self.said
    }

    /// Seconds since the beginning.
    pub(crate) fn elapsed(&self) -> String {
        seconds(SystemClock.boot().saturating_sub(self.began))
    }

    /// Does a step and tells how it went.
    pub(crate) async fn step<T>(
        &mut self,
        step: &'static str,
        work: impl Future<Output = Result<Told<T>, Trouble>>,
    ) -> Result<T, Failed> {
        self.steps += 1;
        let number = self.steps;
        if self.live {
            self.world.say_bare(&format!("   {number:>2}  {step} …"));
            self.world.finish();
        }
        let began = SystemClock.boot();
        let outcome = work.await;
        let took = seconds(SystemClock.boot().saturating_sub(began));
        if self.live {
            self.world.say_bare("\r\x1b[2K");
        }
        match outcome {
            Ok(told) => {
                self.step_line(Mark::Done, number, step, &took, &told.proof);
                told.below.iter().for_each(|line| self.line(&format!("{:7}{line}", "")));
                Ok(told.value)
            }
            Err(trouble) => {
                self.step_line(Mark::Failed, number, step, &took, &trouble.what);
                Err(Failed { number, step, trouble })
            }
        }
    }

    /// A line of the checklist.
    pub(crate) fn item(&mut self, mark: Mark, what: &str, evidence: &str) {
        let [first, rest @ ..] = &wrapped(evidence, WIDTH - 16)[..] else { return };
        let mark = self.painted(mark);
        self.line(&format!(" {mark}  {what:<36} {first}"));
        rest.iter().for_each(|line| self.line(&format!("{:41}{line}", "")));
    }

    /// A headline, with an empty line before it.
    pub(crate) fn headline(&mut self, text: &str) {
        self.line("");
        let text = if self.colour { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() };
        self.line(&text);
    }

    /// A line as it is.
    pub(crate) fn line(&mut self, text: &str) {
        self.said.push_str(text);
        self.said.push('\n');
        self.world.say(text);
        self.world.finish();
    }

    fn step_line(&mut self, mark: Mark, number: usize, step: &str, took: &str, text: &str) {
        let mark = self.painted(mark);
        let lines = wrapped(text, WIDTH);
        let mut lines = lines.iter();
        let first = lines.next().map(String::as_str).unwrap_or_default();
        self.line(&format!(" {mark} {number:>2}  {step:<9} {took:>7}  {first}"));
        lines.for_each(|line| self.line(&format!("{:INDENT$}{line}", "")));
    }

    fn painted(&self, mark: Mark) -> String {
        let (sign, colour) = mark.shown();
        if self.colour { format!("\x1b[{colour}m{sign}\x1b[0m") } else { sign.to_owned() }
    }
}

/// Seconds with two digits behind the point.
fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// The text in lines of at most `width` characters, broken at spaces; a longer word stays whole.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let full = lines
            .last()
            .is_some_and(|line| !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width);
        if full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// Rows in columns that are as wide as their widest cell.
pub(crate) fn aligned(rows: &[[String; 3]]) -> Vec<String> {
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
    let (first, second) = (width(0).unwrap_or_default(), width(1).unwrap_or_default());
    rows.iter().map(|[a, b, c]| format!("{a:<first$}  {b:<second$}  {c}").trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn columns_are_aligned() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned);
        let lines = aligned(&[row(["é", "bb", "c"]), row(["aaa", "b", ""])]);
        assert_eq!(lines, ["é    bb  c", "aaa  b"]);
    }

    proptest! {
        #[test]
        fn wrapping_loses_nothing(text in "[a-z ]{0,120}", width in 10_usize..40) {
            let lines = wrapped(&text, width);
            prop_assert!(lines.iter().all(|line| line.chars().count() <= width || !line.contains(' ')));
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(words(&lines.join(" ")), words(&text));
        }
    }
}
