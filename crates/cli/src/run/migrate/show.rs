//! How the steps of a migration look: lines for people, JSON for scripts. No value is in what they are given.

use std::path::Path;

use coffre_migrate::{
    Action, Applied, Class, Draft, Finding, Item, Oddity, Plan, Queued, Retired, RolledBack, Sources, Status,
    SwitchedOver, Verified,
};
use serde_json::json;

use super::files::Around;
use super::{tally, wants_json};
use crate::call::Call;
use crate::outcome::{Exit, Failure, Outcome};
use crate::render;

pub(super) fn init(
    call: &mut Call,
    path: &Path,
    draft: &Draft,
    findings: &[Finding],
    sources: &Sources,
    around: &Around,
) -> Outcome {
    if wants_json(call) {
        let found: Vec<_> = findings
            .iter()
            .map(|f| json!({ "name": f.name, "class": f.class, "reason": f.reason, "file": f.file, "line": f.line }))
            .collect();
        let added: Vec<_> = draft.entries.iter().map(|entry| &entry.name).chain(&draft.config).collect();
        let odd = sources.oddities();
        return json(
            call,
            &json!({ "manifest": path, "findings": found, "added": added, "oddities": odd, "read_but_not_set": around.usage.read_but_absent, "set_but_not_read": around.usage.present_but_unused, "read_by_computed_name": around.usage.dynamic, "beyond": around.beyond, "oracle": around.oracle }),
        );
    }
    let classes = tally(findings.iter().map(|finding| class(finding.class)));
    let classes: Vec<String> = classes.into_iter().map(|(class, many)| format!("{many} {class}")).collect();
    call.world.say(&format!("Found {}: {}", count(findings.len(), "variable"), classes.join(", ")));
    let rows =
        findings.iter().map(|f| vec![format!("  {}", f.name), class(f.class).to_owned(), f.reason.clone()]);
    let rows: Vec<_> = rows.collect();
    call.world.say(&render::columns(&rows));
    oddities(call, sources.oddities());
    self::around(call, around);
    let added = draft.entries.len() + draft.config.len();
    if added == 0 {
        call.world.say(&format!("\n{} names them all; nothing was changed.", path.display()));
    } else {
        call.world.say(&format!(
            "\nWrote {} to {}: look it through, then run",
            count(added, "variable"),
            path.display()
        ));
        call.world.say("  coffre migrate plan");
    }
    Ok(Exit::DONE)
}

/// What the plan does not reach, and what the code and the files do not agree on.
fn around(call: &mut Call, around: &Around) {
    for beyond in &around.beyond {
        let place =
            if beyond.line == 0 { beyond.file.clone() } else { format!("{}:{}", beyond.file, beyond.line) };
        call.world.warn(&format!("{place}: {}", beyond.what));
    }
    let (needed, soft): (Vec<_>, Vec<_>) =
        around.usage.read_but_absent.iter().partition(|(_, place)| !place.default);
    for (name, place) in needed {
        call.world.warn(&format!(
            "{}:{}: reads {name}, which no file sets; set it, or add it to the manifest",
            place.file, place.line
        ));
    }
    if !soft.is_empty() {
        let names: Vec<&str> = soft.iter().map(|(name, _)| name.as_str()).collect();
        call.world.warn(&format!("set nowhere, but the code goes on without: {}", names.join(", ")));
    }
    if !around.usage.present_but_unused.is_empty() {
        let names = around.usage.present_but_unused.join(", ");
        call.world.warn(&format!("no code found that asks for: {names}"));
    }
    for place in &around.usage.dynamic {
        call.world.warn(&format!(
            "{}:{}: asks for a variable whose name is only known when it runs; see that the manifest names it",
            place.file, place.line
        ));
    }
    if around.usage.truncated {
        call.world.warn("the project is larger than what is looked through; some code was not");
    }
}

pub(super) fn plan(call: &mut Call, plan: &Plan, around: &Around) -> Outcome {
    let exit = if plan.questions.is_empty() { Exit::DONE } else { Exit::LOCAL };
    if wants_json(call) {
        let mut shown = json!(plan);
        if let Some(shown) = shown.as_object_mut() {
            shown.insert("beyond".to_owned(), json!(around.beyond));
            shown.insert("usage".to_owned(), json!(around.usage));
            shown.insert("oracle".to_owned(), json!(around.oracle));
        }
        json(call, &shown)?;
        return Ok(exit);
    }
    let id = plan.plan_id.get(..12).unwrap_or_default();
    call.world.say(&format!("Plan {id}: {} in {} on {}\n", plan.app, plan.environment, plan.server));
    let setup = plan.setup.iter().map(|step| vec![what(step.action), step.object.to_string()]);
    call.world.say(&render::columns(&setup.collect::<Vec<_>>()));
    call.world.say("");
    call.world.say(&render::columns(&plan.items.iter().map(row).collect::<Vec<_>>()));
    oddities(call, &plan.oddities);
    self::around(call, around);
    if plan.questions.is_empty() {
        call.world.say(&match plan.writes() {
            0 => "\nEverything is there already; there is nothing to apply.".to_owned(),
            writes => format!("\n{} to write. Next:\n  coffre migrate apply", count(writes, "object")),
        });
        return Ok(Exit::DONE);
    }
    let questions: Vec<String> = plan.questions.iter().map(|question| format!("  - {question}")).collect();
    let many = count(questions.len(), "open question");
    Err(Failure { exit, text: format!("{many}; this plan cannot be applied:\n{}", questions.join("\n")) })
}

fn row(item: &Item) -> Vec<String> {
    let to = item.to.clone().unwrap_or_else(|| "stays in the environment".to_owned());
    let print = item.fingerprint.as_ref().and_then(|print| print.get(..8)).map(|print| format!("fp {print}"));
    let why = format!("{}: {}", class(item.class), item.reason);
    let why = print.map_or_else(|| why.clone(), |print| format!("{print} {why}"));
    vec![what(item.action), item.name.clone(), to, why]
}

fn what(action: Action) -> String {
    format!("{} {}", sign(action), action.word())
}

pub(super) fn applied(call: &mut Call, applied: &Applied, to_rotate: &[Queued]) -> Outcome {
    if wants_json(call) {
        let Applied { objects, documents, recovered, nothing_to_do } = applied;
        return json(
            call,
            &json!({ "objects": objects, "documents": documents, "recovered": recovered, "nothing_to_do": nothing_to_do, "to_rotate": to_rotate }),
        );
    }
    if applied.nothing_to_do {
        return say(
            call,
            "Everything is there already; nothing was written.\nNext:\n  coffre migrate verify",
        );
    }
    let recovered = match applied.recovered {
        0 => String::new(),
        many => format!(" ({many} had been written before the interruption)"),
    };
    let objects = count(applied.objects, "object");
    let documents = count(applied.documents + applied.recovered, "document");
    say(
        call,
        &format!(
            "Applied: {documents}{recovered}, {objects} set up. The .env file was not touched.\nNext:\n  coffre migrate verify"
        ),
    )
}

pub(super) fn switched_over(call: &mut Call, done: &SwitchedOver) -> Outcome {
    if wants_json(call) {
        let SwitchedOver { place, version, documents, nothing_to_do } = done;
        return json(
            call,
            &json!({ "manifest": place, "version": version, "documents": documents, "nothing_to_do": nothing_to_do }),
        );
    }
    let documents = count(done.documents, "document");
    let when = if done.nothing_to_do { "Switched over before" } else { "Switched over" };
    let text = format!(
        "{when}: {} lists {documents}. The way back is `migrate rollback -to=applied`.\nNext, when it has run long enough:\n  coffre migrate retire",
        done.place
    );
    say(call, &text)
}

pub(super) fn retired(call: &mut Call, done: &Retired, archive: &Path, to_rotate: &[Queued]) -> Outcome {
    if wants_json(call) {
        return json(
            call,
            &json!({ "files": done.files, "archive": archive, "nothing_to_do": done.nothing_to_do, "to_rotate": to_rotate }),
        );
    }
    if done.nothing_to_do {
        call.world.say("Retired before; nothing was changed.");
    } else {
        call.world.say(&format!(
            "Retired: {}. What stood there is sealed in {}. Replaced is not erased: backups, images and the disk may still hold it.",
            done.files.join(", "),
            archive.display()
        ));
    }
    queue(call, to_rotate);
    Ok(Exit::DONE)
}

/// What has to be rotated, the most exposed first.
fn queue(call: &mut Call, to_rotate: &[Queued]) {
    if to_rotate.is_empty() {
        return;
    }
    let many = count(to_rotate.len(), "variable");
    call.world.say(&format!("\nTo rotate, because it stood in a file in the clear: {many}"));
    let rows = to_rotate.iter().map(|item| vec![format!("  {}", item.name), item.exposure.word().to_owned()]);
    call.world.say(&render::columns(&rows.collect::<Vec<_>>()));
}

pub(super) fn verified(call: &mut Call, verified: &Verified) -> Outcome {
    let (variables, from_vault) = (verified.variables(), verified.from_vault());
    if wants_json(call) {
        let role = verified.role();
        return json(
            call,
            &json!({ "verified": true, "variables": variables, "from_vault": from_vault, "role": role }),
        );
    }
    let role = verified.role();
    say(
        call,
        &format!(
            "Verified as {role}: {} equal byte for byte, {from_vault} of them from the vault; it can read nothing else, and write nothing.",
            count(variables, "variable")
        ),
    )
}

pub(super) fn rolled_back(call: &mut Call, undone: &RolledBack) -> Outcome {
    if wants_json(call) {
        return json(
            call,
            &json!({ "plan": undone.plan, "undone": undone.undone, "left": undone.left, "dead": undone.dead, "whole": undone.whole }),
        );
    }
    let id = undone.plan.get(..12).unwrap_or_default();
    let part = if undone.whole { "" } else { " in part" };
    call.world.say(&format!("Rolled plan {id} back{part}: {} taken back.", count(undone.undone, "step")));
    for dead in &undone.dead {
        call.world.warn(&format!("{dead}: rotated since it was migrated, so this line's value is dead"));
    }
    for left in &undone.left {
        call.world.warn(&format!("left as it is: {left}"));
    }
    Ok(Exit::DONE)
}

pub(super) fn status(call: &mut Call, status: &Status) -> Outcome {
    if wants_json(call) {
        return json(call, &json!(status));
    }
    let rows = status.runs.iter().map(|run| {
        let id = run.plan.get(..12).unwrap_or_default().to_owned();
        let counts = format!(
            "{} written, {} in doubt, {} in conflict, {} taken back",
            run.landed, run.in_doubt, run.conflicts, run.undone
        );
        vec![id, run.state.to_owned(), run.server.clone(), counts]
    });
    let rows: Vec<_> = rows.collect();
    let shown = if rows.is_empty() { "No plan was applied yet.".to_owned() } else { render::columns(&rows) };
    call.world.say(&shown);
    queue(call, &status.to_rotate);
    if status.complete {
        return say(call, "The migration is complete.");
    }
    say(call, &format!("Next: {}", status.next))
}

fn oddities(call: &mut Call, odd: &[Oddity]) {
    for odd in odd.iter().filter(|odd| !odd.decided) {
        let name = odd.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        call.world.warn(&format!("{}:{}: {name}{}", odd.file, odd.line, odd.advice()));
    }
}

fn say(call: &mut Call, text: &str) -> Outcome {
    call.world.say(text);
    Ok(Exit::DONE)
}

fn json(call: &mut Call, value: &serde_json::Value) -> Outcome {
    call.world.say(&format!("{value:#}"));
    Ok(Exit::DONE)
}

/// `1 object`, `2 objects`.
pub(super) fn count(many: usize, what: &str) -> String {
    format!("{many} {what}{}", if many == 1 { "" } else { "s" })
}

const fn class(class: Class) -> &'static str {
    match class {
        Class::Secret => "secret",
        Class::Composed => "composed",
        Class::Config => "config",
        Class::Placeholder => "placeholder",
        Class::Ambiguous => "ambiguous",
    }
}

const fn sign(action: Action) -> &'static str {
    match action {
        Action::Create => "+",
        Action::Update => "~",
        Action::Same => "=",
        Action::Conflict => "!",
        Action::Skip => "-",
        Action::Template => "*",
    }
}
