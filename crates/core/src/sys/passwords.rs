//! `sys/policies/password`.

use coffre_api::sys::passwords::{
    DeletePasswordPolicy, GeneratePassword, GeneratedPasswordOutput, ListPasswordPolicies,
    PasswordPolicyInput, PasswordPolicyOutput, ReadPasswordPolicy, WritePasswordPolicy,
    WritePasswordPolicyInput,
};
use coffre_api::sys::policies::PolicyKeysOutput;
use coffre_api::{Nothing, Refusal, SecretField};
use coffre_engine::{Cx, Reply, Serve};

use super::Sys;

impl Serve<ListPasswordPolicies> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<PolicyKeysOutput>, Refusal> {
        let keys = self.active()?.operations.passwords.names().await?;
        Ok(if keys.is_empty() { Reply::missing() } else { Reply::data(PolicyKeysOutput { keys }) })
    }
}

impl Serve<ReadPasswordPolicy> for Sys {
    async fn serve(
        &self,
        _: Cx<'_>,
        input: PasswordPolicyInput,
    ) -> Result<Reply<PasswordPolicyOutput>, Refusal> {
        let text = self.active()?.operations.passwords.text(&input.policy_name).await?;
        Ok(text.map_or_else(Reply::missing, |policy| Reply::data(PasswordPolicyOutput { policy })))
    }
}

impl Serve<WritePasswordPolicy> for Sys {
    async fn serve(&self, _: Cx<'_>, input: WritePasswordPolicyInput) -> Result<Reply<Nothing>, Refusal> {
        if input.policy.is_empty() {
            return Err(Refusal::invalid("missing policy"));
        }
        let text = coffre_policy::decode_body(&input.policy).into_owned();
        self.active()?.operations.passwords.write(&input.policy_name, text).await?;
        Ok(Reply::empty())
    }
}

impl Serve<DeletePasswordPolicy> for Sys {
    async fn serve(&self, _: Cx<'_>, input: PasswordPolicyInput) -> Result<Reply<Nothing>, Refusal> {
        self.active()?.operations.passwords.delete(&input.policy_name).await?;
        Ok(Reply::empty())
    }
}

impl Serve<GeneratePassword> for Sys {
    async fn serve(
        &self,
        cx: Cx<'_>,
        input: PasswordPolicyInput,
    ) -> Result<Reply<GeneratedPasswordOutput>, Refusal> {
        let Some(policy) = self.active()?.operations.passwords.find(&input.policy_name).await? else {
            return Ok(Reply::missing());
        };
        let password = policy.generate(cx.entropy()).map_err(Refusal::bug)?;
        Ok(Reply::data(GeneratedPasswordOutput { password: SecretField::new(password) }))
    }
}
