//! How rotation looks: a table for people, JSON for scripts. No material is in what is shown.

use coffre_ambient::Wall;
use coffre_rotate::{Finding, Status};
use coffre_rotation::{HistoryEvent, Target as Name};
use serde_json::json;

use super::desk::{Desk, time};
use super::times::Times;
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
    let times = Times::of(call.world.env.as_ref());
    for (text, line) in table(call, &times, lines) {
        call.world.say_coloured(line.and_then(|line| colour(line, times.now)), &text);
    }
    match lines {
        [] => call.world.say("nothing: no entry of coffre.toml has a rotation"),
        _ => call.world.say(&format!("\nTimes are those of {}.", times.zone())),
    }
    for line in lines {
        needs(call, &times, line);
    }
    if let Some(why) = lines.iter().find_map(|line| line.frozen.as_ref()) {
        call.world
            .warn(&format!("\nEverything stands still: {why}. `coffre rotate unfreeze` lets it go on."));
    }
    Ok(Exit::DONE)
}

const HEADING: [&str; 8] = ["TARGET", "KIND", "ROTATES", "PHASE", "GENERATION", "LAST", "DUE", "WAITS FOR"];
/// What is left out where the terminal is narrow, one after the other.
const LEFT_OUT: [&[usize]; 4] = [&[], &[1], &[1, 5], &[1, 2, 5]];

/// The lines of the table, with the target that each is about.
fn table<'l>(call: &Call, times: &Times, lines: &'l [Status]) -> Vec<(String, Option<&'l Status>)> {
    let rows: Vec<Vec<String>> = lines.iter().map(|line| row(line, times)).collect();
    let room = call.world.columns();
    for left_out in LEFT_OUT {
        let kept = |cells: &[String]| -> Vec<String> {
            let cells = cells.iter().enumerate().filter(|(at, _)| !left_out.contains(at));
            cells.map(|(_, cell)| cell.clone()).collect()
        };
        let heading = HEADING.map(str::to_owned);
        let heading = kept(&heading);
        let heading: Vec<&str> = heading.iter().map(String::as_str).collect();
        let text = render::table(&heading, rows.iter().map(|row| kept(row)).collect());
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        if room.is_none_or(|room| widest <= room) {
            let about = [None, None].into_iter().chain(lines.iter().map(Some));
            return text.lines().map(str::to_owned).zip(about).collect();
        }
    }
    lines.iter().zip(&rows).flat_map(|(line, row)| card(line, row)).collect()
}

/// One target under the other, where no table fits.
fn card<'l>(line: &'l Status, row: &[String]) -> Vec<(String, Option<&'l Status>)> {
    let mut card = vec![(line.target.clone(), Some(line))];
    for (name, cell) in HEADING.iter().zip(row).skip(1).filter(|(_, cell)| *cell != "-") {
        card.push((format!("  {:<11} {cell}", name.to_lowercase()), None));
    }
    card
}

fn row(line: &Status, times: &Times) -> Vec<String> {
    let generation = match (line.active, line.pending) {
        (0, None) => "-".to_owned(),
        (active, None) => active.to_string(),
        (active, Some(pending)) => format!("{active} -> {pending}"),
    };
    let old = line.retiring.iter().map(|old| format!("{} {}", old.generation, old.phase)).collect::<Vec<_>>();
    let generation = if old.is_empty() { generation } else { format!("{generation} ({})", old.join(", ")) };
    let leased = is_leased(line);
    let never = if leased { "-" } else { "never" };
    vec![
        line.target.clone(),
        line.kind.clone(),
        rotates(line).to_owned(),
        if leased { "-".to_owned() } else { line.phase.clone() },
        generation,
        time(&line.last).map_or_else(|| never.to_owned(), |at| times.ago(at)),
        time(&line.next).map_or_else(|| "-".to_owned(), |at| times.due(at)),
        waits(line, times),
    ]
}

fn is_leased(line: &Status) -> bool {
    line.kind == coffre_rotation::Kind::Dynamic.to_string()
}

fn rotates(line: &Status) -> &'static str {
    match (is_leased(line), line.enabled) {
        (true, true) => "by lease",
        (false, true) if !line.forbidden.is_empty() => "refused",
        (false, true) => "by itself",
        (_, false) => "when asked",
    }
}

/// Who or what blocks, in a few words.
fn waits(line: &Status, times: &Times) -> String {
    if line.failed.is_some() || line.halt.is_some() {
        return "a person".to_owned();
    }
    match line.consumers.as_slice() {
        [] if line.phase == "IDLE" => "-".to_owned(),
        [] => time(&line.until).map_or_else(|| "-".to_owned(), |at| times.minute(at)),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    }
}

fn colour(line: &Status, now: Wall) -> Option<u8> {
    let late = time(&line.deadline).or_else(|| time(&line.next)).is_some_and(|at| at < now);
    if line.halt.is_some() || line.failed.is_some() {
        Some(RED)
    } else if !line.consumers.is_empty()
        || (line.enabled && !line.forbidden.is_empty())
        || (late && line.phase == "IDLE")
    {
        Some(YELLOW)
    } else if line.phase != "IDLE" {
        Some(GREEN)
    } else {
        None
    }
}

/// What a person has to do about a target, and all who are waited for.
fn needs(call: &mut Call, times: &Times, line: &Status) {
    if let Some(failed) = &line.failed {
        call.world.complain(&format!("\n{}: {failed}", line.target));
    }
    if let Some(halt) = &line.halt {
        let since = Wall::parse(&halt.since).map_or_else(|| halt.since.clone(), |at| times.minute(at));
        call.world.complain(&format!(
            "\n{} stands still in {} since {since}: {}\n  {}",
            line.target, halt.phase, halt.why, halt.advice
        ));
    }
    for sentence in line.forbidden.iter().filter(|_| line.enabled) {
        call.world.complain(&format!("\n{}: {sentence}", line.target));
    }
    if is_leased(line) {
        call.world.say(&format!("\n{}: {}", line.target, line.waits.as_deref().unwrap_or_default()));
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

/// `rotate history`
pub(super) fn history(call: &mut Call, name: &Name, events: &[HistoryEvent], holds: bool) -> Outcome {
    let exit = if holds { Exit::DONE } else { Exit::SERVER };
    if wants_json(call) {
        json(call, &json!({ "target": name.as_str(), "chain_holds": holds, "events": events }))?;
        return Ok(exit);
    }
    let times = Times::of(call.world.env.as_ref());
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
                times.second(what.at),
                word,
                generation,
                what.actor.clone(),
                what.note.clone(),
            ]
        });
        call.world.say(&render::table(&["#", "WHEN", "WHAT", "GENERATION", "WHO", "NOTE"], rows.collect()));
        for event in events.iter().filter(|event| !event.what.facts.is_empty()) {
            call.world.say(&format!("\nOf event {}:", event.seq));
            for (fact, value) in &event.what.facts {
                call.world.say(&format!("  {fact:<12} {value}"));
            }
        }
        call.world.say(&format!("\nTimes are those of {}.", times.zone()));
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

pub(super) fn wants_json(call: &Call) -> bool {
    call.parsed.on("json") || call.format == Format::Json
}

pub(super) fn json(call: &mut Call, value: &serde_json::Value) -> Outcome {
    call.world.say(&format!("{value:#}"));
    Ok(Exit::DONE)
}
