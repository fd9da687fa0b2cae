//! `sys/audit*`: audit devices over HTTP, where the configuration allows that.

use std::collections::BTreeMap;

use coffre_api::sys::audit::{
    AuditHash, AuditHashInput, AuditHashOutput, AuditOutput, AuditPath, DisableAudit, EnableAudit,
    EnableAuditInput, ListAudit, ListAuditInput,
};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve};

use super::Sys;
use crate::audit_devices::DeviceRecord;

impl Serve<ListAudit> for Sys {
    async fn serve(
        &self,
        _: Cx<'_>,
        input: ListAuditInput,
    ) -> Result<Reply<BTreeMap<String, AuditOutput>>, Refusal> {
        Ok(Reply::data(self.active()?.audit.list(input.detail.0)))
    }
}

impl Serve<EnableAudit> for Sys {
    async fn serve(&self, cx: Cx<'_>, input: EnableAuditInput) -> Result<Reply<Nothing>, Refusal> {
        if !self.kernel()?.settings().audit_over_http {
            return Err(Refusal::invalid(
                "audit devices are not made over HTTP here: set unsafe_allow_api_audit_creation in the configuration",
            ));
        }
        let record = DeviceRecord {
            uuid: String::new(),
            path: slashed(&input.path)?,
            kind: input.r#type,
            description: input.description,
            options: input.options.map(|options| options.0).unwrap_or_default(),
            local: input.local.0,
        };
        self.active()?.audit.enable(record, cx.entropy()).await?;
        Ok(Reply::empty())
    }
}

impl Serve<DisableAudit> for Sys {
    async fn serve(&self, _: Cx<'_>, input: AuditPath) -> Result<Reply<Nothing>, Refusal> {
        self.active()?.audit.disable(&slashed(&input.path)?).await?;
        Ok(Reply::empty())
    }
}

impl Serve<AuditHash> for Sys {
    async fn serve(&self, _: Cx<'_>, input: AuditHashInput) -> Result<Reply<AuditHashOutput>, Refusal> {
        let name = slashed(&input.path)?;
        // EXPOSE: hashed under the device's key.
        let hash = self.kernel()?.broker().hash(&name, input.input.expose());
        let hash =
            hash.ok_or_else(|| Refusal::invalid("unknown audit backend: list the devices with sys/audit"))?;
        Ok(Reply::data(AuditHashOutput { hash }))
    }
}

fn slashed(path: &str) -> Result<String, Refusal> {
    if path.is_empty() {
        return Err(Refusal::invalid("the device needs a name"));
    }
    Ok(format!("{}/", path.trim_end_matches('/')))
}
