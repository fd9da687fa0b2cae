//! The password that is drawn where no policy is configured.

use coffre_ambient::{Entropy, EntropyFailed, ids};
use coffre_secret::SecretText;

/// The length in characters.
pub const LENGTH: usize = 20;

/// How each one begins: an upper-case letter, a digit, a lower-case letter and a sign, for databases that want one of
/// each kind. Vault does the same.
const KINDS: &str = "A1a-";

/// `A1a-` and 16 random characters of `[0-9A-Za-z]`: 95 bits.
pub fn generate(entropy: &dyn Entropy) -> Result<SecretText, EntropyFailed> {
    let drawn = SecretText::new(ids::base62(entropy, LENGTH.saturating_sub(KINDS.len()))?);
    let mut password = SecretText::new(String::with_capacity(LENGTH));
    let text = password.expose_mut();
    text.push_str(KINDS);
    // EXPOSE: it becomes the end of the password, which is wiped itself.
    text.push_str(drawn.expose());
    Ok(password)
}

#[cfg(test)]
mod tests {
    use coffre_ambient::SeededEntropy;

    use super::*;

    #[test]
    fn twenty_characters_of_each_kind_and_never_the_same() {
        let entropy = SeededEntropy::new(1);
        let (a, b) = (generate(&entropy).unwrap(), generate(&entropy).unwrap());
        assert!(!a.ct_eq(b.expose().as_bytes()));
        for text in [a.expose(), b.expose()] {
            assert_eq!(text.len(), LENGTH);
            for kind in [
                char::is_ascii_uppercase as fn(&char) -> bool,
                char::is_ascii_lowercase,
                char::is_ascii_digit,
            ] {
                assert!(text.chars().any(|c| kind(&c)));
            }
            assert!(text.contains('-'));
        }
    }
}
