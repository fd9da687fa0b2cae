//! `demo`: the main job on the sample application and a server of its own, in a temporary directory. Each step says what
//! it proves; nothing is left behind, also after an error or a signal.

mod app;
mod checklist;
mod migration;
mod place;
mod probe;
mod program;
mod python;
mod sample;
mod screen;
mod search;
mod server;
mod steps;
mod story;
mod trouble;

use std::path::PathBuf;

use coffre_ambient::hardening;
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::place::Place;
use self::program::Surroundings;
use self::screen::{Failed, Screen};
use self::steps::Stage;
use self::trouble::Trouble;
use crate::args::{BadArgs, Flag, Parsed};
use crate::outcome::{Exit, Failure, Outcome};
use crate::world::World;

pub(crate) const FLAGS: &[Flag] = &[Flag::switch(
    "with-python",
    "Install Flask and the sample's other requirements in the temporary directory, with pip.",
)];

/// Plays the demonstration.
pub(crate) fn demo(world: &mut World, args: Vec<String>) -> Outcome {
    if let Some((first, rest)) = args.split_first()
        && first == probe::FLAG
    {
        return probe::run(world, rest);
    }
    let parsed = match Parsed::parse(|name| FLAGS.iter().find(|flag| flag.name == name), args) {
        Ok(parsed) if parsed.positionals.is_empty() => parsed,
        Ok(_) => return Err(Failure::local("demo takes flags only; see `demo -help`")),
        Err(BadArgs::Help) => {
            world.say(&help(&world.program));
            return Ok(Exit::DONE);
        }
        Err(BadArgs::Wrong(text)) => return Err(Failure::local(text)),
    };
    if let Err(error) = hardening::harden().require() {
        world.warn(&error.to_string());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::local(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(in_a_place(world, &parsed))
}

fn help(program: &str) -> String {
    let mut text = format!(
        "Usage: {program} demo [options]\n\n  Move the sample application's .env into a vault of its own, run the \
         application from it, and take everything back; in a temporary directory, of which nothing is left.\n\n  \
         The application runs if there is a Python with its requirements: COFFRE_PYTHON, else target/venv, else \
         python3. Otherwise a small program stands in for it.\n"
    );
    for flag in FLAGS {
        text.push_str(&format!("\n  -{}\n      {}\n", flag.name, flag.summary));
    }
    text
}

/// How the play ended.
enum Ended {
    Well,
    Failed(Failed),
    Signal(u8),
}

async fn in_a_place(world: &mut World, parsed: &Parsed) -> Outcome {
    let mut signals =
        Signals::listen().map_err(|error| Failure::local(format!("cannot take signals: {error}")))?;
    let base = world.env.var("TMPDIR").filter(|base| !base.is_empty()).map_or("/tmp".into(), PathBuf::from);
    let place = Place::make(&base).map_err(told)?;
    let around = match Surroundings::of(&place, world.env.as_ref()) {
        Ok(around) => around,
        Err(trouble) => return removed(place, Err(told(trouble))).await,
    };
    let given = world.env.var("COFFRE_PYTHON").filter(|given| !given.is_empty());
    let stage = Stage {
        place: &place,
        around: &around,
        given_python: given.as_deref(),
        with_python: parsed.on("with-python"),
    };
    let mut screen = Screen::new(world);
    // Dropping the play ends every program that it started.
    let ended = tokio::select! {
        biased;
        signal = signals.next() => Ended::Signal(signal),
        played = story::tell(&mut screen, &stage) => played.map_or_else(Ended::Failed, |()| Ended::Well),
    };
    let took = screen.elapsed();
    let outcome = match ended {
        Ended::Well => Ok(Exit::DONE),
        Ended::Signal(number) => {
            let text = "\nInterrupted: everything was ended and removed.".to_owned();
            Err(Failure { exit: Exit(128 + number), text })
        }
        Ended::Failed(Failed { number, step, trouble }) => {
            Err(Failure::local(format!("\nStep {number}, {step}, failed: {trouble}")))
        }
    };
    let outcome = removed(place, outcome).await;
    if outcome.is_ok() {
        screen.headline(&format!(
            "Done in {took}. The temporary directory is gone, and nothing else was touched."
        ));
    }
    outcome
}

/// The outcome, after the directory is gone.
async fn removed(place: Place, outcome: Outcome) -> Outcome {
    match (place.remove().await, outcome) {
        (Ok(()), outcome) => outcome,
        (Err(trouble), Ok(_)) => Err(told(trouble)),
        (Err(trouble), Err(failure)) => {
            Err(Failure { text: format!("{}\n{trouble}", failure.text), ..failure })
        }
    }
}

fn told(trouble: Trouble) -> Failure {
    Failure::local(trouble.to_string())
}

struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The number of the signal that comes.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.hangup.recv() => 1,
            _ = self.interrupt.recv() => 2,
            _ = self.terminate.recv() => 15,
        }
    }
}
