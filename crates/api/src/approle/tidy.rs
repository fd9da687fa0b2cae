use crate::{Access, Endpoint, Nothing, Op, Template};

/// Removes what is expired.
pub struct TidySecretIds;

impl Endpoint for TidySecretIds {
    type Input = Nothing;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("tidy/secret-id");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Remove expired secret ids and what refers to missing ones.";
}
