//! Rust source with comments and literals blanked, so that braces and words can be counted.
//!
//! A small scanner, not a parser: it knows comments (nested), strings, raw strings, byte strings, characters and
//! lifetimes. Line ends stay where they are.

/// The same text with the contents of comments and literals replaced by spaces.
pub(crate) fn mask(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let skipped = skip(&chars, at);
        if skipped == 0 {
            out.extend(chars.get(at));
            at += 1;
            continue;
        }
        let end = (at + skipped).min(chars.len());
        out.extend(
            chars.get(at..end).unwrap_or_default().iter().map(|c| if *c == '\n' { '\n' } else { ' ' }),
        );
        at = end;
    }
    out
}

/// Identifiers and keywords of a masked text.
pub(crate) fn words(masked: &str) -> impl Iterator<Item = &str> {
    masked.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

/// How many characters from `at` on are a comment or a literal; 0 if it is code.
fn skip(chars: &[char], at: usize) -> usize {
    let c = chars.get(at).copied().unwrap_or('\0');
    let next = chars.get(at + 1).copied().unwrap_or('\0');
    let inside_word =
        at > 0 && chars.get(at - 1).is_some_and(|before| before.is_alphanumeric() || *before == '_');
    match (c, next) {
        ('/', '/') => until(chars, at, |rest| rest.first() == Some(&'\n')),
        ('/', '*') => block_comment(chars, at),
        ('"', _) => string(chars, at),
        ('\'', _) => character(chars, at),
        ('r', '"' | '#') if !inside_word => raw_string(chars, at, 1),
        ('b', 'r') if !inside_word => raw_string(chars, at, 2),
        _ => 0,
    }
}

fn until(chars: &[char], at: usize, stop: impl Fn(&[char]) -> bool) -> usize {
    let mut end = at;
    while end < chars.len() && !stop(chars.get(end..).unwrap_or_default()) {
        end += 1;
    }
    end - at
}

fn block_comment(chars: &[char], at: usize) -> usize {
    let mut depth = 0;
    let mut end = at;
    while end < chars.len() {
        match (chars.get(end), chars.get(end + 1)) {
            (Some('/'), Some('*')) => {
                depth += 1;
                end += 2;
            }
            (Some('*'), Some('/')) => {
                depth -= 1;
                end += 2;
                if depth == 0 {
                    break;
                }
            }
            _ => end += 1,
        }
    }
    end - at
}

fn string(chars: &[char], at: usize) -> usize {
    let mut end = at + 1;
    while let Some(c) = chars.get(end) {
        end += match c {
            '\\' => 2,
            '"' => return end + 1 - at,
            _ => 1,
        };
    }
    end - at
}

/// `'a'`, `'\n'`, `'\u{1F600}'`; a lifetime is code.
fn character(chars: &[char], at: usize) -> usize {
    if chars.get(at + 1) == Some(&'\\') {
        return until(chars, at + 3, |rest| rest.first() == Some(&'\'')) + 4;
    }
    if chars.get(at + 2) == Some(&'\'') { 3 } else { 0 }
}

/// `prefix` is the length of `r` or `br`. Gives 0 for a raw identifier such as `r#type`.
fn raw_string(chars: &[char], at: usize, prefix: usize) -> usize {
    let hashes = until(chars, at + prefix, |rest| rest.first() != Some(&'#'));
    let open = at + prefix + hashes;
    if chars.get(open) != Some(&'"') {
        return 0;
    }
    let closes = |rest: &[char]| {
        rest.first() == Some(&'"') && rest.get(1..=hashes).is_some_and(|tail| tail.iter().all(|c| *c == '#'))
    };
    until(chars, open + 1, closes) + prefix + hashes + 2 + hashes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code_of(text: &str) -> Vec<String> {
        words(&mask(text)).map(str::to_owned).collect()
    }

    #[test]
    fn comments_and_literals_vanish_and_code_stays() {
        assert_eq!(code_of("a // b\nc /* d /* e */ f */ g"), ["a", "c", "g"]);
        assert_eq!(code_of(r##"a("b \" c", r"d", r#"e " f"#, b"g", br#"h"#) i"##), ["a", "b", "i"]);
        assert_eq!(code_of(r"x('a', '\'', '\u{41}', '{') y"), ["x", "y"]);
        assert_eq!(code_of("fn f<'a>(x: &'a str) {}"), ["fn", "f", "a", "x", "a", "str"]);
        assert_eq!(code_of("r#type"), ["r", "type"]);
    }

    proptest! {
        #[test]
        fn lines_stay_where_they_are(text in "[a-z\"'/*\\\\#r\n{} ]{0,60}") {
            prop_assert_eq!(mask(&text).matches('\n').count(), text.matches('\n').count());
            prop_assert_eq!(mask(&text).chars().count(), text.chars().count());
        }
    }
}
