//! Revoking tokens.

use super::lookup::{AccessorInput, TokenInput};
use crate::{Access, Endpoint, Nothing, Op, Template};

/// Revoke a token and all its children.
pub struct Revoke;

impl Endpoint for Revoke {
    type Input = TokenInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("revoke");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Revoke a token and all its children.";
}

/// Revoke the caller's own token and all its children.
pub struct RevokeSelf;

impl Endpoint for RevokeSelf {
    type Input = TokenInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("revoke-self");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Revoke the caller's own token and all its children.";
}

/// Revoke the token of an accessor and all its children.
pub struct RevokeAccessor;

impl Endpoint for RevokeAccessor {
    type Input = AccessorInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("revoke-accessor");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Revoke the token of an accessor and all its children.";
}

/// Revoke a token and let its children live.
pub struct RevokeOrphan;

impl Endpoint for RevokeOrphan {
    type Input = TokenInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("revoke-orphan");
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Revoke a token and let its children live.";
}
