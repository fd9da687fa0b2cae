use std::fmt;
use std::str::FromStr;

use coffre_secret::SecretText;
use serde::Deserialize;

/// How a value is composed: `redis://:{REDIS_PASSWORD|pct}@cache:6379/0`. `{NAME}` stands for another variable of the
/// manifest or, if there is none of that name, for a field of the entry's own document; `|pct` percent-encodes it
/// (RFC 3986, all but unreserved characters); `{{` and `}}` are braces.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

/// A piece of a template.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// Text that stands for itself.
    Text(String),
    /// A value to be filled in.
    Hole {
        /// A variable, or a field of the document.
        name: String,
        /// Whether the value is percent-encoded.
        percent: bool,
    },
}

/// The text is not a template.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadTemplate {
    /// `{` without `}`.
    #[error("the template has `{{` without `}}`; write `{{{{` for a brace that stands for itself")]
    Open,
    /// `}` without `{`.
    #[error("the template has `}}` without `{{`; write `}}}}` for a brace that stands for itself")]
    Close,
    /// Not a name, or an unknown filter.
    #[error("between braces stands a name of letters, digits and `_`, with `|pct` behind it or nothing")]
    Name,
    /// Nothing is filled in.
    #[error("the template fills nothing in; a value that never changes belongs in the vault or in [config]")]
    NoHole,
}

impl Template {
    /// From pieces; neighbouring texts become one.
    pub fn of(parts: impl IntoIterator<Item = Part>) -> Result<Self, BadTemplate> {
        let mut text = String::new();
        for part in parts {
            match part {
                Part::Text(piece) => text.push_str(&piece.replace('{', "{{").replace('}', "}}")),
                Part::Hole { name, percent } => {
                    text.push_str(&format!("{{{name}{}}}", if percent { "|pct" } else { "" }));
                }
            }
        }
        text.parse()
    }

    /// The pieces, in order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The names that are filled in, in order, with repetitions.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Hole { name, .. } => Some(name.as_str()),
        })
    }

    /// As it stands in the file.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Fills it in. `lookup` gives the value of a name; a name without a value is the error.
    pub fn render(&self, lookup: impl Fn(&str) -> Option<SecretText>) -> Result<SecretText, &str> {
        let mut made = SecretText::default();
        for part in &self.parts {
            match part {
                Part::Text(piece) => made.expose_mut().push_str(piece),
                Part::Hole { name, percent } => {
                    let value = lookup(name).ok_or(name.as_str())?;
                    // EXPOSE: goes from one secret into another.
                    if *percent {
                        push_percent(made.expose_mut(), value.expose());
                    } else {
                        made.expose_mut().push_str(value.expose());
                    }
                }
            }
        }
        Ok(made)
    }
}

impl FromStr for Template {
    type Err = BadTemplate;

    fn from_str(text: &str) -> Result<Self, BadTemplate> {
        let mut parts = Vec::new();
        let mut piece = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            piece.push_str(before);
            if let Some(after) = brace.strip_prefix("{{") {
                piece.push('{');
                rest = after;
            } else if let Some(after) = brace.strip_prefix("}}") {
                piece.push('}');
                rest = after;
            } else if let Some(after) = brace.strip_prefix('{') {
                let (inner, after) = after.split_once('}').ok_or(BadTemplate::Open)?;
                if !piece.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut piece)));
                }
                parts.push(hole(inner)?);
                rest = after;
            } else {
                return Err(BadTemplate::Close);
            }
        }
        piece.push_str(rest);
        if !piece.is_empty() {
            parts.push(Part::Text(piece));
        }
        let holes = parts.iter().any(|part| matches!(part, Part::Hole { .. }));
        if holes { Ok(Self { text: text.to_owned(), parts }) } else { Err(BadTemplate::NoHole) }
    }
}

impl TryFrom<String> for Template {
    type Error = BadTemplate;

    fn try_from(text: String) -> Result<Self, BadTemplate> {
        text.parse()
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn hole(inner: &str) -> Result<Part, BadTemplate> {
    let (name, percent) = inner.strip_suffix("|pct").map_or((inner, false), |name| (name, true));
    if !crate::paths::is_variable_name(name) {
        return Err(BadTemplate::Name);
    }
    Ok(Part::Hole { name: name.to_owned(), percent })
}

/// RFC 3986, 2.3: all but unreserved characters.
fn push_percent(out: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for digit in [byte >> 4, byte & 15] {
                out.extend(char::from_digit(u32::from(digit), 16).map(|digit| digit.to_ascii_uppercase()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(template: &str) -> Result<String, String> {
        let template: Template = template.parse().map_err(|error: BadTemplate| error.to_string())?;
        let lookup = |name: &str| (name == "P").then(|| SecretText::from("p@ß/"));
        let made = template.render(lookup).map_err(|name| format!("no {name}"))?;
        Ok(made.expose().clone())
    }

    #[test]
    fn holes_are_filled() {
        assert_eq!(rendered("a:{P}@h").as_deref(), Ok("a:p@ß/@h"));
        assert_eq!(rendered("a:{P|pct}@{{h}}").as_deref(), Ok("a:p%40%C3%9F%2F@{h}"));
        assert_eq!(rendered("{Q}"), Err("no Q".to_owned()));
        for bad in ["{P", "P}", "{}", "{P|up}", "{P Q}", "plain", ""] {
            assert!(bad.parse::<Template>().is_err(), "{bad}");
        }
    }

    #[test]
    fn braces_survive() {
        let parts = [Part::Text("{a}".to_owned()), Part::Hole { name: "P".to_owned(), percent: true }];
        let template = Template::of(parts.clone()).unwrap();
        assert_eq!(template.parts(), parts);
    }
}
