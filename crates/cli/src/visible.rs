//! Text of others on a terminal: what would steer the terminal is shown instead of done.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Control characters (but line ends and tabs) and those that reorder text as `\u{…}`; the rest as it is. A name or a
/// message that somebody put on the server can then neither recolour the screen, nor type into it, nor hide what
/// stands beside it.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    let mut made = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if steers(letter) {
            // Writing to a String cannot fail.
            let _ = write!(made, "\\u{{{:x}}}", u32::from(letter));
        } else {
            made.push(letter);
        }
    }
    Cow::Owned(made)
}

/// C0 without `\n` and `\t`, DEL and C1 (ECMA-48), and Unicode's bidirectional controls (UAX #9).
fn steers(letter: char) -> bool {
    (letter.is_control() && !matches!(letter, '\n' | '\t'))
        || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_steers_is_shown() {
        assert_eq!(visible("a\x1b[31mb\u{9b}c\x7f\r\u{202e}"), "a\\u{1b}[31mb\\u{9b}c\\u{7f}\\u{d}\\u{202e}");
        assert_eq!(visible("línea\n\t\"q\" 日本"), "línea\n\t\"q\" 日本");
    }

    proptest! {
        #[test]
        fn nothing_steers_afterwards(text in "\\PC*|(?s).*") {
            prop_assert!(!visible(&text).chars().any(steers));
        }
    }
}
