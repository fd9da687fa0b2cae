//! Web pages: who may call, and what a browser is told (WHATWG Fetch, "CORS protocol").
//!
//! Nothing is said and nobody refused as long as no origin is allowed: browsers keep other pages' scripts from the
//! answers by themselves. Credentials are tokens in a header, never cookies, so `Access-Control-Allow-Credentials` is never sent.

use coffre_api::Refusal;
use coffre_core::Cors;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, HeaderName, HeaderValue, ORIGIN, VARY,
};
use http::request::Parts;
use http::{Method, StatusCode};

use crate::outgoing::{self, Answer};

/// What is to be done with a request.
pub(crate) enum Verdict {
    /// It is answered, and its answer gets these headers.
    Go(Vec<(HeaderName, HeaderValue)>),
    /// It is answered here: a preflight, or a page that may not call.
    Stop(Answer),
}

const METHODS: &str = "DELETE, GET, HEAD, LIST, OPTIONS, PATCH, POST, PUT";

/// Looks at the origin alone: no token, no path, no effect.
pub(crate) fn judge(cors: Option<&Cors>, parts: &Parts) -> Verdict {
    let (Some(cors), Some(origin)) = (cors, parts.headers.get(ORIGIN)) else {
        return Verdict::Go(Vec::new());
    };
    let known = origin.to_str().is_ok_and(|text| cors.allows(text));
    if !known || parts.headers.get_all(ORIGIN).iter().count() != 1 {
        return Verdict::Stop(outgoing::refused(&Refusal::denied()));
    }
    let origin = if cors.allows_all() { HeaderValue::from_static("*") } else { origin.clone() };
    let told = vec![(ACCESS_CONTROL_ALLOW_ORIGIN, origin), (VARY, HeaderValue::from_static("Origin"))];
    if parts.method != Method::OPTIONS {
        return Verdict::Go(told);
    }
    let headers = HeaderValue::from_str(&cors.all_headers().join(", "));
    let more = [
        (ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS)),
        (ACCESS_CONTROL_ALLOW_HEADERS, headers.unwrap_or(HeaderValue::from_static(""))),
        (ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("300")),
    ];
    Verdict::Stop(tell(outgoing::empty(StatusCode::NO_CONTENT), told.into_iter().chain(more)))
}

/// Adds headers to an answer.
pub(crate) fn tell(
    mut answer: Answer,
    headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
) -> Answer {
    answer.headers_mut().extend(headers);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(cors: Option<&Cors>, method: &str, origins: &[&'static str]) -> Result<Vec<String>, u16> {
        let mut request = http::Request::builder().method(method).uri("/v1/a").body(()).unwrap();
        for origin in origins {
            request.headers_mut().append(ORIGIN, HeaderValue::from_static(origin));
        }
        match judge(cors, &request.into_parts().0) {
            Verdict::Go(told) => {
                Ok(told.iter().map(|(_, value)| value.to_str().unwrap().to_owned()).collect())
            }
            Verdict::Stop(answer) => Err(answer.status().as_u16()),
        }
    }

    #[test]
    fn l5_only_known_pages_are_answered() {
        let cors = Cors { origins: vec!["https://a.example".into()], headers: vec![] };
        let all = Cors { origins: vec!["*".into()], headers: vec![] };
        let some = Some(&cors);
        assert_eq!(
            judged(some, "GET", &["https://a.example"]),
            Ok(vec!["https://a.example".into(), "Origin".into()])
        );
        assert_eq!(judged(Some(&all), "GET", &["null"]), Ok(vec!["*".into(), "Origin".into()]));
        assert_eq!(judged(some, "GET", &["null"]), Err(403));
        assert_eq!(judged(some, "POST", &["https://b.example"]), Err(403));
        assert_eq!(judged(some, "GET", &["https://a.example", "https://b.example"]), Err(403));
        assert_eq!(judged(some, "OPTIONS", &["https://b.example"]), Err(403));
        assert_eq!(judged(some, "OPTIONS", &["https://a.example"]), Err(204));
        assert_eq!(judged(some, "GET", &[]), Ok(vec![]));
        assert_eq!(judged(None, "GET", &["https://b.example"]), Ok(vec![]));
    }
}
