//! Connections that are opened anew.

use coffre_api::database::{Named, PluginName, Reload, ReloadOutput, Reset};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve};

use super::Databases;
use super::connections::told;
use super::model::{CONFIGS, Connection, all_names, checked_name, config_key, read};

impl Serve<Reset> for Databases {
    async fn serve(&self, cx: Cx<'_>, input: Named) -> Result<Reply<Nothing>, Refusal> {
        let name = checked_name(&input.name)?;
        self.reopen(cx, name).await?;
        Ok(Reply::empty())
    }
}

impl Serve<Reload> for Databases {
    async fn serve(&self, cx: Cx<'_>, input: PluginName) -> Result<Reply<ReloadOutput>, Refusal> {
        let (mut connections, mut warnings) = (Vec::new(), Vec::new());
        for name in all_names(cx.view()?, CONFIGS).await? {
            let connection: Option<Connection> = read(cx.view()?, &config_key(&name)).await?;
            if connection.is_none_or(|connection| connection.plugin_name != input.plugin_name) {
                continue;
            }
            match self.reopen(cx, &name).await {
                Ok(()) => connections.push(name),
                Err(refusal) => warnings.push(format!("failed to reset connection {name}: {refusal}")),
            }
        }
        if connections.is_empty() && warnings.is_empty() {
            warnings.push("no connections were found with this plugin_name".to_owned());
        }
        let count = connections.len();
        Ok(Reply::data(ReloadOutput { connections, count }).warn_all(warnings))
    }
}

impl Databases {
    async fn reopen(&self, cx: Cx<'_>, name: &str) -> Result<(), Refusal> {
        self.connections.forget(name).await;
        let (connection, database) = self.reach(cx.on_mount(), name).await?;
        if connection.verify {
            database.verify().await.map_err(|error| told(&error))?;
        }
        Ok(())
    }
}
