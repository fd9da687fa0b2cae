//! Finds the public key in a certificate of any version (RFC 5280, 4.1; X.509 version 1 has the same fields in front).
//! Nothing else of the certificate is looked at.

use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
/// `[0]`, constructed: the version, which version 1 leaves out.
const VERSION: u8 = 0xa0;

/// A public key as it stands in a certificate.
pub(super) struct PublicKey<'c> {
    /// The whole SubjectPublicKeyInfo.
    pub(super) whole: SubjectPublicKeyInfoDer<'c>,
    /// The content of its AlgorithmIdentifier.
    pub(super) algorithm: &'c [u8],
    /// The bits of the key.
    pub(super) bits: &'c [u8],
}

/// The key, or `None` if the bytes are no certificate.
pub(super) fn public_key<'c>(certificate: &'c CertificateDer<'_>) -> Option<PublicKey<'c>> {
    let (outer, _) = expect(SEQUENCE, certificate)?;
    let (mut rest, _) = expect(SEQUENCE, outer.content)?;
    let mut rest = {
        let first = element(rest.content)?;
        if first.0.tag == VERSION {
            rest.content = first.1;
        }
        rest.content
    };
    // Serial number, signature algorithm, issuer, validity, subject.
    for _ in 0..5 {
        rest = element(rest)?.1;
    }
    let (info, _) = expect(SEQUENCE, rest)?;
    let (algorithm, after) = expect(SEQUENCE, info.content)?;
    let (key, _) = expect(BIT_STRING, after)?;
    // The first byte counts unused bits at the end: none, in a key.
    let bits = key.content.strip_prefix(&[0])?;
    Some(PublicKey { whole: info.whole.into(), algorithm: algorithm.content, bits })
}

/// One element of DER.
struct Element<'d> {
    tag: u8,
    whole: &'d [u8],
    content: &'d [u8],
}

fn expect(tag: u8, der: &[u8]) -> Option<(Element<'_>, &[u8])> {
    element(der).filter(|(found, _)| found.tag == tag)
}

/// The first element and what follows it (X.690: definite lengths of up to four bytes, single-byte tags).
fn element(der: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (
                digits
                    .iter()
                    .try_fold(0_usize, |sum, digit| sum.checked_mul(256)?.checked_add((*digit).into()))?,
                rest,
            )
        }
        _ => return None,
    };
    let (content, after) = rest.split_at_checked(length)?;
    let whole = der.get(..der.len() - after.len())?;
    Some((Element { tag: *tag, whole, content }, after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn finds_the_key_of_a_certificate() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let der = made.cert.der();
        let found = public_key(der).unwrap();
        use rcgen::PublicKeyData;
        assert_eq!(found.bits, made.signing_key.der_bytes());
        assert_eq!(found.whole.as_ref(), made.signing_key.subject_public_key_info());
        for end in 0..der.len() {
            assert!(public_key(&CertificateDer::from(&der[..end])).is_none(), "cut at {end}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), tags in any::<bool>()) {
            let mut bytes = bytes;
            if tags {
                bytes.splice(0..0, [0x30, 0x84, 0, 0, 0, 100, 0x30, 0x81, 90]);
            }
            let _ = public_key(&CertificateDer::from(bytes));
        }
    }
}
