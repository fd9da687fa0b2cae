//! `policy`: rules by name, and a formatter for their files.

use std::io::Read as _;
use std::path::Path;

use coffre_client::{Op, Request};

use crate::args::global::Format;
use crate::call::{Call, data_of};
use crate::json::{Node, map};
use crate::outcome::{Exit, Failure, Outcome};
use crate::replace::replace;

/// Longer files are no policy.
const LONGEST: u64 = 4 << 20;

pub(crate) async fn write(call: &mut Call) -> Outcome {
    call.expect_args(2, 2)?;
    let name = name(call);
    let source = call.arg(1).unwrap_or_default().to_owned();
    let mut text = String::new();
    let read = match source.as_str() {
        "-" => (&mut call.world.stdin).take(LONGEST).read_to_string(&mut text),
        file => std::fs::File::open(file).and_then(|file| file.take(LONGEST).read_to_string(&mut text)),
    };
    read.map_err(|error| Failure::local(format!("cannot read the policy from {source}: {error}")))?;
    let path = format!("sys/policies/acl/{name}");
    let envelope = call.put("uploading policy", &path, &map([("policy", Node::from(text))])).await?;
    call.show_warnings(&crate::call::whole(envelope.as_ref()));
    call.succeed(&format!("Uploaded policy: {name}"))
}

pub(crate) async fn read(call: &mut Call) -> Outcome {
    call.only_arg()?;
    let name = name(call);
    let request = Request::new(Op::Read, format!("sys/policies/acl/{name}"));
    let found = call.send_if_there(&format!("reading policy named {name}"), request).await?;
    let data = data_of(found.as_ref());
    let Some(text) = data.member("policy").and_then(Node::text) else {
        return Err(Failure::server(format!("No policy named: {name}")));
    };
    match call.format {
        Format::Table => call.world.say(text.trim_end()),
        Format::Raw => call.world.say_bare(text),
        _ => call.show_node(&map([("policy", Node::from(text))])),
    }
    Ok(Exit::DONE)
}

pub(crate) async fn list(call: &mut Call) -> Outcome {
    call.expect_args(0, 0)?;
    let found = call.send("listing policies", Request::new(Op::List, "sys/policies/acl")).await?;
    let keys = data_of(found.as_ref()).member("keys").map(Node::items).unwrap_or_default().to_vec();
    call.show_list(None, &keys)
}

pub(crate) async fn delete(call: &mut Call) -> Outcome {
    call.only_arg()?;
    let name = name(call);
    let request = Request::new(Op::Delete, format!("sys/policies/acl/{name}"));
    call.send(&format!("deleting {name}"), request).await?;
    call.succeed(&format!("Deleted policy: {name}"))
}

pub(crate) fn fmt(call: &mut Call) -> Outcome {
    let file = call.only_arg()?;
    let failed = |error: std::io::Error| Failure::local(format!("cannot format {file}: {error}"));
    let text = std::fs::read_to_string(&file).map_err(failed)?;
    if let Err(error) = hcl::parse(&text) {
        return Err(Failure::local(format!("{file} is not valid HCL, so it was left alone: {error}")));
    }
    let formatted = indent(&text).ok_or_else(|| {
        Failure::local(format!(
            "{file} holds a heredoc or a block comment, which would change; it was left alone"
        ))
    })?;
    if formatted != text {
        replace(Path::new(&file), &formatted).map_err(failed)?;
    }
    call.succeed(&format!("Formatted policy: {file}"))
}

/// Names are lower case on the server.
fn name(call: &Call) -> String {
    call.arg(0).unwrap_or_default().trim().to_lowercase()
}

/// Two blanks per open bracket at the start of each line and none at its end; nothing else changes, so comments stay.
/// `None` where text spans lines, since its blanks matter.
fn indent(text: &str) -> Option<String> {
    if text.contains("<<") || text.contains("/*") {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let (mut depth, mut blank) = (0_usize, true);
    for line in text.lines().map(str::trim) {
        if line.is_empty() {
            if !blank {
                out.push('\n');
            }
            blank = true;
            continue;
        }
        blank = false;
        let (opened, closed, closed_first) = brackets(line);
        out.extend(std::iter::repeat_n("  ", depth.saturating_sub(closed_first)));
        out.push_str(line);
        out.push('\n');
        depth = (depth + opened).saturating_sub(closed);
    }
    Some(format!("{}\n", out.trim_end()))
}

/// How many brackets a line opens and closes outside strings and comments, and how many it closes before any other
/// letter.
fn brackets(line: &str) -> (usize, usize, usize) {
    let (mut opened, mut closed, mut first) = (0, 0, 0);
    let (mut in_string, mut escaped, mut leading) = (false, false, true);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        if in_string {
            in_string = escaped || letter != '"';
            escaped = !escaped && letter == '\\';
            continue;
        }
        match letter {
            '#' => break,
            '/' if letters.peek() == Some(&'/') => break,
            '"' => in_string = true,
            '{' | '[' => opened += 1,
            '}' | ']' => {
                closed += 1;
                first += usize::from(leading);
            }
            _ => {}
        }
        leading &= matches!(letter, '}' | ']');
    }
    (opened, closed, first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indents_and_keeps_comments() {
        let ugly = "# why\npath \"a/*\" {\ncapabilities = [\n\"read\", # { not a bracket\n\"list\"\n]\n\n\n   }   \n";
        let neat = "# why\npath \"a/*\" {\n  capabilities = [\n    \"read\", # { not a bracket\n    \"list\"\n  ]\n\n}\n";
        // `a/*` inside the string looks like a comment's start, which is left alone.
        assert_eq!(indent(ugly), None);
        let (ugly, neat) = (ugly.replace("a/*", "a/+"), neat.replace("a/*", "a/+"));
        assert_eq!(indent(&ugly).unwrap(), neat);
        assert_eq!(indent(&neat).unwrap(), neat, "a fixed point");
    }
}
