//! How rotation looks: a table for people, JSON for scripts. No material is in what is shown.

use coffre_ambient::{Clock as _, SystemClock, Wall};
use coffre_rotate::{Finding, Planned, Status};
use coffre_rotation::{HistoryEvent, Target as Name};
use serde_json::json;

use super::desk::{Desk, time};
use crate::args::global::Format;
use crate::call::Call;
use crate::outcome::{Exit, Outcome};
use crate::render;

const RED: u8 = 31;
const YELLOW: u8 = 33;
const GREEN: u8 = 32;

/// The table of `rotate status`, and beneath it whatever needs a person.
pub(super) fn status(call: &mut Call, desk: &Desk, lines: &[Status]) -> Outcome {
    if wants_json(call) {
        return json(call, &json!({ "environment": desk.environment, "targets": lines }));
    }
    let now = SystemClock.wall();
    let heading = ["TARGET", "KIND", "ROTATES", "PHASE", "GENERATION", "LAST", "DUE", "WAITS FOR"];
    let rows: Vec<Vec<String>> = lines.iter().map(|line| row(line, now)).collect();
    let table = render::table(&heading, rows);
    let mut shown = table.lines();
    for head in shown.by_ref().take(2) {
        call.world.say(head);
    }
    for (text, line) in shown.zip(lines) {
        call.world.say_coloured(colour(line, now), text);
    }
    if lines.is_empty() {
        call.world.say("nothing: no entry of coffre.toml has a rotation");
    }
    for line in lines {
        needs(call, line);
    }
    if let Some(why) = lines.iter().find_map(|line| line.frozen.as_ref()) {
        call.world
            .warn(&format!("\nEverything stands still: {why}. `coffre rotate unfreeze` lets it go on."));
    }
    Ok(Exit::DONE)
}

fn row(line: &Status, now: Wall) -> Vec<String> {
    let generation = match (line.active, line.pending) {
        (0, None) => "-".to_owned(),
        (active, None) => active.to_string(),
        (active, Some(pending)) => format!("{active} -> {pending}"),
    };
    let old = line.retiring.iter().map(|old| format!("{} {}", old.generation, old.phase)).collect::<Vec<_>>();
    let generation = if old.is_empty() { generation } else { format!("{generation} ({})", old.join(", ")) };
    vec![
        line.target.clone(),
        line.kind.clone(),
        (if line.enabled { "by itself" } else { "when asked" }).to_owned(),
        line.phase.clone(),
        generation,
        time(&line.last).map_or_else(|| "never".to_owned(), |at| ago(at, now)),
        time(&line.next).map_or_else(|| "-".to_owned(), |at| ahead(at, now)),
        waits(line),
    ]
}

/// Who or what blocks, in a few words.
fn waits(line: &Status) -> String {
    if line.failed.is_some() || line.halt.is_some() {
        return "a person".to_owned();
    }
    match line.consumers.as_slice() {
        [] if line.phase == "IDLE" => "-".to_owned(),
        [] => line.until.as_deref().map_or_else(|| "-".to_owned(), str::to_owned),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    }
}

fn colour(line: &Status, now: Wall) -> Option<u8> {
    let late = time(&line.deadline).or_else(|| time(&line.next)).is_some_and(|at| at < now);
    if line.halt.is_some() || line.failed.is_some() {
        Some(RED)
    } else if !line.consumers.is_empty() || (late && line.phase == "IDLE") {
        Some(YELLOW)
    } else if line.phase != "IDLE" {
        Some(GREEN)
    } else {
        None
    }
}

/// What a person has to do about a target, and all who are waited for.
fn needs(call: &mut Call, line: &Status) {
    if let Some(failed) = &line.failed {
        call.world.complain(&format!("\n{}: {failed}", line.target));
    }
    if let Some(halt) = &line.halt {
        call.world.complain(&format!(
            "\n{} stands still in {} since {}: {}\n  {}",
            line.target, halt.phase, halt.since, halt.why, halt.advice
        ));
    }
    if line.phase != "IDLE"
        && let Some(why) = line.waits.as_ref().filter(|_| line.halt.is_none())
    {
        call.world.say(&format!("\n{}: {why}", line.target));
        for consumer in line.consumers.iter().take(64) {
            call.world.say(&format!("  {consumer}"));
        }
    }
}

/// `rotate plan`
pub(super) fn plan(call: &mut Call, name: &Name, lines: &[Planned], status: Option<&Status>) -> Outcome {
    let consumers = status.map(|status| status.consumers.clone()).unwrap_or_default();
    if wants_json(call) {
        return json(call, &json!({ "target": name.as_str(), "phases": lines, "waits_for": consumers }));
    }
    let rows = lines.iter().map(|line| {
        let at = line.at.clone().unwrap_or_else(|| "when asked".to_owned());
        vec![line.phase.clone(), at, line.note.clone()]
    });
    call.world.say(&render::table(&["PHASE", "AT THE EARLIEST", "WHAT HAPPENS"], rows.collect()));
    if !consumers.is_empty() {
        call.world.say("\nIt waits for:");
        for consumer in &consumers {
            call.world.say(&format!("  {consumer}"));
        }
    }
    Ok(Exit::DONE)
}

/// `rotate history`
pub(super) fn history(call: &mut Call, name: &Name, events: &[HistoryEvent], holds: bool) -> Outcome {
    let exit = if holds { Exit::DONE } else { Exit::SERVER };
    if wants_json(call) {
        json(call, &json!({ "target": name.as_str(), "chain_holds": holds, "events": events }))?;
        return Ok(exit);
    }
    if events.is_empty() {
        call.world.say(&format!("nothing has happened to {name} yet"));
    } else {
        let rows = events.iter().map(|event| {
            let what = &event.what;
            let generation = what.gen_no.map(|number| number.to_string()).unwrap_or_default();
            let word = serde_json::to_value(what.event).ok();
            let word = word.as_ref().and_then(|word| word.as_str()).unwrap_or("?").to_owned();
            vec![
                event.seq.to_string(),
                what.at.rfc3339(),
                word,
                generation,
                what.actor.clone(),
                what.note.clone(),
            ]
        });
        call.world.say(&render::table(&["#", "WHEN", "WHAT", "GENERATION", "WHO", "NOTE"], rows.collect()));
    }
    if !holds {
        call.world.complain(
            "the chain of events does not hold: an event was changed, removed or put in after it was written",
        );
    }
    Ok(exit)
}

/// `rotate enable`
pub(super) fn enabled(
    call: &mut Call,
    desk: &Desk,
    names: &[Name],
    findings: &[Finding],
    check: bool,
) -> Outcome {
    let exit = if findings.is_empty() { Exit::DONE } else { Exit::LOCAL };
    if wants_json(call) {
        let names: Vec<&str> = names.iter().map(Name::as_str).collect();
        let enabled = findings.is_empty() && !check;
        json(call, &json!({ "targets": names, "findings": findings, "enabled": enabled }))?;
        return Ok(exit);
    }
    for finding in findings {
        call.world.complain(&format!("{}: {}", finding.target, finding.sentence));
    }
    let many = if names.len() == 1 { "1 target".to_owned() } else { format!("{} targets", names.len()) };
    call.world.say(&match (findings.is_empty(), check) {
        (false, _) => "Nothing was enabled.".to_owned(),
        (true, true) => format!("{many} in {}: nothing stands in the way.", desk.environment),
        (true, false) => format!(
            "{many} in {} from now on: the engine (`coffre rotate run`) rotates them by itself.\n  coffre rotate status",
            desk.environment
        ),
    });
    Ok(exit)
}

fn ago(at: Wall, now: Wall) -> String {
    format!("{} ago", span(now.since(at).as_secs()))
}

fn ahead(at: Wall, now: Wall) -> String {
    match at > now {
        true => format!("in {}", span(at.since(now).as_secs())),
        false => format!("{} late", span(now.since(at).as_secs())),
    }
}

/// One unit, rounded down: what a glance needs.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn wants_json(call: &Call) -> bool {
    call.parsed.on("json") || call.format == Format::Json
}

fn json(call: &mut Call, value: &serde_json::Value) -> Outcome {
    call.world.say(&format!("{value:#}"));
    Ok(Exit::DONE)
}
