//! `sys/policies/acl` and the older `sys/policy`: one store, two forms of answers.

use coffre_api::sys::policies::{
    DeleteLegacyPolicy, DeletePolicy, LegacyPolicyListOutput, LegacyPolicyOutput, ListLegacyPolicies,
    ListLegacyPoliciesByVerb, ListPolicies, PolicyInput, PolicyKeysOutput, PolicyOutput, ReadLegacyPolicy,
    ReadPolicy, WriteLegacyPolicy, WritePolicy, WritePolicyInput,
};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve};
use coffre_policy::PolicyName;

use super::Sys;

impl Sys {
    fn policy(&self, input: &PolicyInput) -> Result<Option<(String, String)>, Refusal> {
        let name = parse(&input.name)?;
        Ok(self.active()?.policies.text(&name).map(|text| (name.as_str().to_owned(), text)))
    }

    async fn write_policy(&self, input: &WritePolicyInput, legacy: bool) -> Result<Reply<Nothing>, Refusal> {
        let name = parse(&input.name)?;
        let text = match (&input.policy, &input.rules) {
            (Some(text), _) => text,
            (None, Some(text)) => text,
            (None, None) => return Err(Refusal::invalid("'policy' parameter not supplied or empty")),
        };
        if text.is_empty() {
            return Err(Refusal::invalid("'policy' parameter not supplied or empty"));
        }
        self.active()?.policies.write(name, text).await?;
        let mut reply = Reply::empty();
        if legacy && input.policy.is_none() {
            reply = reply.warn("The rules parameter has been deprecated; use policy instead");
        }
        Ok(reply)
    }

    async fn delete_policy(&self, input: &PolicyInput) -> Result<Reply<Nothing>, Refusal> {
        self.active()?.policies.delete(&parse(&input.name)?).await?;
        Ok(Reply::empty())
    }

    fn legacy_list(&self) -> Result<Reply<LegacyPolicyListOutput>, Refusal> {
        let names = self.active()?.policies.names();
        Ok(Reply::data(LegacyPolicyListOutput { keys: names.clone(), policies: names }))
    }
}

fn parse(name: &str) -> Result<PolicyName, Refusal> {
    PolicyName::parse(name).map_err(|e| Refusal::invalid(e.to_string()))
}

impl Serve<ListPolicies> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<PolicyKeysOutput>, Refusal> {
        Ok(Reply::data(PolicyKeysOutput { keys: self.active()?.policies.names() }))
    }
}

impl Serve<ReadPolicy> for Sys {
    async fn serve(&self, _: Cx<'_>, input: PolicyInput) -> Result<Reply<PolicyOutput>, Refusal> {
        Ok(self
            .policy(&input)?
            .map_or_else(Reply::missing, |(name, policy)| Reply::data(PolicyOutput { name, policy })))
    }
}

impl Serve<WritePolicy> for Sys {
    async fn serve(&self, _: Cx<'_>, input: WritePolicyInput) -> Result<Reply<Nothing>, Refusal> {
        self.write_policy(&input, false).await
    }
}

impl Serve<DeletePolicy> for Sys {
    async fn serve(&self, _: Cx<'_>, input: PolicyInput) -> Result<Reply<Nothing>, Refusal> {
        self.delete_policy(&input).await
    }
}

impl Serve<ListLegacyPolicies> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<LegacyPolicyListOutput>, Refusal> {
        self.legacy_list()
    }
}

impl Serve<ListLegacyPoliciesByVerb> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<LegacyPolicyListOutput>, Refusal> {
        self.legacy_list()
    }
}

impl Serve<ReadLegacyPolicy> for Sys {
    async fn serve(&self, _: Cx<'_>, input: PolicyInput) -> Result<Reply<LegacyPolicyOutput>, Refusal> {
        Ok(self
            .policy(&input)?
            .map_or_else(Reply::missing, |(name, rules)| Reply::data(LegacyPolicyOutput { name, rules })))
    }
}

impl Serve<WriteLegacyPolicy> for Sys {
    async fn serve(&self, _: Cx<'_>, input: WritePolicyInput) -> Result<Reply<Nothing>, Refusal> {
        self.write_policy(&input, true).await
    }
}

impl Serve<DeleteLegacyPolicy> for Sys {
    async fn serve(&self, _: Cx<'_>, input: PolicyInput) -> Result<Reply<Nothing>, Refusal> {
        self.delete_policy(&input).await
    }
}
