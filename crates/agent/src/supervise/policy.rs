//! How a program is looked after: what the operator may choose.

use std::time::Duration;

use super::signals::{self, TERM};

/// What is done when values of a program have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnChange {
    /// Nothing but a line.
    None,
    /// The program is stopped and started with the new values.
    #[default]
    Restart,
    /// A command of the operator is run with the new values in its environment; the program stays as it is.
    Hook,
}

/// What is done when a program ends although nobody asked it to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnCrash {
    /// Its exit code is passed on.
    #[default]
    Exit,
    /// It is started again after a pause that grows from 1 s to 60 s, unless it ended with 0.
    Backoff,
}

/// A word that is no choice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadChoice {
    /// Not a way to tell a program about changes.
    #[error("{0:?} is no answer to a change: use none, restart or hook")]
    OnChange(String),
    /// A signal, for values that are in the environment.
    #[error(
        "{0:?}: a signal cannot bring new values to a program that has them in its environment, because what it \
         starts or re-reads on a signal inherits the old ones; use restart"
    )]
    Signal(String),
    /// Not a way to deal with a crash.
    #[error("{0:?} is no answer to a crash: use exit or backoff")]
    OnCrash(String),
    /// Not a signal.
    #[error(
        "{0:?} is no signal that a program can be sent to stop it: use TERM, INT, QUIT, HUP, USR1 or such"
    )]
    StopSignal(String),
}

impl OnChange {
    /// Reads `none`, `restart` or `hook`. `signal:<S>` is refused with the reason.
    pub fn parse(text: &str) -> Result<Self, BadChoice> {
        match text {
            "none" => Ok(Self::None),
            "restart" => Ok(Self::Restart),
            "hook" => Ok(Self::Hook),
            _ if text.starts_with("signal") => Err(BadChoice::Signal(text.to_owned())),
            _ => Err(BadChoice::OnChange(text.to_owned())),
        }
    }
}

impl OnCrash {
    /// Reads `exit` or `backoff`.
    pub fn parse(text: &str) -> Result<Self, BadChoice> {
        match text {
            "exit" => Ok(Self::Exit),
            "backoff" => Ok(Self::Backoff),
            _ => Err(BadChoice::OnCrash(text.to_owned())),
        }
    }
}

/// Reads the name or the number of a signal that may serve to stop a program, such as `TERM`, `SIGQUIT` or `2`.
pub fn stop_signal(text: &str) -> Result<i32, BadChoice> {
    let found = signals::number(text).filter(|number| signals::is_forwarded(*number));
    found.ok_or_else(|| BadChoice::StopSignal(text.to_owned()))
}

/// Everything the machine goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The signal that asks the program to stop.
    pub stop_signal: i32,
    /// How long it has after that before it is killed.
    pub grace: Duration,
    /// Changes.
    pub on_change: OnChange,
    /// Crashes.
    pub on_crash: OnCrash,
    /// A program that lived this long lives with its values.
    pub min_uptime: Duration,
    /// A change is acted upon when nothing has changed for this long.
    pub quiet_least: Duration,
    /// A change waits for others no longer than this.
    pub quiet_most: Duration,
    /// Whether a restart needs a slot of the fleet.
    pub slots: bool,
    /// The time since boot at which the program is stopped, whatever it does.
    pub deadline: Option<Duration>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            stop_signal: TERM,
            grace: Duration::from_secs(30),
            on_change: OnChange::default(),
            on_crash: OnCrash::default(),
            min_uptime: Duration::from_secs(10),
            quiet_least: Duration::from_secs(2),
            quiet_most: Duration::from_secs(10),
            slots: false,
            deadline: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_refused_with_the_reason() {
        for text in ["signal:HUP", "signal"] {
            let refused = OnChange::parse(text).unwrap_err();
            assert!(refused.to_string().contains("inherits the old ones"), "{refused}");
        }
        assert_eq!(OnChange::parse("restart"), Ok(OnChange::Restart));
        assert!(matches!(OnChange::parse("Restart"), Err(BadChoice::OnChange(_))));
        assert!(OnCrash::parse("always").is_err());
    }

    #[test]
    fn what_may_stop_a_program() {
        assert_eq!(stop_signal("TERM"), Ok(15));
        assert_eq!(stop_signal("sigquit"), Ok(3));
        assert_eq!(stop_signal("2"), Ok(2));
        for bad in ["KILL", "9", "STOP", "CHLD", "0", "-15", "65", "NONE", ""] {
            assert!(stop_signal(bad).is_err(), "{bad}");
        }
    }
}
