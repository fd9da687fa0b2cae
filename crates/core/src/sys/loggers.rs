//! `sys/loggers`.

use std::collections::BTreeMap;

use coffre_api::sys::loggers::{
    LoggerInput, ReadLogger, ReadLoggers, ResetLogger, ResetLoggers, WriteLogger, WriteLoggerInput,
};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve};

use super::Sys;
use crate::loggers;

impl Sys {
    fn set_level(
        &self,
        part: Option<&'static str>,
        level: Option<&'static str>,
    ) -> Result<Reply<Nothing>, Refusal> {
        let kernel = self.kernel()?;
        match kernel.loggers() {
            None => Err(Refusal::invalid("the log of this server cannot be changed while it runs")),
            Some(loggers) if loggers.set(part, level) => Ok(Reply::empty()),
            Some(_) => Err(Refusal::bug("the log does not take another level")),
        }
    }
}

fn known(name: &str) -> Result<&'static str, Refusal> {
    loggers::part(name).ok_or_else(|| Refusal::missing_because("logger not found: sys/loggers lists them"))
}

impl Serve<ReadLoggers> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<BTreeMap<String, String>>, Refusal> {
        Ok(Reply::data(self.kernel()?.loggers().map(|loggers| loggers.all()).unwrap_or_default()))
    }
}

impl Serve<ReadLogger> for Sys {
    async fn serve(&self, _: Cx<'_>, input: LoggerInput) -> Result<Reply<BTreeMap<String, String>>, Refusal> {
        let part = known(&input.logger)?;
        let mut all = self.kernel()?.loggers().map(|loggers| loggers.all()).unwrap_or_default();
        all.retain(|name, _| name == part);
        Ok(Reply::data(all))
    }
}

impl Serve<WriteLogger> for Sys {
    async fn serve(&self, _: Cx<'_>, input: WriteLoggerInput) -> Result<Reply<Nothing>, Refusal> {
        let part = input.logger.as_deref().map(known).transpose()?;
        let level = loggers::level(&input.level)
            .ok_or_else(|| Refusal::invalid("level must be trace, debug, info, warn or error"))?;
        self.set_level(part, Some(level))
    }
}

impl Serve<ResetLoggers> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<Nothing>, Refusal> {
        self.set_level(None, None)
    }
}

impl Serve<ResetLogger> for Sys {
    async fn serve(&self, _: Cx<'_>, input: LoggerInput) -> Result<Reply<Nothing>, Refusal> {
        self.set_level(Some(known(&input.logger)?), None)
    }
}
