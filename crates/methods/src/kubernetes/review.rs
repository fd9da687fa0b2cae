//! What the method asks of the cluster's API server: a `TokenReview` (Kubernetes documentation, "TokenReview
//! authentication.k8s.io/v1"). Who speaks HTTP implements it; the kernel hands it in.

use coffre_api::BoxFuture;

/// Asks an API server whose token it is.
pub trait TokenReviewer: Send + Sync {
    /// One question, one answer, within the implementation's bounds of time and size.
    ///
    /// # Errors
    ///
    /// [`ReviewError`] if there is no answer that can be trusted.
    fn review<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Result<Review, ReviewError>>;
}

/// Who is asked, and about what. It has no `Debug`: tokens are in it.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// The API server's URL, such as `https://10.0.0.1:6443`.
    pub host: &'a str,
    /// PEM of the certificates that the API server's is checked against; empty if the configuration names none.
    pub ca_pem: &'a str,
    /// Secret: the token that may review; empty if the configuration names none.
    pub reviewer: &'a str,
    /// Whether what is absent above may come from the pod in which this server runs.
    pub may_use_pod: bool,
    /// Secret: the token in question. It also reviews itself when no other may.
    pub token: &'a str,
    /// For whom the token must be; `None` is the API server's own default.
    pub audience: Option<&'a str>,
}

/// What the API server says of a token.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Review {
    /// Whether it vouches for the token; if not, the rest means nothing.
    pub authenticated: bool,
    /// `system:serviceaccount:<namespace>:<name>`.
    pub username: String,
    /// The account's.
    pub uid: String,
    /// Those of the question that the token is for.
    pub audiences: Vec<String>,
}

/// Why there is no review. Nothing that was sent or received is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReviewError {
    /// The address is no URL of an API server.
    #[error("kubernetes_host must be https://<host>:<port>, or http:// on a loopback address")]
    Address,
    /// There are no certificates to check the API server's against, or they cannot be used.
    #[error("kubernetes_ca_cert must be the certificate (PEM) that the API server's is checked against")]
    Anchors,
    /// No connection.
    #[error("the API server cannot be reached: check kubernetes_host and whether it runs")]
    Unreachable,
    /// The handshake failed: usually another certificate.
    #[error("the API server's certificate is not one that kubernetes_ca_cert vouches for")]
    Untrusted,
    /// No answer in time.
    #[error("the API server did not answer in time")]
    Late,
    /// Too many questions are open already.
    #[error("too many reviews are under way: try again")]
    Busy,
    /// A longer answer than any review has.
    #[error("the API server's answer is too long")]
    TooLong,
    /// The API server does not know the token that is to review.
    #[error("the API server does not accept the reviewer's token: write a valid token_reviewer_jwt")]
    UnknownReviewer,
    /// The API server knows the token that is to review, but it may not.
    #[error("the reviewer's account may not review tokens: bind it to the role system:auth-delegator")]
    ReviewerMayNot,
    /// Another status than a review has; redirects are not followed.
    #[error("the API server answered with status {0}: check kubernetes_host")]
    Status(u16),
    /// Not HTTP, not JSON, or no review.
    #[error("the API server's answer is no TokenReview: check kubernetes_host")]
    Malformed,
}
