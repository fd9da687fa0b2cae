use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use coffre_ambient::Entropy;
use coffre_crypto::key_pair::KeyPair;
use coffre_crypto::signature::Scheme;
use coffre_secret::{SecretText, SecretVec};

use super::key::{is_pair, pair};
use super::{pem, scheme_of};

/// The shortest text that is looked at as an encoding of bytes: 16 of them as base64.
const MIN_ENCODED: usize = 22;
/// How often a piece is drawn again before the source of randomness is called broken.
const MAX_DRAWS: usize = 512;
const DIGITS: &str = "0123456789";
const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// What keys are for, which decides how weak one may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// Signing: a new key has at least 32 bytes of randomness, 48 for HS384, 64 for HS512 (RFC 7518, 3.2), however short
    /// the old one was.
    Signing,
    /// Encryption: a new key has exactly as many bytes as the old one.
    Encryption,
}

/// What a key's text looks like, so that the next one looks the same and the application goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// Bytes in an encoding.
    Bytes {
        /// How they are written.
        encoding: Encoding,
        /// How many they are.
        bytes: usize,
    },
    /// Text of certain characters.
    Text {
        /// Letters and digits that occur, and the printable others as bits from `!` on.
        alphabet: Alphabet,
        /// How many characters.
        chars: usize,
    },
    /// A private key in PEM.
    Pair(Scheme),
}

/// How bytes are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoding {
    /// Hexadecimal digits.
    Hex {
        /// In upper case.
        upper: bool,
    },
    /// Base 64 (RFC 4648).
    Base64 {
        /// The two last digits of the alphabet.
        digits: LastDigits,
        /// With `=` at the end.
        padded: bool,
    },
}

/// Which alphabet of RFC 4648 a text is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LastDigits {
    /// `+` and `/`.
    Standard,
    /// `-` and `_`.
    UrlSafe,
    /// None of the four occurs: the reader may know either alphabet, so the next key has none of them as well.
    Neither,
}

/// The characters of a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Alphabet {
    digits: bool,
    lower: bool,
    upper: bool,
    others: u128,
}

/// Why there is no next key of this style.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum StyleError {
    /// An encryption key must be bytes in an encoding.
    #[error(
        "the encryption key is not 16 bytes or more as base64 or hexadecimal digits; a passphrase cannot be rotated"
    )]
    NotBytes,
    /// A PEM text that is no usable private key, or not for the algorithm.
    #[error(
        "the key is not a private key in PEM, without a password, for the algorithm that the manifest names"
    )]
    NotPair,
    /// Randomness failed.
    #[error("the system gave no randomness; no key can be made")]
    Entropy,
}

impl Style {
    /// The style where there was no key: 32 bytes as base 64 (48 and 64 for HS384 and HS512), or a key pair.
    #[must_use]
    pub fn first(purpose: Purpose, algorithm: Option<&str>) -> Self {
        match algorithm.and_then(Scheme::parse) {
            Some(scheme) if purpose == Purpose::Signing => Self::Pair(scheme),
            _ => {
                let padded = purpose == Purpose::Encryption;
                let encoding = Encoding::Base64 { digits: LastDigits::UrlSafe, padded };
                Self::Bytes { encoding, bytes: strength(algorithm) }
            }
        }
    }

    /// The style of the key in use. `algorithm` is what the ring or the manifest pins it to, if anything.
    pub fn of(material: &str, purpose: Purpose, algorithm: Option<&str>) -> Result<Self, StyleError> {
        let text = material.trim();
        if text.starts_with("-----BEGIN ") || is_pair(algorithm) {
            return of_pair(text, algorithm);
        }
        match (of_bytes(text), purpose) {
            (Some((encoding, bytes)), Purpose::Signing) => {
                Ok(Self::Bytes { encoding, bytes: bytes.max(strength(algorithm)) })
            }
            (Some((encoding, bytes)), Purpose::Encryption) => Ok(Self::Bytes { encoding, bytes }),
            (None, Purpose::Encryption) => Err(StyleError::NotBytes),
            (None, Purpose::Signing) => {
                let alphabet = Alphabet::of(text);
                // Rounded down, so rather one character more than needed.
                let bits = usize::try_from(alphabet.chars().len().max(2).ilog2()).unwrap_or(1);
                let needed = (strength(algorithm) * 8).div_ceil(bits);
                Ok(Self::Text { alphabet, chars: text.chars().count().max(needed) })
            }
        }
    }

    /// The next key. `before` is the one in use, or empty: a key pair is made no smaller than it.
    pub fn draw(&self, before: &str, entropy: &dyn Entropy) -> Result<SecretText, StyleError> {
        match *self {
            Self::Bytes { encoding: Encoding::Hex { upper }, bytes } => draw_hex(upper, bytes, entropy),
            Self::Bytes { encoding: Encoding::Base64 { digits, padded }, bytes } => {
                draw_base64(digits, padded, bytes, entropy)
            }
            Self::Text { alphabet, chars } => alphabet.draw(chars, entropy),
            Self::Pair(scheme) => {
                let made = match before {
                    "" => KeyPair::generate(scheme, entropy),
                    before => pair(before, scheme).ok_or(StyleError::NotPair)?.another(entropy),
                };
                let made = made.and_then(|made| made.pkcs8());
                made.map(|der| pem::of_private(&der)).map_err(|_| StyleError::Entropy)
            }
        }
    }

    /// The algorithm that a new key of this style is pinned to: key pairs always, others only if they were.
    #[must_use]
    pub fn algorithm(&self, pinned: Option<&str>) -> Option<String> {
        match self {
            Self::Pair(scheme) => Some(scheme.name().to_owned()),
            _ => pinned.map(str::to_owned),
        }
    }
}

fn of_pair(text: &str, algorithm: Option<&str>) -> Result<Style, StyleError> {
    let scheme = match algorithm {
        Some(name) => Scheme::parse(name).filter(|scheme| pair(text, *scheme).is_some()),
        None => scheme_of(text),
    };
    scheme.map(Style::Pair).ok_or(StyleError::NotPair)
}

fn of_bytes(text: &str) -> Option<(Encoding, usize)> {
    let all = |of: fn(&u8) -> bool| text.bytes().all(|byte| of(&byte));
    let any = |of: fn(&u8) -> bool| text.bytes().any(|byte| of(&byte));
    if text.len() < MIN_ENCODED {
        return None;
    }
    if text.len() >= 32
        && text.len().is_multiple_of(2)
        && all(u8::is_ascii_hexdigit)
        && any(u8::is_ascii_alphabetic)
    {
        let (upper, lower) = (any(u8::is_ascii_uppercase), any(u8::is_ascii_lowercase));
        if upper != lower {
            return Some((Encoding::Hex { upper }, text.len() / 2));
        }
    }
    let digits = match (text.contains(['+', '/']), text.contains(['-', '_'])) {
        (true, true) => return None,
        (true, false) => LastDigits::Standard,
        (false, true) => LastDigits::UrlSafe,
        (false, false) => LastDigits::Neither,
    };
    let padded = text.ends_with('=') || text.len().is_multiple_of(4);
    // EXPOSE: only the length is taken.
    let bytes = SecretVec::new(engine(digits, padded).decode(text).ok()?).len();
    (bytes >= 16).then_some((Encoding::Base64 { digits, padded }, bytes))
}

/// The randomness that a signing key must have, in bytes.
fn strength(algorithm: Option<&str>) -> usize {
    match algorithm {
        Some("HS384") => 48,
        Some("HS512") => 64,
        _ => 32,
    }
}

fn engine(digits: LastDigits, padded: bool) -> GeneralPurpose {
    let alphabet = if digits == LastDigits::UrlSafe { &URL_SAFE } else { &STANDARD };
    let config = GeneralPurposeConfig::new()
        .with_encode_padding(padded)
        // As other languages read it: bits of the last digit that belong to no byte may be anything.
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(alphabet, config)
}

fn draw_hex(upper: bool, bytes: usize, entropy: &dyn Entropy) -> Result<SecretText, StyleError> {
    let mut drawn = SecretVec::new(vec![0; bytes]);
    entropy.fill(drawn.expose_mut()).map_err(|_| StyleError::Entropy)?;
    // EXPOSE: the digits are the key.
    let digits = drawn.expose();
    Ok(SecretText::new(if upper { hex::encode_upper(digits) } else { hex::encode(digits) }))
}

/// Draws group by group, each again until it has none of the digits that it must not have.
fn draw_base64(
    digits: LastDigits,
    padded: bool,
    bytes: usize,
    entropy: &dyn Entropy,
) -> Result<SecretText, StyleError> {
    let engine = engine(digits, padded);
    let mut text = SecretText::new(String::with_capacity(bytes.div_ceil(3) * 4));
    let mut left = bytes;
    while left > 0 {
        let mut group = SecretVec::new(vec![0; left.min(3)]);
        let mut fits = || {
            entropy.fill(group.expose_mut()).map_err(|_| StyleError::Entropy)?;
            // EXPOSE: the digits are a part of the key.
            let encoded = SecretText::new(engine.encode(group.expose()));
            let fits = digits != LastDigits::Neither || !encoded.expose().contains(['+', '/']);
            Ok(fits.then_some(encoded))
        };
        let drawn = (0..MAX_DRAWS).find_map(|_| fits().transpose()).ok_or(StyleError::Entropy)??;
        // EXPOSE: collected into the key.
        text.expose_mut().push_str(drawn.expose());
        left = left.saturating_sub(3);
    }
    Ok(text)
}

impl Alphabet {
    /// The classes of letters and digits of which one occurs, and the very other characters that occur. Never fewer than
    /// letters and digits together would be if nothing else is there.
    fn of(text: &str) -> Self {
        let any = |of: fn(&char) -> bool| text.chars().any(|each| of(&each));
        let others = text.bytes().filter(|byte| byte.is_ascii_punctuation());
        let mut found = Self {
            digits: any(char::is_ascii_digit),
            lower: any(char::is_ascii_lowercase),
            upper: any(char::is_ascii_uppercase),
            others: others.fold(0, |bits, byte| bits | 1 << byte),
        };
        if !found.lower && !found.upper {
            (found.digits, found.lower, found.upper) = (true, true, true);
        }
        found
    }

    fn chars(&self) -> Vec<char> {
        let classes = [(self.digits, DIGITS), (self.lower, LOWER), (self.upper, UPPER)];
        let letters = classes.into_iter().filter(|(has, _)| *has).flat_map(|(_, class)| class.chars());
        let others = (0_u8..128).filter(|byte| self.others >> byte & 1 == 1).map(char::from);
        letters.chain(others).collect()
    }

    /// Evenly: a byte beyond the last multiple of the alphabet's length is drawn again.
    fn draw(&self, chars: usize, entropy: &dyn Entropy) -> Result<SecretText, StyleError> {
        let alphabet = self.chars();
        let even = 256 - 256 % alphabet.len().max(1);
        let mut text = SecretText::new(String::with_capacity(chars));
        for _ in 0..chars {
            let one = || {
                let mut byte = [0; 1];
                entropy.fill(&mut byte).map_err(|_| StyleError::Entropy)?;
                let at = usize::from(byte[0]);
                Ok((at < even).then(|| alphabet.get(at % alphabet.len().max(1)).copied()).flatten())
            };
            let drawn = (0..MAX_DRAWS).find_map(|_| one().transpose()).ok_or(StyleError::Entropy)??;
            text.expose_mut().push(drawn);
        }
        Ok(text)
    }
}
