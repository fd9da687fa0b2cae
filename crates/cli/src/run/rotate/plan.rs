use std::time::Duration;

use coffre_ambient::Wall;
use coffre_rotate::{Planned, Status};
use coffre_rotation::Target as Name;
use serde_json::json;

use super::show::{json, wants_json};
use super::times::{Times, length};
use crate::call::Call;
use crate::outcome::{Exit, Outcome};
use crate::render;

/// `rotate plan`
pub(super) fn show(call: &mut Call, name: &Name, lines: &[Planned], status: Option<&Status>) -> Outcome {
    let consumers = status.map(|status| status.consumers.clone()).unwrap_or_default();
    if wants_json(call) {
        return json(call, &json!({ "target": name.as_str(), "phases": lines, "waits_for": consumers }));
    }
    let times = Times::of(call.world.env.as_ref());
    let now = times.now;
    let rows = lines.iter().map(|line| {
        let at = line.at.as_deref().and_then(Wall::parse);
        let when = at.map_or_else(|| "when asked".to_owned(), |at| times.day(at));
        vec![line.phase.clone(), when, distance(line, at, now), line.note.clone()]
    });
    let table = render::table(&["PHASE", "AT THE EARLIEST", "FROM NOW", "WHAT HAPPENS"], rows.collect());
    call.world.say(&table);
    call.world.say(&format!("\nTimes are those of {}.", times.zone()));
    if lines.iter().any(|line| line.at.is_none()) {
        call.world.say("It begins when somebody asks; lengths of time count from then.");
    }
    for line in status.into_iter().flat_map(|status| &status.forbidden) {
        call.world.complain(&format!("\nThe schedule begins nothing: {line}"));
    }
    if let Some(halt) = status.and_then(|status| status.halt.as_ref()) {
        call.world.complain(&format!("\nIt stands still in {}: {}\n  {}", halt.phase, halt.why, halt.advice));
    }
    if !consumers.is_empty() {
        call.world.say("\nIt waits for:");
        for consumer in &consumers {
            call.world.say(&format!("  {consumer}"));
        }
    }
    Ok(Exit::DONE)
}

/// How far away a line is: from now, or from when somebody asks.
fn distance(line: &Planned, at: Option<Wall>, now: Wall) -> String {
    match (at, line.after) {
        (Some(at), _) if at <= now => "now".to_owned(),
        (Some(at), _) => format!("in {}", length(at.since(now))),
        (None, Some(0)) => "at once".to_owned(),
        (None, Some(after)) => format!("{} later", length(Duration::from_secs(after))),
        (None, None) => "-".to_owned(),
    }
}
