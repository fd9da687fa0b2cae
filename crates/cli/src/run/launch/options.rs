//! What `run` was asked for beyond starting a program.

use std::ffi::OsString;
use std::time::Duration;

use coffre_agent::supervise::policy::stop_signal;
use coffre_agent::supervise::{OnChange, OnCrash, Policy};

use crate::args::{Flag, Parsed};
use crate::connect;

pub(crate) const FLAGS: &[Flag] = &[
    Flag::one(
        "manifest",
        "The manifest; without it, coffre.toml here or in a directory above. Also COFFRE_MANIFEST.",
    ),
    Flag::one("env-file", "The .env file; without it, the one beside the manifest."),
    Flag::one(
        "wait",
        "How long to wait for the server outside development; 60s by default. Also COFFRE_WAIT.",
    ),
    Flag::many("allow", "A variable that is set although it steers how programs run."),
    Flag::switch("shell", "The command is a script for /bin/sh; what follows it are its arguments."),
    Flag::switch("supervise", "Stay, and look after the program, instead of becoming it."),
    Flag::switch("watch", "Stay, and answer to values that change in the vault."),
    Flag::one("interval", "With -watch: how often to look, about; 30s by default."),
    Flag::one("on-change", "With -watch: restart (the default), hook or none."),
    Flag::one("hook", "With -on-change=hook: the program to run with the new values in its environment."),
    Flag::one(
        "max-unavailable",
        "With -watch: how many instances of a fleet may restart at the same time. They agree through a document of the \
         vault, which the manifest's read policy lets them write: <mount>/data/<environment>/_rot/rollout/<name>.",
    ),
    Flag::one("rollout", "With -max-unavailable: the document's name; without it, the program's."),
    Flag::one("on-crash", "exit (the default), or backoff: start it again after a growing pause."),
    Flag::one(
        "min-uptime",
        "A program that was up for this long lives with its values; 10s by default. One that fails three times before \
         that with new values is given the old ones again.",
    ),
    Flag::one("grace", "How long the program has to stop before it is killed; 30s by default."),
    Flag::one("stop-signal", "What asks the program to stop; TERM by default."),
    Flag::switch("signal-group", "Send signals to all processes of the program, not only to the first."),
    Flag::switch(
        "redact",
        "Hide values in what the program prints, where that is not a terminal: hygiene, not a boundary.",
    ),
    Flag::one("timeout", "Stop the program after this time, and end with 124."),
];

/// Flags that mean nothing to a program that has taken our place.
const SUPERVISING: [&str; 9] = [
    "supervise",
    "watch",
    "on-crash",
    "min-uptime",
    "grace",
    "stop-signal",
    "signal-group",
    "redact",
    "timeout",
];
/// Flags that mean nothing without `-watch`.
const WATCHING: [&str; 5] = ["interval", "on-change", "hook", "max-unavailable", "rollout"];
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// See [`FLAGS`].
#[derive(Debug)]
pub(super) struct Options {
    pub(super) supervised: bool,
    pub(super) watch: bool,
    pub(super) interval: Duration,
    pub(super) policy: Policy,
    pub(super) timeout: Option<Duration>,
    pub(super) hook: Option<OsString>,
    pub(super) whole_group: bool,
    pub(super) redact: bool,
    /// How many of a fleet may restart at the same time, and under which name they agree on that.
    pub(super) rollout: Option<(usize, Option<String>)>,
    shell: bool,
}

impl Options {
    /// The error is a sentence.
    pub(super) fn of(parsed: &Parsed) -> Result<Self, String> {
        let given = |name: &&str| parsed.one(name).is_some_and(|value| value != "false");
        let watch = parsed.on("watch");
        if let Some(name) = WATCHING.iter().find(|name| given(name) && !watch) {
            return Err(format!(
                "-{name} says what to do about changes, which only -watch looks for: add it"
            ));
        }
        let mut policy = Policy::default();
        if let Some(text) = parsed.one("on-change") {
            policy.on_change = OnChange::parse(text).map_err(|bad| format!("-on-change: {bad}"))?;
        }
        if let Some(text) = parsed.one("on-crash") {
            policy.on_crash = OnCrash::parse(text).map_err(|bad| format!("-on-crash: {bad}"))?;
        }
        if let Some(text) = parsed.one("stop-signal") {
            policy.stop_signal = stop_signal(text).map_err(|bad| format!("-stop-signal: {bad}"))?;
        }
        policy.grace = duration(parsed, "grace")?.unwrap_or(policy.grace);
        policy.min_uptime = duration(parsed, "min-uptime")?.unwrap_or(policy.min_uptime);
        let hook = parsed.one("hook").map(OsString::from);
        match (policy.on_change, &hook) {
            (OnChange::Hook, None) => {
                return Err("-on-change=hook needs the program to run: -hook=PROGRAM".to_owned());
            }
            (OnChange::Restart | OnChange::None, Some(_)) => {
                return Err("-hook is run with -on-change=hook only".to_owned());
            }
            _ => {}
        }
        let rollout = rollout(parsed)?;
        policy.slots = rollout.is_some();
        Ok(Self {
            redact: parsed.on("redact"),
            rollout,
            supervised: SUPERVISING.iter().any(given),
            watch,
            interval: duration(parsed, "interval")?
                .map_or(Duration::from_secs(30), |given| given.max(SHORTEST_INTERVAL)),
            policy,
            timeout: duration(parsed, "timeout")?.filter(|timeout| !timeout.is_zero()),
            hook,
            whole_group: parsed.on("signal-group"),
            shell: parsed.on("shell"),
        })
    }

    /// The program and its arguments, from the operands.
    pub(super) fn command(&self, program: OsString, args: Vec<OsString>) -> (OsString, Vec<OsString>) {
        if !self.shell {
            return (program, args);
        }
        // `sh -c SCRIPT NAME ARGS...`: the name is `$0`.
        let script = ["-c".into(), program, "sh".into()];
        ("/bin/sh".into(), script.into_iter().chain(args).collect())
    }
}

fn rollout(parsed: &Parsed) -> Result<Option<(usize, Option<String>)>, String> {
    let name = parsed.one("rollout");
    let Some(text) = parsed.one("max-unavailable") else {
        return match name {
            Some(_) => {
                Err("-rollout names a fleet; say how many may restart at once: -max-unavailable=1".to_owned())
            }
            None => Ok(None),
        };
    };
    let most = text.parse().ok().filter(|most| *most > 0);
    let most = most.ok_or_else(|| format!("-max-unavailable: {text:?} is no number from 1"))?;
    let fits = |name: &&str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    match name {
        Some(name) if !fits(&name) => {
            Err(format!("-rollout: {name:?} is no name (letters, digits, `-`, `_`, `.`)"))
        }
        name => Ok(Some((most, name.map(str::to_owned)))),
    }
}

fn duration(parsed: &Parsed, name: &str) -> Result<Option<Duration>, String> {
    let Some(text) = parsed.one(name) else { return Ok(None) };
    let duration = connect::duration(text);
    duration.map(Some).ok_or_else(|| format!("-{name}: {text:?} is no duration such as 30s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(args: &[&str]) -> Result<Options, String> {
        let find = |name: &str| FLAGS.iter().find(|flag| flag.name == name);
        let args = args.iter().map(|arg| (*arg).to_owned());
        Options::of(&Parsed::parse(find, args).map_err(|bad| format!("{bad:?}"))?)
    }

    #[test]
    fn exec_unless_something_needs_us() {
        for exec in [&[][..], &["-shell"], &["-wait=3s", "-allow=PATH"], &["-watch=false"]] {
            assert!(!of(exec).unwrap().supervised, "{exec:?}");
        }
        for name in SUPERVISING {
            let value = match name {
                "on-crash" => "=exit",
                "min-uptime" | "grace" | "timeout" => "=1s",
                "stop-signal" => "=QUIT",
                _ => "",
            };
            assert!(of(&[&format!("-{name}{value}")]).unwrap().supervised, "{name}");
        }
    }

    #[test]
    fn what_is_refused_says_why() {
        for (args, why) in [
            (&["-watch", "-on-change=signal:HUP"][..], "inherits the old ones"),
            (&["-on-change=none"], "add it"),
            (&["-interval=3s"], "add it"),
            (&["-watch", "-on-change=hook"], "-hook=PROGRAM"),
            (&["-watch", "-hook=x"], "-on-change=hook only"),
            (&["-stop-signal=KILL"], "TERM"),
            (&["-grace=soon"], "30s"),
            (&["-max-unavailable=1"], "add it"),
            (&["-watch", "-max-unavailable=0"], "no number"),
            (&["-watch", "-rollout=web"], "-max-unavailable=1"),
            (&["-watch", "-max-unavailable=1", "-rollout=a/b"], "no name"),
            (&["-on-crash=always"], "backoff"),
        ] {
            let refused = of(args).unwrap_err();
            assert!(refused.contains(why), "{args:?}: {refused}");
        }
    }

    #[test]
    fn a_script_has_a_name_and_arguments() {
        let options = of(&["-shell"]).unwrap();
        let (program, args) = options.command("echo $1".into(), vec!["a".into()]);
        assert_eq!(
            (program, args),
            ("/bin/sh".into(), ["-c", "echo $1", "sh", "a"].map(OsString::from).to_vec())
        );
    }
}
