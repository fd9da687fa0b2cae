//! `sys/config`: web pages, headers of the web interface, the configuration as it is.

use coffre_api::sys::config::{
    ConfigState, CorsOutput, DeleteCors, DeleteUiHeader, ListUiHeaders, ReadConfigState, ReadCors,
    ReadUiHeader, Reload, ReloadInput, UiHeaderInput, UiHeaderOutput, WriteCors, WriteCorsInput,
    WriteUiHeader, WriteUiHeaderInput,
};
use coffre_api::sys::policies::PolicyKeysOutput;
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve};

use super::Sys;
use crate::front::Cors;

impl Serve<ReadCors> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<CorsOutput>, Refusal> {
        let cors = self.active()?.operations.front.cors();
        Ok(Reply::data(CorsOutput {
            enabled: cors.is_some(),
            allowed_origins: cors.as_ref().map(|cors| cors.origins.clone()),
            allowed_headers: cors.as_ref().map(|cors| cors.all_headers()),
        }))
    }
}

impl Serve<WriteCors> for Sys {
    async fn serve(&self, _: Cx<'_>, input: WriteCorsInput) -> Result<Reply<Nothing>, Refusal> {
        let cors = match input.enable {
            Some(enable) if !enable.0 => None,
            _ => Some(Cors::checked(input.allowed_origins.0, input.allowed_headers.0)?),
        };
        self.active()?.operations.front.set_cors(cors).await?;
        Ok(Reply::empty())
    }
}

impl Serve<DeleteCors> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<Nothing>, Refusal> {
        self.active()?.operations.front.set_cors(None).await?;
        Ok(Reply::empty())
    }
}

impl Serve<ListUiHeaders> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<PolicyKeysOutput>, Refusal> {
        let keys: Vec<String> = self.active()?.operations.front.ui_headers().await?.into_keys().collect();
        Ok(if keys.is_empty() { Reply::missing() } else { Reply::data(PolicyKeysOutput { keys }) })
    }
}

impl Serve<ReadUiHeader> for Sys {
    async fn serve(&self, _: Cx<'_>, input: UiHeaderInput) -> Result<Reply<UiHeaderOutput>, Refusal> {
        let header = self.active()?.operations.front.ui_header(&input.header).await?;
        Ok(header.map_or_else(Reply::missing, |header| {
            let value = header.values.first().cloned().unwrap_or_default();
            Reply::data(UiHeaderOutput { value, values: header.values })
        }))
    }
}

impl Serve<WriteUiHeader> for Sys {
    async fn serve(&self, _: Cx<'_>, input: WriteUiHeaderInput) -> Result<Reply<Nothing>, Refusal> {
        self.active()?.operations.front.set_ui_header(&input.header, input.values.0).await?;
        Ok(Reply::empty())
    }
}

impl Serve<DeleteUiHeader> for Sys {
    async fn serve(&self, _: Cx<'_>, input: UiHeaderInput) -> Result<Reply<Nothing>, Refusal> {
        self.active()?.operations.front.delete_ui_header(&input.header).await?;
        Ok(Reply::empty())
    }
}

impl Serve<ReadConfigState> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<ConfigState>, Refusal> {
        let kernel = self.kernel()?;
        let settings = kernel.settings();
        Ok(Reply::data(ConfigState {
            api_addr: settings.api_addr.clone(),
            default_lease_ttl: settings.default_ttl.as_secs(),
            max_lease_ttl: settings.max_ttl.as_secs(),
            ..settings.shown.clone()
        }))
    }
}

impl Serve<Reload> for Sys {
    async fn serve(&self, _: Cx<'_>, _: ReloadInput) -> Result<Reply<Nothing>, Refusal> {
        Err(Refusal::invalid(
            "nothing is reloaded over the API: SIGHUP reads certificates again and reopens audit files, and sys/loggers changes log levels",
        ))
    }
}
