//! `key=value` arguments: the body of a write.

use std::io::Read;
use std::path::Path;

use crate::json::Node;

/// Largest file or standard input that becomes a value or a body.
const LARGEST: u64 = 32 << 20;

/// Reads data arguments: `key=value`, `key=@file`, `key=-`, `key=\@literal`; `@file.json` or `-` alone is the whole
/// body as JSON. Values are text; a key given again makes a list. `-` may be used once.
pub(crate) fn parse(args: &[String], stdin: &mut dyn Read) -> Result<Vec<(String, Node)>, String> {
    let mut stdin = Once(Some(stdin));
    let mut found: Vec<(String, Node)> = Vec::new();
    for (at, arg) in args.iter().enumerate() {
        if arg == "-" {
            merge(&mut found, object(&stdin.take()?, "standard input")?);
        } else if let Some(file) = arg.strip_prefix('@') {
            merge(&mut found, object(&file_text(file)?, file)?);
        } else {
            // It may be a value whose key was forgotten, so it is not repeated.
            let (key, value) = arg.split_once('=').ok_or_else(|| {
                format!("data argument {} is not key=value (write @file for a JSON body)", at + 1)
            })?;
            push(&mut found, key, Node::Text(value_text(value, &mut stdin)?));
        }
    }
    Ok(found)
}

/// `key=value` arguments whose values are taken as they stand: query parameters.
pub(crate) fn plain(args: &[String]) -> Result<Vec<(String, String)>, String> {
    let split = |arg: &String| {
        let (key, value) = arg.split_once('=').ok_or(format!("{arg:?} is not key=value"))?;
        Ok((key.to_owned(), value.to_owned()))
    };
    args.iter().map(split).collect()
}

fn value_text(value: &str, stdin: &mut Once<'_>) -> Result<String, String> {
    if value == "-" {
        return stdin.take();
    }
    if let Some(file) = value.strip_prefix('@') {
        return file_text(file);
    }
    Ok(value
        .strip_prefix('\\')
        .filter(|rest| rest.starts_with('@') || *rest == "-")
        .unwrap_or(value)
        .to_owned())
}

fn push(found: &mut Vec<(String, Node)>, key: &str, value: Node) {
    match found.iter_mut().find(|(known, _)| known == key) {
        None => found.push((key.to_owned(), value)),
        Some((_, Node::List(values))) => values.push(value),
        Some((_, known)) => {
            let first = std::mem::replace(known, Node::Null);
            *known = Node::List(vec![first, value]);
        }
    }
}

fn merge(found: &mut Vec<(String, Node)>, members: Vec<(String, Node)>) {
    for (key, value) in members {
        found.retain(|(known, _)| *known != key);
        found.push((key, value));
    }
}

fn object(text: &str, from: &str) -> Result<Vec<(String, Node)>, String> {
    match Node::parse(text) {
        Some(Node::Map(members)) => Ok(members),
        Some(_) => Err(format!("{from} holds JSON, but no object")),
        None => Err(format!("{from} does not hold valid JSON")),
    }
}

fn file_text(path: &str) -> Result<String, String> {
    let failed = |cause: std::io::Error| format!("cannot read {path}: {cause}");
    let file = std::fs::File::open(Path::new(path)).map_err(failed)?;
    bounded(file, path)
}

fn bounded(from: impl Read, name: &str) -> Result<String, String> {
    let mut text = Vec::new();
    from.take(LARGEST + 1).read_to_end(&mut text).map_err(|cause| format!("cannot read {name}: {cause}"))?;
    if text.len() as u64 > LARGEST {
        return Err(format!("{name} is larger than 32 MiB"));
    }
    String::from_utf8(text)
        .map_err(|_| format!("{name} is not UTF-8 text; encode it first, for example with base64"))
}

/// Standard input, which can be read only once.
struct Once<'a>(Option<&'a mut dyn Read>);

impl Once<'_> {
    fn take(&mut self) -> Result<String, String> {
        let stdin = self.0.take().ok_or("standard input (`-`) may be used only once")?;
        bounded(stdin, "standard input")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(args: &[&str], stdin: &str) -> Result<String, String> {
        let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
        parse(&args, &mut stdin.as_bytes()).map(|members| Node::Map(members).to_json())
    }

    #[test]
    fn every_form() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"from file\n").unwrap();
        let at = format!("f=@{}", file.path().display());
        assert_eq!(read(&["a=1", "b=x=y", "e="], "").unwrap(), r#"{"a":"1","b":"x=y","e":""}"#);
        assert_eq!(read(&[&at], "").unwrap(), r#"{"f":"from file\n"}"#);
        assert_eq!(read(&["s=-"], "in\n").unwrap(), r#"{"s":"in\n"}"#);
        assert_eq!(read(&[r"l=\@x", r"m=\n"], "").unwrap(), r#"{"l":"@x","m":"\\n"}"#);
        assert_eq!(read(&["k=1", "k=2", "k=3"], "").unwrap(), r#"{"k":["1","2","3"]}"#);
    }

    #[test]
    fn a_json_body_keeps_its_types_and_digits() {
        assert_eq!(
            read(&["-"], r#"{"n": 1.50, "b":true, "x":[1,null]}"#).unwrap(),
            r#"{"n":1.50,"b":true,"x":[1,null]}"#
        );
        assert_eq!(read(&["-", "n=2"], r#"{"m":1}"#).unwrap(), r#"{"m":1,"n":"2"}"#);
    }

    #[test]
    fn what_is_refused() {
        for (args, stdin) in [
            (["novalue"].as_slice(), ""),
            (&["-"], "[1]"),
            (&["-"], "{"),
            (&["a=-", "b=-"], "x"),
            (&["a=@/nonexistent/file"], ""),
        ] {
            assert!(read(args, stdin).is_err(), "{args:?}");
        }
        assert!(!read(&["a=b", "SECRET"], "").unwrap_err().contains("SECRET"));
    }
}
