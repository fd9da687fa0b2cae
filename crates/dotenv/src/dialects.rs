use std::fmt;

/// How a reader treats a file: one switch for each thing on which releases of python-dotenv, or ways to call it,
/// differ. Measured against the releases 0.21.1 to 1.2.4.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dialect {
    /// How the end of a quoted value is found.
    pub quotes: Quotes,
    /// `KEY= # text` has the value `""` (from 1.2.4 on); otherwise it has the value `# text`.
    pub comment_after_blank: bool,
    /// One U+FEFF at the start of the file is dropped (from 1.2.3 on); otherwise it belongs to the first key.
    pub drop_bom: bool,
    /// Whether line ends inside quotes become LF.
    pub newlines: Newlines,
}

impl Dialect {
    /// The switches as a generation of releases sets them, for a file that is read from a path.
    #[must_use]
    pub const fn of(generation: Generation) -> Self {
        let since_1_2_3 = !matches!(generation, Generation::Before1_2_3);
        Self {
            quotes: if since_1_2_3 { Quotes::Pairwise } else { Quotes::Backtracking },
            comment_after_blank: matches!(generation, Generation::Since1_2_4),
            drop_bom: since_1_2_3,
            newlines: Newlines::Translated,
        }
    }

    /// The same dialect for text that comes from a stream, where line ends stay as they are.
    #[must_use]
    pub const fn from_stream(self) -> Self {
        Self { newlines: Newlines::Kept, ..self }
    }
}

impl Default for Dialect {
    fn default() -> Self {
        Self::of(Generation::Since1_2_4)
    }
}

/// How the end of a quoted value is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Quotes {
    /// A backslash always takes the next character with it (from 1.2.3 on).
    Pairwise,
    /// Only `\` directly before the quote protects it, and if no unprotected quote follows in the whole file, the last
    /// protected one ends the value (before 1.2.3).
    Backtracking,
}

/// What becomes of CR and CRLF.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Newlines {
    /// They become LF everywhere, also inside quotes: what Python does when it opens a path.
    Translated,
    /// They stay: what happens with a stream.
    Kept,
}

/// Releases of python-dotenv that read every file alike.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Generation {
    /// Up to 1.2.2.
    Before1_2_3,
    /// 1.2.3 alone.
    Is1_2_3,
    /// 1.2.4 and later.
    Since1_2_4,
}

impl Generation {
    /// All of them, oldest first.
    pub const ALL: [Self; 3] = [Self::Before1_2_3, Self::Is1_2_3, Self::Since1_2_4];

    /// The generation of a release such as `1.2.4` (what `dotenv.version.__version__` says); `None` if the text does
    /// not begin with a number. Parts that are missing count as 0, and so does what follows a number (`1.2.4rc1`).
    #[must_use]
    pub fn of_release(version: &str) -> Option<Self> {
        let mut parts = version.trim().split('.').map(leading_number);
        let major = parts.next().flatten()?;
        let release = (major, parts.next().flatten().unwrap_or(0), parts.next().flatten().unwrap_or(0));
        Some(match release {
            r if r < (1, 2, 3) => Self::Before1_2_3,
            (1, 2, 3) => Self::Is1_2_3,
            _ => Self::Since1_2_4,
        })
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Before1_2_3 => "python-dotenv <1.2.3",
            Self::Is1_2_3 => "python-dotenv 1.2.3",
            Self::Since1_2_4 => "python-dotenv >=1.2.4",
        })
    }
}

fn leading_number(part: &str) -> Option<u32> {
    let digits = part.bytes().take_while(u8::is_ascii_digit).count();
    part.get(..digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_fall_into_generations() {
        for (release, generation) in [
            ("0.21.1", Generation::Before1_2_3),
            ("1.2.2", Generation::Before1_2_3),
            ("1.2", Generation::Before1_2_3),
            ("1.2.3", Generation::Is1_2_3),
            ("1.2.4", Generation::Since1_2_4),
            ("1.2.4rc1", Generation::Since1_2_4),
            ("1.10.0", Generation::Since1_2_4),
            ("2", Generation::Since1_2_4),
        ] {
            assert_eq!(Generation::of_release(release), Some(generation), "{release}");
        }
        assert_eq!(Generation::of_release("unknown"), None);
    }
}
