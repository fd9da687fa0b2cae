//! Counting what test runners report.

use std::fmt;
use std::ops::AddAssign;

/// Tests that passed, failed and were skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    /// One test that could not run.
    pub(crate) const SKIPPED: Self = Self { passed: 0, failed: 0, skipped: 1 };
    /// One thing that went wrong outside any test, such as a build.
    pub(crate) const FAILED: Self = Self { passed: 0, failed: 1, skipped: 0 };

    /// Sums the `test result:` lines of cargo's test harness. A process that failed without saying which test failed
    /// counts as one failure.
    pub(crate) fn of_cargo(output: &str, succeeded: bool) -> Self {
        let mut sum = Self::default();
        for line in output.lines().filter_map(|line| line.trim().strip_prefix("test result: ")) {
            sum += Self {
                passed: before(line, " passed"),
                failed: before(line, " failed"),
                skipped: before(line, " ignored"),
            };
        }
        sum.with_verdict(succeeded)
    }

    /// Reads pytest's last line, `1 failed, 12 passed, 3 skipped in 0.12s`.
    pub(crate) fn of_pytest(output: &str, succeeded: bool) -> Self {
        let last =
            output.lines().rev().find(|line| line.contains(" in ") && line.contains('s')).unwrap_or("");
        Self {
            passed: before(last, " passed"),
            failed: before(last, " failed") + before(last, " error"),
            skipped: before(last, " skipped"),
        }
        .with_verdict(succeeded)
    }

    /// Reads a closing line of our own form, `12 passed, 0 failed, 1 skipped`, the last one that was printed.
    pub(crate) fn of_closing_line(output: &str, succeeded: bool) -> Self {
        let last = output.lines().rev().find(|line| line.contains(" passed, ")).unwrap_or("");
        let nothing = last.is_empty();
        let read = Self {
            passed: before(last, " passed"),
            failed: before(last, " failed"),
            skipped: before(last, " skipped"),
        };
        read.with_verdict(succeeded && !nothing)
    }

    fn with_verdict(mut self, succeeded: bool) -> Self {
        if !succeeded && self.failed == 0 {
            self.failed = 1;
        }
        self
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// The number that stands right before `word`; 0 if there is none.
fn before(line: &str, word: &str) -> u64 {
    line.split_once(word)
        .map(|(head, _)| head.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default())
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_every_result_line_of_cargo() {
        let output = "running 2 tests\ntest a ... ok\ntest result: ok. 2 passed; 0 failed; 1 ignored; 0 measured\n\n\
                      test result: FAILED. 10 passed; 3 failed; 0 ignored; 0 measured\n";
        assert_eq!(Tally::of_cargo(output, false), Tally { passed: 12, failed: 3, skipped: 1 });
    }

    #[test]
    fn a_failure_without_a_failed_test_still_counts() {
        assert_eq!(Tally::of_cargo("", false), Tally::FAILED);
        assert_eq!(Tally::of_cargo("", true), Tally::default());
    }

    #[test]
    fn reads_pytest_in_each_order_of_words() {
        let some = "....F.s\n=== 1 failed, 12 passed, 3 skipped in 4.20s ===\n";
        assert_eq!(Tally::of_pytest(some, false), Tally { passed: 12, failed: 1, skipped: 3 });
        assert_eq!(Tally::of_pytest("7 passed in 0.10s\n", true), Tally { passed: 7, failed: 0, skipped: 0 });
        assert_eq!(
            Tally::of_pytest("2 errors in 0.10s\n", false),
            Tally { passed: 0, failed: 2, skipped: 0 }
        );
    }

    #[test]
    fn reads_its_own_closing_line_and_misses_none() {
        let some = "FAILED x\n7 passed, 1 failed, 0 skipped\n";
        assert_eq!(Tally::of_closing_line(some, false), Tally { passed: 7, failed: 1, skipped: 0 });
        assert_eq!(Tally::of_closing_line("", true), Tally::FAILED);
    }

    #[test]
    fn prints_the_closing_line() {
        let tally = Tally { passed: 3, failed: 0, skipped: 1 };
        assert_eq!(tally.to_string(), "3 passed, 0 failed, 1 skipped");
    }
}
