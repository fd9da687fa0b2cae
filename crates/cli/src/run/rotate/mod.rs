//! `rotate`: secrets that change, seen and steered by people, and the engine that changes them.

mod approve;
mod desk;
pub(crate) mod engine;
mod extensions;
mod plan;
mod queue;
mod service;
mod show;
mod times;

use coffre_rotate::Status;
use coffre_rotation::Target as Name;
use coffre_secret::SecretText;

use crate::args::Flag;
use crate::call::Call;
use crate::outcome::{Exit, Failure, Outcome};
use desk::{Desk, failed};
use engine::FLUSH;

pub(crate) use approve::{APPROVE, approve};
pub(crate) use service::{RUN, run};

const MANIFEST: Flag = Flag::one(
    "manifest",
    "The manifest; without it, coffre.toml here or in a directory above. Also COFFRE_MANIFEST.",
);
const ENVIRONMENT: Flag = Flag::one(
    "environment",
    "The environment: dev, prod, …; without it COFFRE_ENV, FLASK_ENV or APP_ENV, else production.",
)
.or("env");
const STATE: Flag = Flag::one(
    "state",
    "Where a migration keeps its journal; $XDG_STATE_HOME/coffre by default. Also COFFRE_STATE.",
);
const JSON: Flag = Flag::switch("json", "Print JSON, as -format=json does.");

/// `rotate plan`, `rotate disable`, …
pub(crate) const LOOK: &[Flag] = &[MANIFEST, ENVIRONMENT, JSON];
/// `rotate status`, `rotate undo`, `rotate rollback`, …
pub(crate) const WISH: &[Flag] = &[MANIFEST, ENVIRONMENT, STATE, JSON];
/// `rotate now`
pub(crate) const NOW: &[Flag] = &[
    MANIFEST,
    ENVIRONMENT,
    STATE,
    JSON,
    Flag::switch(
        "compromised",
        "The old secret is known to somebody: no overlap, everybody it logged in is logged out.",
    ),
    Flag::switch("yes-logout-all", "With -compromised: do not ask for the target's name."),
    Flag::switch("migrated", "Rotate what `migrate status` lists, the most exposed first."),
];
/// `rotate provide`
pub(crate) const PROVIDE: &[Flag] = &[
    MANIFEST,
    ENVIRONMENT,
    STATE,
    JSON,
    Flag::one("fd", "The file descriptor to read the new value from; standard input without it."),
];
/// `rotate resume`
pub(crate) const RESUME: &[Flag] = &[
    MANIFEST,
    ENVIRONMENT,
    STATE,
    JSON,
    Flag::switch(
        "epoch-reset",
        "The server was restored from a snapshot, and that is known: go on from there.",
    ),
];
/// `rotate break-glass`
pub(crate) const BREAK_GLASS: &[Flag] = &[
    MANIFEST,
    ENVIRONMENT,
    STATE,
    Flag::one("generation", "Which generation, as `rotate history` numbers them."),
    Flag::one("why", "Why, for whoever reads the history."),
];
/// `rotate freeze`
pub(crate) const FREEZE: &[Flag] =
    &[MANIFEST, ENVIRONMENT, JSON, Flag::one("why", "Why, for whoever wonders.")];
/// `rotate history`
pub(crate) const HISTORY: &[Flag] =
    &[MANIFEST, ENVIRONMENT, JSON, Flag::one("n", "How many events, the newest; 20 by default.")];
/// `rotate enable`
pub(crate) const ENABLE: &[Flag] =
    &[MANIFEST, ENVIRONMENT, JSON, Flag::switch("check", "Only say what would be refused; change nothing.")];

/// Steps of one command; what takes longer is the service's.
const STEPS: u32 = 64;
/// The longest value of an external key.
const LONGEST: u64 = 65_536;

/// Where all targets stand.
pub(crate) async fn status(call: &mut Call) -> Outcome {
    let desk = Desk::open(call).await?;
    let chosen = desk.paths(&call.rest(0))?;
    let mut lines = desk.rotator.status().await;
    desk.settle(call, &lines)?;
    lines.extend(desk.leased());
    lines.retain(|line| chosen.is_empty() || chosen.contains(&line.target));
    show::status(call, &desk, &lines)?;
    Ok(exit(&lines))
}

/// 2 if one of them needs a person: it stands still, or it could not be read.
fn exit(lines: &[Status]) -> Exit {
    let needs = lines.iter().any(|line| line.halt.is_some() || line.failed.is_some());
    if needs { Exit::SERVER } else { Exit::DONE }
}

/// What the next rotation of a target will do, and when.
pub(crate) async fn plan(call: &mut Call) -> Outcome {
    let name = call.only_arg()?;
    let desk = Desk::open(call).await?;
    let name = desk.name(&name)?;
    let lines = desk.rotator.plan(&name).await.map_err(failed)?;
    let status = desk.rotator.status().await.into_iter().find(|line| line.target == name.as_str());
    plan::show(call, &name, &lines, status.as_ref())
}

/// What happened to a target.
pub(crate) async fn history(call: &mut Call) -> Outcome {
    let name = call.only_arg()?;
    let most: usize = match call.parsed.one("n") {
        None => 20,
        Some(text) => text.parse().map_err(|_| Failure::local("-n: write a number, for example -n=50"))?,
    };
    let desk = Desk::open(call).await?;
    let name = desk.name(&name)?;
    let (events, holds) = desk.rotator.history(&name, most.clamp(1, 5_000)).await.map_err(failed)?;
    show::history(call, &name, &events, holds)
}

/// Rotates at once.
pub(crate) async fn now(call: &mut Call) -> Outcome {
    let compromised = call.parsed.on("compromised");
    let desk = Desk::open(call).await?;
    let queued = desk.queued(call)?;
    if call.parsed.on("migrated") {
        call.expect_args(0, 0)?;
        return migrated(call, &desk, &queued).await;
    }
    let name = desk.name(&call.only_arg()?)?;
    if compromised {
        sure(call, &name)?;
        desk.rotator.now(&name, true).await.map_err(failed)?;
    } else if desk.waits_after_migration(&name, &queued) {
        desk.rotator.migrated(&name).await.map_err(failed)?;
    } else {
        desk.rotator.now(&name, false).await.map_err(failed)?;
    }
    go_on(call, &desk, &[name]).await
}

/// The queue of a migration, in its order.
async fn migrated(call: &mut Call, desk: &Desk, queued: &[String]) -> Outcome {
    let mut names = Vec::new();
    for variable in queued {
        match desk.name(variable) {
            Ok(name) if !names.contains(&name) => names.push(name),
            Ok(_) => {}
            Err(failure) => call.world.warn(&format!("{variable}: {}", failure.text)),
        }
    }
    if names.is_empty() {
        call.world.say("Nothing that the engine could rotate waits after a migration.");
        return Ok(Exit::DONE);
    }
    for name in &names {
        // One at a time may be between APPLY and PROMOTE: what has to wait does so, and the service goes on with it.
        if let Err(failure) = desk.rotator.migrated(name).await {
            call.world.warn(&format!("{name}: {failure}"));
        }
    }
    go_on(call, desk, &names).await
}

/// Brings the new value of a key that somebody else issues.
pub(crate) async fn provide(call: &mut Call) -> Outcome {
    if call.parsed.positionals.len() > 1 {
        return Err(Failure::local(
            "the value never goes on the command line, where other programs and the shell's history see it: give it on \
             standard input, or with -fd. If what you typed was the key, have another one issued",
        ));
    }
    let name = call.only_arg()?;
    let desk = Desk::open(call).await?;
    let name = desk.name(&name)?;
    let value = value(call)?;
    desk.rotator.provide(&name, value).await.map_err(failed)?;
    go_on(call, &desk, &[name]).await
}

/// The old key is revoked at its issuer.
pub(crate) async fn confirm_revoked(call: &mut Call) -> Outcome {
    let name = call.only_arg()?;
    let desk = Desk::open(call).await?;
    let name = desk.name(&name)?;
    desk.rotator.confirm_revoked(&name).await.map_err(failed)?;
    go_on(call, &desk, &[name]).await
}

/// Takes back what was begun.
pub(crate) async fn undo(call: &mut Call) -> Outcome {
    let name = call.only_arg()?;
    let desk = Desk::open(call).await?;
    let name = desk.name(&name)?;
    desk.rotator.undo(&name).await.map_err(failed)?;
    go_on(call, &desk, &[name]).await
}

/// Makes the secret before active again.
pub(crate) async fn rollback(call: &mut Call) -> Outcome {
    let name = call.only_arg()?;
    let desk = Desk::open(call).await?;
    let name = desk.name(&name)?;
    desk.rotator.rollback(&name).await.map_err(failed)?;
    go_on(call, &desk, &[name]).await
}

/// Goes on after a halt.
pub(crate) async fn resume(call: &mut Call) -> Outcome {
    let name = call.only_arg()?;
    let desk = Desk::open(call).await?;
    let name = desk.name(&name)?;
    desk.rotator.resume(&name, call.parsed.on("epoch-reset")).await.map_err(failed)?;
    go_on(call, &desk, &[name]).await
}

/// Shows material that is no longer in use, after writing down who reads it and why.
pub(crate) async fn break_glass(call: &mut Call) -> Outcome {
    let name = call.only_arg()?;
    let generation =
        call.parsed.one("generation").and_then(|text| text.parse().ok()).ok_or_else(|| {
            Failure::local("which generation? `rotate history` numbers them: -generation=3")
        })?;
    let why = call.parsed.one("why").unwrap_or_default().to_owned();
    let desk = Desk::open(call).await?;
    let name = desk.name(&name)?;
    let material = desk.rotator.break_glass(&name, generation, &why).await.map_err(failed)?;
    desk.notifier.flush(FLUSH).await;
    call.world.warn(&format!("Generation {generation} of {name}; that it was read stands in the history."));
    // EXPOSE: shown to the person who asked for it, which the command exists for.
    call.world.say(material.expose());
    Ok(Exit::DONE)
}

/// Stops everything.
pub(crate) async fn freeze(call: &mut Call) -> Outcome {
    call.expect_args(0, 0)?;
    let desk = Desk::open(call).await?;
    let why = call.parsed.one("why").unwrap_or_default().to_owned();
    desk.rotator.freeze(&why).await.map_err(failed)?;
    call.world.say(&format!(
        "Rotation in {} stands still. What is active stays valid and accepted.\n  coffre rotate unfreeze",
        desk.environment
    ));
    Ok(Exit::DONE)
}

/// Lets everything move again.
pub(crate) async fn unfreeze(call: &mut Call) -> Outcome {
    call.expect_args(0, 0)?;
    let desk = Desk::open(call).await?;
    if desk.rotator.frozen().await.map_err(failed)?.is_none() {
        call.world.say(&format!("Rotation in {} was not frozen; nothing was changed.", desk.environment));
        return Ok(Exit::DONE);
    }
    desk.rotator.unfreeze().await.map_err(failed)?;
    call.world.say(&format!("Rotation in {} goes on.", desk.environment));
    Ok(Exit::DONE)
}

/// Lets targets rotate by themselves, unless something forbids it.
pub(crate) async fn enable(call: &mut Call) -> Outcome {
    let check = call.parsed.on("check");
    let desk = Desk::open(call).await?;
    let mut names = call.rest(0).iter().map(|name| desk.name(name)).collect::<Result<Vec<_>, _>>()?;
    if names.is_empty() {
        names = desk.automatic();
    }
    if names.is_empty() {
        return Err(Failure::local(
            "nothing rotates by itself: no entry of coffre.toml has rotation with mode = \"automatic\"; add it, or name targets",
        ));
    }
    let unaware = extensions::findings(&desk, &names)?;
    // Nothing is written if there is any finding, whosever it is.
    let mut findings = desk.rotator.enable(&names, check || !unaware.is_empty()).await.map_err(failed)?;
    findings.extend(unaware);
    show::enabled(call, &desk, &names, &findings, check)
}

/// Lets targets rest: they rotate only when somebody asks.
pub(crate) async fn disable(call: &mut Call) -> Outcome {
    let desk = Desk::open(call).await?;
    let names = call.rest(0).iter().map(|name| desk.name(name)).collect::<Result<Vec<_>, _>>()?;
    if names.is_empty() {
        return Err(Failure::local(
            "which target? `rotate status` lists them; `rotate freeze` stops all of them",
        ));
    }
    desk.rotator.disable(&names).await.map_err(failed)?;
    call.world.say("They rotate only when somebody asks. What is under way is finished.");
    Ok(Exit::DONE)
}

/// Does what can be done at once, tells the migration's queue, and shows where the targets stand.
async fn go_on(call: &mut Call, desk: &Desk, names: &[Name]) -> Outcome {
    for name in names {
        if let Err(failure) = desk.rotator.drive(name, STEPS).await {
            call.world.warn(&format!("{name}: {failure}"));
        }
    }
    desk.notifier.flush(FLUSH).await;
    let mut lines = desk.rotator.status().await;
    lines.retain(|line| names.iter().any(|name| name.as_str() == line.target));
    desk.settle(call, &lines)?;
    show::status(call, desk, &lines)?;
    Ok(exit(&lines))
}

/// `-compromised` logs everybody out: that is said, and the target's name typed.
fn sure(call: &mut Call, name: &Name) -> Result<(), Failure> {
    if call.parsed.on("yes-logout-all") {
        return Ok(());
    }
    if !call.world.in_is_terminal || call.parsed.on("non-interactive") {
        return Err(Failure::local(format!(
            "everything that {name} signed or logged in ends at once; say that this is meant with -yes-logout-all"
        )));
    }
    call.world.tell(&format!(
        "Everything that {name} signed or logged in ends at once. Type the target's name to go on:"
    ));
    let mut line = String::new();
    let read = std::io::BufRead::read_line(&mut std::io::BufReader::new(&mut call.world.stdin), &mut line);
    if read.is_ok() && line.trim() == name.as_str() {
        return Ok(());
    }
    Err(Failure::local("not confirmed; nothing was changed"))
}

/// From a descriptor or standard input, one line end at the end left out.
fn value(call: &mut Call) -> Result<SecretText, Failure> {
    use std::io::Read as _;

    let mut text = SecretText::default();
    let read = match call.parsed.one("fd") {
        Some(number) => {
            let number: u32 =
                number.parse().map_err(|_| Failure::local("-fd: write a number, for example -fd=3"))?;
            let file = std::fs::File::open(format!("/proc/self/fd/{number}"));
            let file =
                file.map_err(|error| Failure::local(format!("cannot read descriptor {number}: {error}")))?;
            file.take(LONGEST + 1).read_to_string(text.expose_mut())
        }
        None if call.world.in_is_terminal => {
            text = call.world.prompt_hidden("The new value (not shown): ").unwrap_or_default();
            Ok(text.len())
        }
        None => (&mut call.world.stdin).take(LONGEST + 1).read_to_string(text.expose_mut()),
    };
    read.map_err(|error| Failure::local(format!("cannot read the new value: {error}")))?;
    // EXPOSE: a line end is cut off; wrapped again.
    let bare = text.expose();
    let bare = bare.strip_suffix('\n').map_or(bare.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if bare.is_empty() {
        return Err(Failure::local("no new value came in; give it on standard input, or with -fd"));
    }
    if text.len() as u64 > LONGEST {
        return Err(Failure::local(
            "the new value is longer than 64 KiB: that is no key; nothing was changed",
        ));
    }
    Ok(SecretText::from(bare))
}
