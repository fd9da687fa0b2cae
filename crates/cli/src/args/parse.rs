use std::fmt::Write as _;

/// What a flag is followed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Nothing; `-x=false` turns it off.
    Nothing,
    /// One value; the last one given counts.
    One,
    /// One value each time; all count.
    Many,
}

/// A flag of a command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag {
    pub(crate) name: &'static str,
    pub(crate) alias: Option<&'static str>,
    pub(crate) takes: Takes,
    pub(crate) summary: &'static str,
}

impl Flag {
    pub(crate) const fn switch(name: &'static str, summary: &'static str) -> Self {
        Self { name, alias: None, takes: Takes::Nothing, summary }
    }

    pub(crate) const fn one(name: &'static str, summary: &'static str) -> Self {
        Self { name, alias: None, takes: Takes::One, summary }
    }

    pub(crate) const fn many(name: &'static str, summary: &'static str) -> Self {
        Self { name, alias: None, takes: Takes::Many, summary }
    }

    pub(crate) const fn or(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }
}

/// The arguments of one command, taken apart.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    given: Vec<(&'static str, String)>,
    /// What is left after the flags.
    pub(crate) positionals: Vec<String>,
    /// Whether `--` ended the flags, so that what follows is meant as it stands.
    dashes: bool,
}

/// Why arguments were not understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadArgs {
    /// `-h`, `-help`: not an error, but the command does not run.
    Help,
    /// A sentence for the user.
    Wrong(String),
}

impl Parsed {
    /// Takes arguments apart as Go's `flag` package does: `-x` is `--x`; `-x=v` is `-x v`; a switch takes its value
    /// only after `=`; the first argument that is no flag, or `--`, ends the flags.
    pub(crate) fn parse<'a>(
        flags: impl Fn(&str) -> Option<&'a Flag>,
        args: impl IntoIterator<Item = String>,
    ) -> Result<Self, BadArgs> {
        let mut parsed = Self::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            if arg == "--" {
                parsed.dashes = true;
                break;
            }
            let Some(body) = flag_body(&arg) else {
                parsed.positionals.push(arg);
                break;
            };
            let (name, value) = match body.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (body, None),
            };
            let Some(flag) = flags(name) else {
                return Err(if matches!(name, "h" | "help") { BadArgs::Help } else { unknown(name) });
            };
            let value = match (flag.takes, value) {
                (Takes::Nothing, None) => "true".to_owned(),
                (Takes::Nothing, Some(value)) => go_bool(&value)
                    .ok_or_else(|| BadArgs::Wrong(format!("invalid boolean value {value:?} for -{name}")))?
                    .to_string(),
                (_, Some(value)) => value,
                (_, None) => {
                    args.next().ok_or_else(|| BadArgs::Wrong(format!("flag needs an argument: -{name}")))?
                }
            };
            parsed.given.push((flag.name, value));
        }
        parsed.positionals.extend(args);
        Ok(parsed)
    }

    /// The value given last.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        self.given.iter().rev().find(|(given, _)| *given == name).map(|(_, value)| value.as_str())
    }

    /// All values in the order given.
    pub(crate) fn many(&self, name: &str) -> Vec<&str> {
        self.given.iter().filter(|(given, _)| *given == name).map(|(_, value)| value.as_str()).collect()
    }

    /// Whether a switch is on; `None` if it was not mentioned.
    pub(crate) fn switch(&self, name: &str) -> Option<bool> {
        self.one(name).map(|value| value == "true")
    }

    /// Whether a switch is on.
    pub(crate) fn on(&self, name: &str) -> bool {
        self.switch(name).unwrap_or(false)
    }

    /// `key=value` pairs of a flag that is given several times.
    pub(crate) fn pairs(&self, name: &str) -> Result<Vec<(String, String)>, String> {
        let split = |text: &str| {
            let (key, value) =
                text.split_once('=').ok_or(format!("-{name} takes key=value, not {text:?}"))?;
            Ok((key.to_owned(), value.to_owned()))
        };
        self.many(name).into_iter().map(split).collect()
    }

    /// Positional arguments that look like flags: they were meant to come first.
    pub(crate) fn misplaced(&self) -> Option<String> {
        let looks =
            |arg: &&String| arg.len() > 1 && arg.starts_with('-') && arg.as_bytes().get(1) != Some(&b' ');
        let found: Vec<_> = self.positionals.iter().filter(looks).map(String::as_str).collect();
        (!found.is_empty() && !self.dashes).then(|| {
            let mut text = String::from("Command flags must be provided before positional arguments. ");
            // Writing to a String cannot fail.
            let _ =
                write!(text, "The following arguments will not be parsed as flags: [{}]", found.join(","));
            text
        })
    }
}

fn unknown(name: &str) -> BadArgs {
    BadArgs::Wrong(format!("flag provided but not defined: -{name}"))
}

/// The name, and the value if `=` is there; `None` if this is no flag. A lone `-` is an argument: standard input.
fn flag_body(arg: &str) -> Option<&str> {
    let body = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-'))?;
    (!body.is_empty()).then_some(body)
}

/// The spellings that Go's `strconv.ParseBool` takes.
pub(crate) fn go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] =
        &[Flag::switch("force", "").or("f"), Flag::one("path", ""), Flag::many("policy", "")];

    fn parse(args: &[&str]) -> Result<Parsed, BadArgs> {
        let find = |name: &str| FLAGS.iter().find(|flag| flag.name == name || flag.alias == Some(name));
        Parsed::parse(find, args.iter().map(|arg| (*arg).to_owned()))
    }

    #[test]
    fn all_spellings_of_a_value() {
        for args in
            [["-path=x", "a"].as_slice(), &["--path=x", "a"], &["-path", "x", "a"], &["--path", "x", "a"]]
        {
            let parsed = parse(args).unwrap();
            assert_eq!((parsed.one("path"), parsed.positionals.len()), (Some("x"), 1), "{args:?}");
        }
        assert_eq!(parse(&["-path=a=b"]).unwrap().one("path"), Some("a=b"));
        assert_eq!(parse(&["-path="]).unwrap().one("path"), Some(""));
        assert_eq!(
            parse(&["-path", "-force"]).unwrap().one("path"),
            Some("-force"),
            "the next one, whatever it is"
        );
    }

    #[test]
    fn a_switch_takes_no_separate_value() {
        let parsed = parse(&["-force", "false"]).unwrap();
        assert!(parsed.on("force"));
        assert_eq!(parsed.positionals, ["false"]);
        assert_eq!(parse(&["-f=false"]).unwrap().switch("force"), Some(false));
        assert_eq!(parse(&["-f=0", "-f"]).unwrap().switch("force"), Some(true));
        assert!(matches!(parse(&["-force=maybe"]), Err(BadArgs::Wrong(_))));
    }

    #[test]
    fn flags_end_at_the_first_argument() {
        let parsed = parse(&["-policy", "a", "-policy=b", "x", "-force", "-"]).unwrap();
        assert_eq!(parsed.many("policy"), ["a", "b"]);
        assert_eq!(parsed.positionals, ["x", "-force", "-"]);
        assert!(!parsed.on("force"));
        assert!(parsed.misplaced().unwrap().ends_with("[-force]"));
        assert_eq!(parse(&["-", "x"]).unwrap().positionals, ["-", "x"]);
        let parsed = parse(&["--", "-force"]).unwrap();
        assert_eq!(
            (parsed.positionals.as_slice(), parsed.misplaced()),
            (["-force".to_owned()].as_slice(), None)
        );
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(parse(&["-help"]).unwrap_err(), BadArgs::Help);
        assert_eq!(parse(&["-h"]).unwrap_err(), BadArgs::Help);
        assert!(matches!(parse(&["-nope"]), Err(BadArgs::Wrong(text)) if text.contains("-nope")));
        assert!(matches!(parse(&["-path"]), Err(BadArgs::Wrong(text)) if text.contains("needs an argument")));
    }
}
