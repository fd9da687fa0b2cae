//! The making of a root token where OpenBao's client (2.7) asks for it: the same ceremony as `generate-root`, with the
//! answers in envelopes.

use super::generate_root::{GenerateRootInput, GenerateRootOutput};
use super::rekey::ShareInput;
use crate::{Access, Ceremony, Endpoint, Nothing, Op, Template};

const OPENED: Access = Access::Ceremony(Ceremony::GenerateRoot);
const ATTEMPT: Template = Template::new("generate-root-token/attempt");

/// Read how far the making of a root token has come, in an envelope.
pub struct GenerateRootTokenStatus;

impl Endpoint for GenerateRootTokenStatus {
    type Input = Nothing;
    type Output = GenerateRootOutput;
    const OP: Op = Op::Read;
    const PATH: Template = ATTEMPT;
    const ACCESS: Access = OPENED;
    const SUMMARY: &'static str = "Read how far the making of a root token has come, in an envelope.";
}

/// Begin to make a root token, answered in an envelope.
pub struct StartGenerateRootToken;

impl Endpoint for StartGenerateRootToken {
    type Input = GenerateRootInput;
    type Output = GenerateRootOutput;
    const OP: Op = Op::Write;
    const PATH: Template = ATTEMPT;
    const ACCESS: Access = OPENED;
    const SUMMARY: &'static str = "Begin to make a root token, answered in an envelope.";
}

/// Give up making a root token, where OpenBao's client asks.
pub struct CancelGenerateRootToken;

impl Endpoint for CancelGenerateRootToken {
    type Input = Nothing;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = ATTEMPT;
    const ACCESS: Access = OPENED;
    const SUMMARY: &'static str = "Give up making a root token, where OpenBao's client asks.";
}

/// Give one share, answered in an envelope; the last one makes the token.
pub struct UpdateGenerateRootToken;

impl Endpoint for UpdateGenerateRootToken {
    type Input = ShareInput;
    type Output = GenerateRootOutput;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("generate-root-token/update");
    const ACCESS: Access = OPENED;
    const SUMMARY: &'static str = "Give one share, answered in an envelope; the last one makes the token.";
}
