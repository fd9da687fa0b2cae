//! `sys/health` and `sys/leader`, for load balancers and clients before they log in.

use coffre_api::coerce::LooseInt;
use coffre_api::sys::health::{
    HaNode, HaStatus, HaStatusOutput, Health, HealthInput, HealthOutput, Leader, LeaderOutput, StepDown,
};
use coffre_api::{Nothing, Refusal};
use coffre_audit::{Broker, Condition, HealthReport};
use coffre_engine::{Cx, Reply, Serve, storage};

use super::{API_VERSION, Sys};

impl Serve<Health> for Sys {
    async fn serve(&self, cx: Cx<'_>, input: HealthInput) -> Result<Reply<HealthOutput>, Refusal> {
        let kernel = self.kernel()?;
        let status = kernel.barrier().status().await.map_err(storage)?;
        // Between the last share and the tables being read the server does not serve yet.
        let sealed = status.sealed || kernel.active().is_none();
        let code = match (status.initialized, sealed) {
            (false, _) => chosen(input.uninitcode, 501)?,
            (true, true) => chosen(input.sealedcode, 503)?,
            (true, false) => chosen(input.activecode, 200)?,
        };
        let output = HealthOutput {
            initialized: status.initialized,
            sealed,
            standby: false,
            performance_standby: false,
            replication_performance_mode: "disabled".into(),
            replication_dr_mode: "disabled".into(),
            server_time_utc: cx.now().secs(),
            version: API_VERSION.into(),
            cluster_name: status.cluster_name,
            cluster_id: status.cluster_id,
            failing_audit_devices: failing_audit_devices(kernel.broker()),
            clock_doubted: kernel.clock_state().doubted,
        };
        Ok(Reply::bare_with_status(output, code))
    }
}

/// What operators must learn without a token: that entries go fewer ways than they should.
fn failing_audit_devices(broker: &Broker) -> Vec<String> {
    let failing = |(_, report): &(String, HealthReport)| report.condition != Condition::Healthy;
    broker.health().into_iter().filter(failing).map(|(name, _)| name).collect()
}

fn chosen(code: Option<LooseInt>, usual: u16) -> Result<u16, Refusal> {
    let Some(LooseInt(code)) = code else { return Ok(usual) };
    let valid = u16::try_from(code).ok().filter(|code| (200..=599).contains(code));
    valid.ok_or_else(|| Refusal::invalid("a status code must be between 200 and 599"))
}

impl Serve<Leader> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<LeaderOutput>, Refusal> {
        let kernel = self.kernel()?;
        if kernel.active().is_none() {
            return Err(Refusal::sealed());
        }
        Ok(Reply::bare(LeaderOutput {
            ha_enabled: false,
            is_self: false,
            leader_address: String::new(),
            leader_cluster_address: String::new(),
            performance_standby: false,
            performance_standby_last_remote_wal: 0,
        }))
    }
}

impl Serve<HaStatus> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<HaStatusOutput>, Refusal> {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let node = HaNode {
            hostname: name.trim().to_owned(),
            api_address: self.kernel()?.settings().api_addr.clone(),
            cluster_address: String::new(),
            active_node: true,
            last_echo: None,
            version: API_VERSION.into(),
        };
        Ok(Reply::data(HaStatusOutput { nodes: vec![node] }))
    }
}

impl Serve<StepDown> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<Nothing>, Refusal> {
        // There is no other node that could take over.
        Ok(Reply::empty())
    }
}
