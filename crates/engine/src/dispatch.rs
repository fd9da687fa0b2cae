//! The only ways to call a row: with the proof that the request was permitted and recorded, or for a row that says
//! itself that it is answered sealed.

use coffre_api::{Access, RawInput, Refusal};
use coffre_audit::Admitted;
use coffre_policy::Existence;

use crate::cx::{Cx, ReadCx, Surroundings};
use crate::mount::Resolved;
use crate::page::Page;
use crate::reply::AnyReply;

/// Calls the row of a request that was permitted and recorded.
pub async fn dispatch(
    admitted: &Admitted<Resolved>,
    raw: &RawInput,
    around: &Surroundings,
) -> Result<AnyReply, Refusal> {
    let resolved = admitted.subject();
    let page = Page::of(resolved.op(), raw)?;
    let cx = Cx::new(resolved, Some(admitted.caller()), around, page);
    page.cut(resolved.mount().engine().call(resolved.row(), cx, resolved.args(raw)).await?)
}

/// A request for a row that anybody may call, sealed or not, before any audit device exists.
pub struct SealedRow(Resolved);

impl SealedRow {
    /// Gives the request back if its row is not of that kind.
    pub fn of(resolved: Resolved) -> Result<Self, Box<Resolved>> {
        if matches!(resolved.meta().access, Access::Sealed(_)) {
            Ok(Self(resolved))
        } else {
            Err(Box::new(resolved))
        }
    }

    /// The request.
    pub const fn resolved(&self) -> &Resolved {
        &self.0
    }
}

/// Calls a row that is answered even while sealed.
pub async fn dispatch_sealed(
    row: &SealedRow,
    raw: &RawInput,
    around: &Surroundings,
) -> Result<AnyReply, Refusal> {
    let resolved = &row.0;
    let cx = Cx::new(resolved, None, around, Page::ALL);
    resolved.mount().engine().call(resolved.row(), cx, resolved.args(raw)).await
}

/// Asks the row whether what a write names is there already. Nothing is authorized yet: the row gets read access
/// alone, and its answer only chooses between two capabilities.
pub async fn exists(
    resolved: &Resolved,
    raw: &RawInput,
    around: &Surroundings,
) -> Result<Existence, Refusal> {
    if !resolved.op().has_body() {
        return Ok(Existence::Unknown);
    }
    let Some(view) = resolved.mount().view() else { return Ok(Existence::Unknown) };
    let read_only = view.read_only();
    let cx = ReadCx::new(&read_only, around);
    match resolved.mount().engine().exists(resolved.row(), cx, resolved.args(raw)) {
        Some(answer) => answer.await,
        None => Ok(Existence::Unknown),
    }
}
