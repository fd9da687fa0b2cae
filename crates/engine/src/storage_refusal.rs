use coffre_api::Refusal;
use coffre_barrier::BarrierError;

/// What a caller is told when storage fails: that the server is sealed, or that it is our fault.
#[must_use]
pub fn storage(error: BarrierError) -> Refusal {
    if matches!(error, BarrierError::Sealed(_)) { Refusal::sealed() } else { Refusal::bug(error) }
}
