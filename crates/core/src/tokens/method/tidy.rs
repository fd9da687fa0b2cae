//! `auth/token/tidy`: asked for now, done by the next tick.

use coffre_api::token::tidy::Tidy;
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve};

use super::TokenMethod;

impl Serve<Tidy> for TokenMethod {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<Nothing>, Refusal> {
        let is_new = self.active()?.tokens.ask_tidy();
        Ok(Reply::accepted(None).warn(if is_new {
            "Tidy operation successfully started. Any information from the operation will be printed to the server's log."
        } else {
            "Tidy operation already in progress."
        }))
    }
}
