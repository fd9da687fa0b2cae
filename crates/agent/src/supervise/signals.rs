//! Which signals exist, which are passed on, and how they arrive.
//!
//! | signals | what happens |
//! |---|---|
//! | KILL, STOP | no process sees them |
//! | ILL, TRAP, BUS, FPE, SEGV, SYS | a fault of this process itself; never passed on |
//! | PIPE | about what this process writes; stays ignored here |
//! | CHLD, URG | about this process's own children and sockets |
//! | INT, QUIT, TSTP, TTIN, TTOU, WINCH with a shared terminal | the terminal has given them to the program as well |
//! | those ignored when this process was started (`nohup`, `&` of a script) | stay ignored, here and in the program |
//! | everything else, real-time signals included | passed on |

use std::task::{Context, Poll};

use rustix::fs::{Mode, OFlags, open};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Hang-up.
pub const HUP: i32 = 1;
/// Ctrl-C.
pub const INT: i32 = 2;
/// Ctrl-\.
pub const QUIT: i32 = 3;
/// The polite end.
pub const TERM: i32 = 15;
/// A child has ended or stopped.
pub const CHLD: i32 = 17;

/// Linux's numbers on x86-64 and aarch64 (signal(7)).
const NAMES: [(&str, i32); 31] = [
    ("HUP", HUP),
    ("INT", INT),
    ("QUIT", QUIT),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", TERM),
    ("STKFLT", 16),
    ("CHLD", CHLD),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];
/// KILL, STOP; faults; PIPE; CHLD, URG.
const KEPT: [i32; 11] = [9, 19, 4, 5, 7, 8, 11, 31, 13, CHLD, 23];
/// What a terminal sends to all processes in its foreground.
const OF_TERMINAL: [i32; 6] = [INT, QUIT, 20, 21, 22, 28];
/// Of these, the ones that stop a process: with a shared terminal they stop this one too, as `fg` expects.
const SUSPENDING: [i32; 4] = [20, 21, 22, 28];
/// The first and the last that the C library leaves to programs.
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// Whether a signal of this number is passed on to the program.
#[must_use]
pub fn is_forwarded(number: i32) -> bool {
    let known = NAMES.iter().any(|(_, known)| *known == number) || REAL_TIME.contains(&number);
    known && !KEPT.contains(&number)
}

/// Whether the terminal itself gives this signal to the program, so that nobody else must.
#[must_use]
pub fn is_of_terminal(number: i32) -> bool {
    OF_TERMINAL.contains(&number)
}

/// The number of a name such as `TERM`, `SIGTERM`, `RTMIN+1`, or of its digits.
#[must_use]
pub fn number(text: &str) -> Option<i32> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Some(*number);
    }
    let offset = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<i32>().ok() };
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) => REAL_TIME.start().checked_add(offset(rest)?)?,
        (_, Some(rest)) => REAL_TIME.end().checked_add(offset(rest)?)?,
        _ => name.parse().ok()?,
    };
    (1..=*REAL_TIME.end()).contains(&number).then_some(number)
}

/// The name of a number, as `kill -l` has it.
#[must_use]
pub fn name(number: i32) -> String {
    match NAMES.iter().find(|(_, known)| *known == number) {
        Some((name, _)) => (*name).to_owned(),
        None => format!("RTMIN+{}", number.saturating_sub(*REAL_TIME.start())),
    }
}

/// Whether this process has a controlling terminal, which its children share.
#[must_use]
pub fn has_terminal() -> bool {
    open("/dev/tty", OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).is_ok()
}

/// The signals that have arrived. From its making on, none that it listens to has its default effect, and none is lost;
/// several of one kind that come before they are looked at count as one, as in the kernel.
#[derive(Debug)]
pub struct Inbox {
    listening: Vec<(i32, Signal)>,
}

impl Inbox {
    /// Listens to everything that is passed on, and to CHLD. With a `shared_terminal`, what suspends keeps its default
    /// effect. Must be made within a runtime.
    pub fn forwarding(shared_terminal: bool) -> std::io::Result<Self> {
        let skipped = ignored();
        let wanted = |number: &i32| {
            *number == CHLD
                || (is_forwarded(*number)
                    && !is_ignored(skipped, *number)
                    && !(shared_terminal && SUSPENDING.contains(number)))
        };
        Self::of((1..=*REAL_TIME.end()).filter(wanted))
    }

    /// Listens to INT, QUIT, TERM and CHLD: for a service that does not hand its signals on.
    pub fn stopping() -> std::io::Result<Self> {
        let skipped = ignored();
        let wanted = |number: &i32| *number == CHLD || !is_ignored(skipped, *number);
        Self::of([INT, QUIT, TERM, CHLD].into_iter().filter(wanted))
    }

    fn of(numbers: impl Iterator<Item = i32>) -> std::io::Result<Self> {
        let listen = |number| signal(SignalKind::from_raw(number)).map(|stream| (number, stream));
        Ok(Self { listening: numbers.map(listen).collect::<Result<_, _>>()? })
    }

    /// The next signal.
    pub async fn next(&mut self) -> i32 {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// The next signal by which a process is usually ended; others stay for later.
    pub async fn next_ending(&mut self) -> i32 {
        std::future::poll_fn(|context| {
            let ending = self.listening.iter_mut().filter(|(number, _)| ends(*number));
            first(ending, context)
        })
        .await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<i32> {
        first(self.listening.iter_mut(), context)
    }
}

fn first<'a>(
    mut listening: impl Iterator<Item = &'a mut (i32, Signal)>,
    context: &mut Context<'_>,
) -> Poll<i32> {
    let arrived =
        |(number, stream): &mut (i32, Signal)| stream.poll_recv(context).is_ready().then_some(*number);
    listening.find_map(arrived).map_or(Poll::Pending, Poll::Ready)
}

/// HUP, INT, QUIT, TERM: what ends a process that does not say otherwise, and is sent to have that effect.
#[must_use]
pub fn ends(number: i32) -> bool {
    matches!(number, HUP | INT | QUIT | TERM)
}

/// The signals that this process ignores, as the bits of `SigIgn` (proc(5)); none if that cannot be read.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

fn is_ignored(mask: u64, number: i32) -> bool {
    let bit = u32::try_from(number).ok().and_then(|number| number.checked_sub(1));
    bit.and_then(|bit| mask.checked_shr(bit)).is_some_and(|shifted| shifted & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, number) in NAMES {
            assert_eq!(super::number(text), Some(number));
            assert_eq!(super::number(&format!("sig{}", text.to_lowercase())), Some(number));
            assert_eq!(name(number), text);
        }
        assert_eq!((number("RTMIN"), number("RTMIN+2"), number("RTMAX-1")), (Some(34), Some(36), Some(63)));
        assert_eq!(name(36), "RTMIN+2");
        for bad in ["", "SIG", "TERMS", "0", "65", "-1", "RTMIN+99", "99999999999"] {
            assert_eq!(number(bad), None, "{bad}");
        }
    }

    #[test]
    fn all_but_eleven_are_passed_on() {
        let passed: Vec<i32> = (-1..=70).filter(|number| is_forwarded(*number)).collect();
        assert_eq!(passed.len(), 31 - KEPT.len() + 31);
        for number in ["HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "WINCH", "CONT", "TSTP", "ABRT"] {
            assert!(passed.contains(&super::number(number).unwrap()), "{number}");
        }
        assert!(OF_TERMINAL.iter().all(|number| passed.contains(number)));
    }

    #[test]
    fn bits_of_the_mask() {
        assert!(is_ignored(1 << 14, TERM) && !is_ignored(1 << 14, HUP));
        assert!(is_ignored(1 << 63, 64) && !is_ignored(u64::MAX, 0) && !is_ignored(u64::MAX, 65));
        assert_eq!(ignored() & (1 << 8), 0, "KILL cannot be ignored");
    }
}
