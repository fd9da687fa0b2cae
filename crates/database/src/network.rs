use std::sync::Arc;

use crate::{Connector, Database, Error, Plugin, Settings, mysql, postgresql, redis};

/// Databases that are reached over the network, each by the plugin that its settings name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Network;

impl Connector for Network {
    fn open(&self, settings: Settings) -> Result<Arc<dyn Database>, Error> {
        match settings.plugin {
            Plugin::Postgresql => postgresql::open(settings),
            Plugin::Redis | Plugin::Valkey => Ok(Arc::new(redis::Redis::open(settings)?)),
            Plugin::Mysql | Plugin::MysqlLegacy => Ok(Arc::new(mysql::Mysql::open(settings)?)),
        }
    }
}
