//! Repairing what leads to tokens.

use crate::{Access, Endpoint, Nothing, Op, Template};

/// Ask for a repair of the indexes of tokens.
pub struct Tidy;

impl Endpoint for Tidy {
    type Input = Nothing;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("tidy");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Repair the indexes of tokens.";
}
