//! `sys/config/auditing/request-headers`: which headers audit entries show.

use std::collections::BTreeMap;

use coffre_api::sys::request_headers::{
    AuditedHeaderInput, AuditedHeaderName, AuditedHeaderOutput, AuditedHeadersKeys, AuditedHeadersOutput,
    DeleteAuditedHeader, ListAuditedHeaders, ReadAuditedHeader, ReadAuditedHeaders, WriteAuditedHeader,
};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve};

use super::Sys;
use crate::header_rules::HeaderRule;

impl Serve<ReadAuditedHeaders> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<AuditedHeadersOutput>, Refusal> {
        let rules = self.active()?.header_rules.all();
        let headers = rules.iter().map(|(name, rule)| (name.to_string(), output(*rule)));
        Ok(Reply::data(AuditedHeadersOutput { headers: headers.collect() }))
    }
}

impl Serve<ListAuditedHeaders> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<AuditedHeadersKeys>, Refusal> {
        let keys = self.active()?.header_rules.all().keys().map(ToString::to_string).collect();
        Ok(Reply::data(AuditedHeadersKeys { keys }))
    }
}

impl Serve<ReadAuditedHeader> for Sys {
    async fn serve(
        &self,
        _: Cx<'_>,
        input: AuditedHeaderName,
    ) -> Result<Reply<BTreeMap<String, AuditedHeaderOutput>>, Refusal> {
        let rules = self.active()?.header_rules.all();
        let rule = rules.get(input.name.as_str());
        let rule = rule.ok_or_else(|| Refusal::invalid("Could not find header in config"))?;
        Ok(Reply::data([(input.name, output(*rule))].into()))
    }
}

impl Serve<WriteAuditedHeader> for Sys {
    async fn serve(&self, _: Cx<'_>, input: AuditedHeaderInput) -> Result<Reply<Nothing>, Refusal> {
        self.active()?.header_rules.set(&input.name, HeaderRule { hmac: input.hmac.0 }).await?;
        Ok(Reply::empty())
    }
}

impl Serve<DeleteAuditedHeader> for Sys {
    async fn serve(&self, _: Cx<'_>, input: AuditedHeaderName) -> Result<Reply<Nothing>, Refusal> {
        self.active()?.header_rules.delete(&input.name).await?;
        Ok(Reply::empty())
    }
}

const fn output(rule: HeaderRule) -> AuditedHeaderOutput {
    AuditedHeaderOutput { hmac: rule.hmac }
}
