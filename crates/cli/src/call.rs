//! One run of a command: its arguments, its surroundings, and the server.

use coffre_client::{Body, Client, Envelope, Error, ErrorKind, Op, Request};

use crate::args::global::{Format, variable};
use crate::args::{Parsed, data, go_bool};
use crate::commands::Command;
use crate::connect;
use crate::json::{self, Node};
use crate::outcome::{Exit, Failure};
use crate::world::World;

/// What a command is given.
pub(crate) struct Call {
    pub(crate) world: World,
    pub(crate) command: &'static Command,
    pub(crate) parsed: Parsed,
    pub(crate) format: Format,
    client: Option<Client>,
}

impl Call {
    pub(crate) fn new(
        mut world: World,
        command: &'static Command,
        parsed: Parsed,
    ) -> (Self, Option<Failure>) {
        let (format, problem) = match Format::decide(&parsed, world.env.as_ref()) {
            Ok(format) => (format, None),
            Err(text) => (Format::Table, Some(Failure::local(text))),
        };
        world.cautious = true;
        world.plain = parsed.on("no-color");
        world.silent = parsed.on("non-interactive");
        (Self { world, command, parsed, format, client: None }, problem)
    }

    /// A positional argument.
    pub(crate) fn arg(&self, at: usize) -> Option<&str> {
        self.parsed.positionals.get(at).map(String::as_str)
    }

    /// The arguments after the first `skip`.
    pub(crate) fn rest(&self, skip: usize) -> Vec<String> {
        self.parsed.positionals.iter().skip(skip).cloned().collect()
    }

    /// The only positional argument.
    pub(crate) fn only_arg(&self) -> Result<String, Failure> {
        self.expect_args(1, 1)?;
        Ok(self.arg(0).unwrap_or_default().to_owned())
    }

    /// Refuses another number of positional arguments.
    pub(crate) fn expect_args(&self, least: usize, most: usize) -> Result<(), Failure> {
        let got = self.parsed.positionals.len();
        let usage =
            format!("\n\nUsage: {} {} {}", self.world.program, self.command.name, self.command.operands);
        if got < least {
            return Err(Failure::local(format!("Not enough arguments (expected {least}, got {got}){usage}")));
        }
        if got > most {
            return Err(Failure::local(format!("Too many arguments (expected {most}, got {got}){usage}")));
        }
        Ok(())
    }

    /// `-detailed` or its environment variable.
    pub(crate) fn detailed(&self) -> bool {
        let stated = || variable(self.world.env.as_ref(), "DETAILED").and_then(|text| go_bool(&text));
        self.parsed.switch("detailed").or_else(stated).unwrap_or(false)
    }

    /// The client, made when first asked for.
    pub(crate) fn client(&mut self) -> Result<Client, Failure> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let client = connect::client(&self.parsed, &mut self.world)?;
        self.client = Some(client.clone());
        Ok(client)
    }

    /// From now on another token is used.
    pub(crate) fn use_client(&mut self, client: Client) {
        self.client = Some(client);
    }

    /// Sends a request, or prints it if that was asked for. `doing` completes "Error …".
    pub(crate) async fn send(&mut self, doing: &str, request: Request) -> Result<Option<Envelope>, Failure> {
        self.try_send(request).await?.map_err(|error| self.failed(doing, &error))
    }

    /// As [`Call::send`], leaving the server's no to the caller.
    pub(crate) async fn try_send(
        &mut self,
        request: Request,
    ) -> Result<Result<Option<Envelope>, Error>, Failure> {
        let request = self.prepared(request)?;
        Ok(self.client()?.request(request).await)
    }

    /// As [`Call::send`]; an absent object is `None`, unless the answer says more than that.
    pub(crate) async fn send_if_there(
        &mut self,
        doing: &str,
        request: Request,
    ) -> Result<Option<Envelope>, Failure> {
        let request = self.prepared(request)?;
        let client = self.client()?;
        let answer = client.send(request).await.map_err(|error| self.failed(doing, &error))?;
        if answer.status() == 404 && !answer.has_content() {
            // A 404 with a message (no such mount) is an error; one without is absence.
            let error = answer.error(client.token());
            return if error.messages().is_empty() { Ok(None) } else { Err(self.failed(doing, &error)) };
        }
        let decoded =
            if answer.status() == 404 { answer.envelope() } else { answer.into_envelope(client.token()) };
        decoded.map_err(|error| self.failed(doing, &error))
    }

    /// The text for a failed call.
    pub(crate) fn failed(&self, doing: &str, error: &Error) -> Failure {
        let address = self.client.as_ref().map(|client| client.address().to_owned()).unwrap_or_default();
        Failure::call(doing, &address, error)
    }

    /// As [`Call::send`], for endpoints whose answer does not matter.
    pub(crate) async fn put(
        &mut self,
        doing: &str,
        path: &str,
        body: &Node,
    ) -> Result<Option<Envelope>, Failure> {
        self.send(doing, Request::new(Op::Write, path).body(body_of(body))).await
    }

    /// The `key=value` arguments after the first `skip`, as an object.
    pub(crate) fn data_args(&mut self, skip: usize) -> Result<Node, Failure> {
        let args = self.rest(skip);
        Ok(Node::Map(data::parse(&args, self.world.stdin.as_mut())?))
    }

    /// `{"<flag as snake case>": value}` for each of these flags that was given.
    pub(crate) fn given(&self, flags: &[&str]) -> Vec<(String, Node)> {
        let pair =
            |flag: &&str| self.parsed.one(flag).map(|value| (flag.replace('-', "_"), Node::from(value)));
        flags.iter().filter_map(pair).collect()
    }

    /// `-wrap-ttl` or its environment variable.
    fn wrap_ttl(&self) -> Option<String> {
        let flag = self.parsed.one("wrap-ttl").map(str::to_owned);
        flag.or_else(|| variable(self.world.env.as_ref(), "WRAP_TTL"))
    }

    fn prepared(&mut self, mut request: Request) -> Result<Request, Failure> {
        if let Some(ttl) = self.wrap_ttl() {
            request = request.wrap_ttl(ttl);
        }
        if self.parsed.on("output-curl-string") {
            let client = self.client()?;
            let line = client.curl(&request).map_err(|error| self.failed("preparing the request", &error))?;
            self.world.say(&line);
            return Err(Failure::quiet(Exit::DONE));
        }
        if self.parsed.on("output-policy") {
            let capability = match request.op() {
                Op::Read => "\"read\"",
                Op::List => "\"list\"",
                Op::Write => "\"create\", \"update\"",
                Op::Patch => "\"patch\"",
                Op::Delete => "\"delete\"",
            };
            let path = Node::from(request.path().trim_matches('/')).to_json();
            self.world.say(&format!("path {path} {{\n  capabilities = [{capability}]\n}}"));
            return Err(Failure::quiet(Exit::DONE));
        }
        Ok(request)
    }
}

/// A node as a request's body.
pub(crate) fn body_of(node: &Node) -> Body {
    Body::from_json_text(node.to_json().into())
}

/// An object from owned pairs.
pub(crate) fn object(members: Vec<(String, Node)>) -> Node {
    Node::Map(members)
}

/// The data of an answer; null without one.
pub(crate) fn data_of(envelope: Option<&Envelope>) -> Node {
    // EXPOSE: on its way to standard output, which the command exists for.
    envelope.and_then(Envelope::expose_data).and_then(Node::parse).unwrap_or(Node::Null)
}

/// The whole body of an answer.
pub(crate) fn whole(envelope: Option<&Envelope>) -> Node {
    // EXPOSE: on its way to standard output, which the command exists for.
    envelope.and_then(|envelope| Node::parse(envelope.expose_raw())).unwrap_or_else(|| json::map([]))
}

/// Whether the server's answer means that the operation itself is unknown or forbidden there.
pub(crate) fn not_offered(error: &Error) -> bool {
    matches!(error.status(), Some(403 | 405 | 415)) || error.kind() == ErrorKind::Denied
}
