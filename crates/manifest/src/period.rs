use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A length of time as people write it: `90d`, `24h`, `1h30m`. Units: `ms`, `s`, `m`, `h`, `d` (24 hours), `w`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period {
    text: String,
    length: Duration,
}

/// The text is not a length of time.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is not a length of time; write for example \"90d\", \"24h\" or \"1h30m\"")]
pub struct BadPeriod(String);

impl Period {
    /// How long it is; never zero.
    #[must_use]
    pub const fn length(&self) -> Duration {
        self.length
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl FromStr for Period {
    type Err = BadPeriod;

    fn from_str(text: &str) -> Result<Self, BadPeriod> {
        let length =
            length(text).filter(|length| !length.is_zero()).ok_or_else(|| BadPeriod(text.to_owned()))?;
        Ok(Self { text: text.to_owned(), length })
    }
}

impl TryFrom<String> for Period {
    type Error = BadPeriod;

    fn try_from(text: String) -> Result<Self, BadPeriod> {
        text.parse()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.text
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn length(text: &str) -> Option<Duration> {
    let mut total = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at_checked(digits)?;
        let (unit, tail) = tail.split_at_checked(if tail.starts_with("ms") { 2 } else { 1 })?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return None,
        };
        total = number.parse::<u64>().ok()?.checked_mul(millis)?.checked_add(total)?;
        rest = tail;
    }
    Some(Duration::from_millis(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        let seconds = |text: &str| text.parse::<Period>().ok().map(|period| period.length().as_secs());
        assert_eq!(seconds("90d"), Some(7_776_000));
        assert_eq!(seconds("1h30m"), Some(5_400));
        assert_eq!(seconds("2w"), Some(1_209_600));
        let millis = |text: &str| text.parse::<Period>().ok().map(|period| period.length().as_millis());
        assert_eq!(
            (millis("250ms"), millis("1s500ms"), millis("1m5s")),
            (Some(250), Some(1_500), Some(65_000))
        );
        for bad in [
            "",
            "0d",
            "d",
            "90",
            "90 d",
            "-1d",
            "1.5h",
            "99999999999999999999s",
            "9999999999999999w",
            "1é",
            "0ms",
            "1ms1",
            "ms",
        ] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
