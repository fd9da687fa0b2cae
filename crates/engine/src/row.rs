use coffre_api::{Access, BoxFuture, Endpoint, Op, Refusal, Template};
use coffre_policy::Existence;
use schemars::{Schema, SchemaGenerator};

use crate::args::Args;
use crate::cx::{Cx, ReadCx};
use crate::reply::AnyReply;
use crate::serve::{Engine, Exists, Serve};

/// What is known of an endpoint without calling it.
#[derive(Clone, Copy)]
pub struct Meta {
    /// What it does.
    pub op: Op,
    /// Where, below the mount.
    pub path: Template,
    /// Other spellings of the path.
    pub also: &'static [Template],
    /// Who may.
    pub access: Access,
    /// One sentence.
    pub summary: &'static str,
    /// The input field that takes the whole body.
    pub whole_body: Option<&'static str>,
    /// Whether `data` is repeated at the top level of the answer.
    pub top_level: bool,
    /// Whether the answer has no envelope.
    pub bare: bool,
    /// Whether it stands in the server's description of itself.
    pub described: bool,
    /// Whether a write can tell create from update.
    pub tells_existence: bool,
    /// The JSON schema of the input.
    pub input: fn(&mut SchemaGenerator) -> Schema,
    /// The JSON schema of the output.
    pub output: fn(&mut SchemaGenerator) -> Schema,
}

type Call<G> = for<'a> fn(&'a G, Cx<'a>, Args<'a>) -> BoxFuture<'a, Result<AnyReply, Refusal>>;
type Ask<G> = for<'a> fn(&'a G, ReadCx<'a>, Args<'a>) -> BoxFuture<'a, Result<Existence, Refusal>>;

/// An endpoint in an engine's table: plain data and function pointers, so the table is a constant.
pub struct Row<G: ?Sized> {
    meta: Meta,
    pub(crate) call: Call<G>,
    pub(crate) exists: Option<Ask<G>>,
}

impl<G: Engine> Row<G> {
    /// The row of an endpoint whose writes count as updates.
    pub const fn of<E: Endpoint>() -> Self
    where
        G: Serve<E>,
    {
        Self { meta: meta_of::<E>(false), call: call::<G, E>, exists: None }
    }

    /// The row of an endpoint that tells create from update.
    pub const fn creates<E: Endpoint>() -> Self
    where
        G: Exists<E>,
    {
        Self { meta: meta_of::<E>(true), call: call::<G, E>, exists: Some(ask::<G, E>) }
    }

    /// Its facts.
    pub const fn meta(&self) -> &Meta {
        &self.meta
    }
}

const fn meta_of<E: Endpoint>(tells_existence: bool) -> Meta {
    Meta {
        op: E::OP,
        path: E::PATH,
        also: E::ALSO,
        access: E::ACCESS,
        summary: E::SUMMARY,
        whole_body: E::WHOLE_BODY,
        top_level: E::TOP_LEVEL,
        bare: E::BARE,
        described: E::DESCRIBED,
        tells_existence,
        input: |generator| generator.subschema_for::<E::Input>(),
        output: |generator| generator.subschema_for::<E::Output>(),
    }
}

fn call<'a, G: Serve<E>, E: Endpoint>(
    engine: &'a G,
    cx: Cx<'a>,
    args: Args<'a>,
) -> BoxFuture<'a, Result<AnyReply, Refusal>> {
    Box::pin(async move {
        let decoded = args.decode::<E::Input>()?;
        let reply = engine.serve(cx, decoded.input).await?;
        reply.erase(decoded.warnings)
    })
}

fn ask<'a, G: Exists<E>, E: Endpoint>(
    engine: &'a G,
    cx: ReadCx<'a>,
    args: Args<'a>,
) -> BoxFuture<'a, Result<Existence, Refusal>> {
    Box::pin(async move {
        // What does not decode is refused by `call`, after authorization: a 400 must not come before the 403.
        match args.decode::<E::Input>() {
            Ok(decoded) => engine.exists(cx, decoded.input).await,
            Err(_) => Ok(Existence::Unknown),
        }
    })
}
