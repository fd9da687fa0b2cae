//! The one map from refusals to status codes.

use coffre_api::Kind;
use http::StatusCode;

/// The status code of a kind of refusal (Vault documentation, "API: status codes").
pub(crate) const fn of(kind: Kind) -> StatusCode {
    match kind {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Unauthenticated | Kind::Denied => StatusCode::FORBIDDEN,
        Kind::Missing => StatusCode::NOT_FOUND,
        Kind::Unsupported => StatusCode::METHOD_NOT_ALLOWED,
        Kind::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::Busy => StatusCode::TOO_MANY_REQUESTS,
        Kind::Sealed | Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Upstream => StatusCode::BAD_GATEWAY,
        Kind::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        Kind::Bug => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
