//! Numbers in arguments. The refusals name the field and never its value.

use coffre_api::Refusal;
use coffre_api::coerce::{CommaList, LooseInt};

/// The numbers in `versions`; none is refused.
pub(super) fn listed(versions: &CommaList) -> Result<Vec<u64>, Refusal> {
    if versions.items().is_empty() {
        return Err(Refusal::invalid("No version number provided"));
    }
    let numbers = versions.items().iter().map(|item| item.parse().ok()).collect::<Option<_>>();
    numbers.ok_or_else(|| Refusal::invalid("field `versions` must hold version numbers: 1, 2, …"))
}

/// A number that is not negative.
pub(super) fn natural(field: &str, number: LooseInt) -> Result<u64, Refusal> {
    u64::try_from(number.0).map_err(|_| Refusal::invalid(format!("field `{field}` must not be negative")))
}

/// A count of versions.
pub(super) fn max_versions(number: LooseInt) -> Result<u32, Refusal> {
    let number = natural("max_versions", number)?;
    u32::try_from(number).map_err(|_| Refusal::invalid("field `max_versions` is too large"))
}
