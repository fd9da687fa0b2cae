//! The processes that belong to one program.

use std::collections::BTreeMap;

use rustix::process::{
    Pid, Signal, getpgrp, getpid, kill_process, kill_process_group, test_kill_process_group,
};
use rustix_libc_wrappers::process::SignalExt as _;

/// Where a program's processes are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// In a process group of their own, which is called as its first process.
    Own(Pid),
    /// In our own group, because they share its terminal: those below us in the tree of processes.
    Shared,
}

impl Group {
    /// Sends a signal to all of it. A group that is gone is no error.
    pub(super) fn signal(self, number: i32) {
        let Some(signal) = Signal::from_raw(number) else { return };
        match self {
            Self::Own(leader) => {
                let _ = kill_process_group(leader, signal);
            }
            Self::Shared => {
                for pid in below_us() {
                    let _ = kill_process(pid, signal);
                }
            }
        }
    }

    /// Whether any of it lives.
    #[must_use]
    pub(super) fn lives(self) -> bool {
        match self {
            // A process that may not be signalled (EPERM) lives all the same; one that nobody has reaped does not.
            Self::Own(leader) => {
                let all = processes();
                let lives = |stat: &Stat| stat.group == leader.as_raw_pid() && !stat.ended;
                test_kill_process_group(leader) != Err(rustix::io::Errno::SRCH)
                    && (all.is_empty() || all.values().any(lives))
            }
            Self::Shared => !below_us().is_empty(),
        }
    }
}

/// Sends a signal to one process.
pub(super) fn signal(pid: Pid, number: i32) {
    if let Some(signal) = Signal::from_raw(number) {
        let _ = kill_process(pid, signal);
    }
}

/// Processes of our group that descend from us and have not ended.
fn below_us() -> Vec<Pid> {
    below(&processes(), getpid().as_raw_pid(), getpgrp().as_raw_pid())
        .into_iter()
        .filter_map(Pid::from_raw)
        .collect()
}

/// All processes; none where proc(5) cannot be read.
fn processes() -> BTreeMap<i32, Stat> {
    let stats = std::fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        Some((pid, Stat::parse(&stat)?))
    });
    stats.collect()
}

/// What proc(5) says about a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    parent: i32,
    group: i32,
    ended: bool,
}

impl Stat {
    /// Reads `pid (name) state ppid pgrp …`; the name may hold anything, also `)`.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.rsplit_once(')')?.1.split_whitespace();
        let ended = matches!(words.next()?, "Z" | "X");
        Some(Self { parent: words.next()?.parse().ok()?, group: words.next()?.parse().ok()?, ended })
    }
}

fn below(all: &BTreeMap<i32, Stat>, top: i32, group: i32) -> Vec<i32> {
    let descends = |mut pid: i32| {
        // Bounded, because processes come and go while the table is read.
        for _ in 0..all.len() {
            match all.get(&pid) {
                Some(stat) if stat.parent == top => return true,
                Some(stat) => pid = stat.parent,
                None => return false,
            }
        }
        false
    };
    let ours = all.iter().filter(|(pid, stat)| stat.group == group && !stat.ended && **pid != top);
    ours.map(|(pid, _)| *pid).filter(|pid| descends(*pid)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_programs_do_not_mislead() {
        let stat = Stat::parse("12 (a) Z 1 (b)) S 7 9 0").unwrap();
        assert_eq!(stat, Stat { parent: 7, group: 9, ended: false });
        assert_eq!(Stat::parse("12 (a"), None);
    }

    #[test]
    fn only_descendants_in_the_group() {
        let stat = |parent, group, ended| Stat { parent, group, ended };
        let all = BTreeMap::from([
            (1, stat(0, 1, false)),
            (10, stat(1, 10, false)),
            (11, stat(10, 10, false)),
            (12, stat(11, 10, false)),
            (13, stat(11, 13, false)),
            (14, stat(13, 10, false)),
            (15, stat(10, 10, true)),
            (16, stat(1, 10, false)),
            (20, stat(21, 10, false)),
            (21, stat(20, 10, false)),
        ]);
        assert_eq!(below(&all, 10, 10), [11, 12, 14]);
    }
}
