//! Messages that only their owner opens, and keys that are refused.

use std::sync::LazyLock;

use coffre_ambient::{SystemEntropy, Wall};
use pgp::composed::{
    EncryptionCaps, KeyType, Message, SecretKeyParamsBuilder, SignedSecretKey, SubkeyParamsBuilder,
};
use pgp::crypto::ecc_curve::ECCCurve;
use pgp::ser::Serialize as _;

use super::*;

const NOW: Wall = Wall::from_secs(4_000_000_000);

/// Slow to make.
static RSA: LazyLock<SignedSecretKey> =
    LazyLock::new(|| make(&[(KeyType::Ed25519Legacy, false), (KeyType::Rsa(2048), true)]));

fn make(subkeys: &[(KeyType, bool)]) -> SignedSecretKey {
    let mut random = Random::new(&SystemEntropy);
    let mut builder = SecretKeyParamsBuilder::default();
    builder
        .key_type(KeyType::Ed25519Legacy)
        .can_certify(true)
        .can_sign(true)
        .primary_user_id("Holder <holder@example.org>".into());
    for (kind, encrypts) in subkeys {
        let caps = if *encrypts { EncryptionCaps::All } else { EncryptionCaps::None };
        let mut subkey = SubkeyParamsBuilder::default();
        subkey.key_type(kind.clone()).can_encrypt(caps).can_sign(!*encrypts);
        builder.subkey(subkey.build().unwrap());
    }
    builder.build().unwrap().generate(&mut random).unwrap()
}

fn texts(secret: &SignedSecretKey) -> [String; 2] {
    let public = SignedPublicKey::from(secret.clone());
    let armoured = public.to_armored_string(Default::default()).unwrap();
    [STANDARD.encode(public.to_bytes().unwrap()), armoured]
}

fn open(secret: &SignedSecretKey, message: &[u8]) -> Vec<u8> {
    let mut message = Message::from_bytes(message).unwrap().decrypt(&"".into(), secret).unwrap();
    message.as_data_vec().unwrap()
}

#[test]
fn the_owner_and_nobody_else_reads_what_was_encrypted() {
    let curve = |curve| make(&[(KeyType::Ed25519Legacy, false), (KeyType::ECDH(curve), true)]);
    let other = curve(ECCCurve::P256);
    for holder in [curve(ECCCurve::Curve25519Legacy), curve(ECCCurve::P256), RSA.clone()] {
        for text in texts(&holder) {
            let key = PublicKey::parse(&format!(" {text}\n"), NOW).unwrap();
            assert_eq!(key.fingerprint().len(), 40);
            let message = key.encrypt(b"a share", &SystemEntropy).unwrap();
            assert!(!message.windows(7).any(|window| window == b"a share"));
            assert_eq!(open(&holder, &message), b"a share");
            let foreign = Message::from_bytes(message.as_slice()).unwrap();
            assert!(foreign.decrypt(&"".into(), &other).is_err());
        }
    }
}

#[test]
fn what_is_no_key_for_encryption_is_refused_with_a_reason() {
    let refused = |text: &str| PublicKey::parse(text, NOW).unwrap_err();
    assert_eq!(refused("keybase:somebody"), BadKey::Keybase);
    assert_eq!(refused(""), BadKey::Unreadable);
    assert_eq!(refused("no key"), BadKey::Unreadable);
    assert_eq!(refused("AAAA"), BadKey::Unreadable);
    assert_eq!(refused("-----BEGIN PGP PUBLIC KEY BLOCK-----"), BadKey::Unreadable);
    assert_eq!(refused(&"A".repeat(MAX_TEXT + 1)), BadKey::TooLong);
    let signs = make(&[(KeyType::Ed25519Legacy, false)]);
    let [base64, _] = texts(&signs);
    assert_eq!(refused(&base64), BadKey::NotForEncryption);
    let secret = make(&[(KeyType::ECDH(ECCCurve::P256), true)]);
    assert_eq!(refused(&STANDARD.encode(secret.to_bytes().unwrap())), BadKey::Unreadable);
}

#[test]
fn a_subkey_that_its_owner_did_not_bind_is_not_encrypted_to() {
    let (victim, thief) =
        (make(&[(KeyType::Ed25519Legacy, false)]), make(&[(KeyType::ECDH(ECCCurve::P256), true)]));
    let mut public = SignedPublicKey::from(victim);
    public.public_subkeys.extend(SignedPublicKey::from(thief).public_subkeys);
    let text = STANDARD.encode(public.to_bytes().unwrap());
    assert_eq!(PublicKey::parse(&text, NOW).unwrap_err(), BadKey::NotForEncryption);
}

#[test]
fn without_randomness_nothing_is_encrypted() {
    struct None;
    impl Entropy for None {
        fn fill(&self, _: &mut [u8]) -> Result<(), EntropyFailed> {
            Err(EntropyFailed)
        }
    }
    let [text, _] = texts(&RSA);
    let key = PublicKey::parse(&text, NOW).unwrap();
    assert!(matches!(key.encrypt(b"a share", &None), Err(EncryptFailed::Entropy(_))));
}

#[test]
fn changed_keys_never_panic() {
    let [text, _] = texts(&make(&[(KeyType::ECDH(ECCCurve::P256), true)]));
    let bytes = STANDARD.decode(text).unwrap();
    for at in (0..bytes.len()).step_by(3) {
        for changed in [bytes[at] ^ 1, bytes[at] ^ 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] = changed;
            if let Ok(key) = PublicKey::parse(&STANDARD.encode(&bytes), NOW) {
                let _ = key.encrypt(b"a share", &SystemEntropy);
            }
        }
        let _ = PublicKey::parse(&STANDARD.encode(&bytes[..at]), NOW);
    }
}
