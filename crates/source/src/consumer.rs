//! Who a process of this host is, for a rotation.

use coffre_rotation::ConsumerId;

const BOOT: &str = "/proc/sys/kernel/random/boot_id";
const STAT: &str = "/proc/self/stat";

/// `<service>/<host>/<boot>/<process>` of this process. `instance` tells apart what one process runs.
#[must_use]
pub fn id(service: &str, instance: Option<u64>) -> ConsumerId {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let boot = std::fs::read_to_string(BOOT).unwrap_or_default();
    let boot: String = boot.trim().chars().take(8).collect();
    let mut process = format!("{}-{}", std::process::id(), started());
    if let Some(instance) = instance {
        process.push_str(&format!("-{instance}"));
    }
    ConsumerId::of(service, &host, &boot, &process)
}

/// When the process began, in ticks since boot: field 22 of proc(5)'s stat. What precedes it holds the program's name,
/// which may hold anything, up to the last parenthesis.
fn started() -> u64 {
    let stat = std::fs::read_to_string(STAT).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name.split_ascii_whitespace().nth(19).and_then(|ticks| ticks.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_start_is_known() {
        assert!(super::started() > 0);
        assert!(super::id("api", Some(3)).as_str().ends_with("-3"));
    }
}
