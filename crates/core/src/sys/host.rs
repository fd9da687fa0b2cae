//! `sys/host-info`, `sys/in-flight-req`, `sys/version-history`.

use std::collections::BTreeMap;

use coffre_api::sys::host::{
    Cpu, CpuValue, Disk, Host, HostInfo, HostInfoOutput, InFlight, InFlightRequest, VersionHistory,
    VersionHistoryOutput,
};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve};

use super::Sys;

impl Serve<HostInfo> for Sys {
    async fn serve(&self, cx: Cx<'_>, _: Nothing) -> Result<Reply<HostInfoOutput>, Refusal> {
        let output = HostInfoOutput {
            timestamp: cx.now().rfc3339(),
            cpu: cpus(),
            cpu_times: cpu_times(),
            disk: disks(),
            host: Some(host()),
            memory: memory(),
        };
        let parts = [
            ("cpu", output.cpu.is_none()),
            ("cpu_times", output.cpu_times.is_none()),
            ("disk", output.disk.is_none()),
            ("memory", output.memory.is_none()),
        ];
        let warnings = parts.into_iter().filter(|(_, missing)| *missing);
        let warnings: Vec<String> =
            warnings.map(|(part, _)| format!("the system does not tell about {part}")).collect();
        Ok(Reply::data(output).warn_all(warnings))
    }
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn cpus() -> Option<Vec<Cpu>> {
    let text = read("/proc/cpuinfo")?;
    let mut all = Vec::new();
    for block in text.split("\n\n") {
        let value = |name: &str| {
            let mut lines = block.lines().filter_map(|line| line.split_once(':'));
            lines.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
        };
        if let Some(number) = value("processor") {
            let model_name = value("model name").unwrap_or_default();
            all.push(Cpu { cpu: number.parse().unwrap_or_default(), model_name, cores: 1 });
        }
    }
    Some(all)
}

/// The kernel counts in hundredths of a second, whatever its own clock.
fn cpu_times() -> Option<Vec<BTreeMap<String, CpuValue>>> {
    const NAMES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
    let text = read("/proc/stat")?;
    let total = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let mut times = BTreeMap::from([("cpu".to_owned(), CpuValue::Name("cpu-total".into()))]);
    for (name, ticks) in NAMES.iter().zip(total.split_whitespace()) {
        times.insert((*name).to_owned(), CpuValue::Seconds(ticks.parse::<f64>().ok()? / 100.0));
    }
    Some(vec![times])
}

/// File systems on devices; the rest is the kernel's own.
fn disks() -> Option<Vec<Disk>> {
    /// More than these tell nobody more.
    const MOST: usize = 64;
    let text = read("/proc/self/mounts")?;
    let mut all = Vec::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let (Some(device), Some(path), Some(kind)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let on_device = device.starts_with("/dev/") || path == "/";
        let Some(stat) = on_device.then(|| rustix::fs::statvfs(path).ok()).flatten() else { continue };
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        all.push(Disk {
            path: path.into(),
            fstype: kind.into(),
            total: bytes(stat.f_blocks),
            free: bytes(stat.f_bavail),
            used: bytes(stat.f_blocks.saturating_sub(stat.f_bfree)),
        });
        if all.len() == MOST {
            break;
        }
    }
    Some(all)
}

fn host() -> Host {
    let name = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let uptime = read("/proc/uptime").unwrap_or_default();
    Host {
        hostname: text(name.nodename()),
        uptime: uptime.split('.').next().and_then(|secs| secs.parse().ok()).unwrap_or_default(),
        os: std::env::consts::OS.into(),
        kernel_version: text(name.release()),
        kernel_arch: text(name.machine()),
    }
}

fn memory() -> Option<BTreeMap<String, u64>> {
    let text = read("/proc/meminfo")?;
    let bytes = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = lines.find(|(key, _)| *key == name)?;
        value.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1_024)
    };
    let (total, available) = (bytes("MemTotal")?, bytes("MemAvailable")?);
    let all = [
        ("total", Some(total)),
        ("available", Some(available)),
        ("used", Some(total.saturating_sub(available))),
        ("free", bytes("MemFree")),
        ("buffers", bytes("Buffers")),
        ("cached", bytes("Cached")),
        ("swapTotal", bytes("SwapTotal")),
        ("swapFree", bytes("SwapFree")),
    ];
    Some(all.into_iter().filter_map(|(name, bytes)| Some((name.to_owned(), bytes?))).collect())
}

impl Serve<InFlight> for Sys {
    async fn serve(
        &self,
        _: Cx<'_>,
        _: Nothing,
    ) -> Result<Reply<BTreeMap<String, InFlightRequest>>, Refusal> {
        Ok(Reply::data(self.kernel()?.in_flight().list()))
    }
}

impl Serve<VersionHistory> for Sys {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<VersionHistoryOutput>, Refusal> {
        Ok(Reply::data(self.active()?.operations.versions.history().await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_tells_all_of_it() {
        assert!(!cpus().unwrap().is_empty() && !disks().unwrap().is_empty());
        assert!(cpu_times().unwrap()[0].len() == 9 && memory().unwrap()["total"] > 0);
        assert!(!host().kernel_version.is_empty());
    }
}
