use super::Named;
use crate::{Access, Endpoint, Nothing, Op, Template};

/// Gives the administrator of a database a password that only the server knows.
pub struct RotateRoot;

impl Endpoint for RotateRoot {
    type Input = Named;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("rotate-root/{name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Change the password with which the server reaches a database.";
}

/// Gives a static role's user another password now.
pub struct RotateRole;

impl Endpoint for RotateRole {
    type Input = Named;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("rotate-role/{name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Change the password of a static role's user.";
}
