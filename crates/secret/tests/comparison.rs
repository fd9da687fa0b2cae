//! Secrets offer no comparison that stops at the first difference: `==` and `<` do not compile for them, so that only the
//! comparison in constant time is left.

use std::marker::PhantomData;

use coffre_secret::{Secret, SecretBytes, SecretText, SecretVec};

/// Asks of a type whether it has an equality and an order.
struct Of<T>(PhantomData<T>);

/// The answer for every type; an associated constant of `Of` itself goes before it where its bound holds.
trait Otherwise {
    const HAS_EQUALITY: bool = false;
    const HAS_ORDER: bool = false;
}

impl<T> Otherwise for Of<T> {}

impl<T: PartialEq> Of<T> {
    const HAS_EQUALITY: bool = true;
}

impl<T: PartialOrd> Of<T> {
    const HAS_ORDER: bool = true;
}

/// H12: tags, keys, codes and passwords are held in these types.
#[test]
fn h12_secrets_have_no_comparison_but_the_one_in_constant_time() {
    assert!(
        [Of::<Vec<u8>>::HAS_EQUALITY, Of::<String>::HAS_ORDER] == [true; 2],
        "the question is asked wrongly"
    );
    let equal = [
        Of::<SecretText>::HAS_EQUALITY,
        Of::<SecretVec>::HAS_EQUALITY,
        Of::<Secret<[u8; 32]>>::HAS_EQUALITY,
        Of::<SecretBytes<32>>::HAS_EQUALITY,
    ];
    let ordered = [
        Of::<SecretText>::HAS_ORDER,
        Of::<SecretVec>::HAS_ORDER,
        Of::<Secret<[u8; 32]>>::HAS_ORDER,
        Of::<SecretBytes<32>>::HAS_ORDER,
    ];
    assert_eq!((equal, ordered), ([false; 4], [false; 4]));
    assert!(SecretVec::new(vec![1, 2]).ct_eq(&[1, 2]) && !SecretVec::new(vec![1, 2]).ct_eq(&[1, 3]));
}
