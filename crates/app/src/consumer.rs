//! Who this process is, for a rotation.

use std::sync::Arc;

use coffre_rotation::ConsumerId;

use crate::core::Core;
use crate::settings::Settings;

const BOOT: &str = "/proc/sys/kernel/random/boot_id";
const STAT: &str = "/proc/self/stat";

/// `<service>/<host>/<boot>/<process>`. The service is `COFFRE_SERVICE`, or the manifest's application.
pub(crate) fn id(core: &Arc<Core>, settings: &Settings) -> ConsumerId {
    let app = core.facts.manifest.as_ref().map(|manifest| manifest.app().to_owned());
    let service = settings.stated("SERVICE").or(app).unwrap_or_default();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let boot = std::fs::read_to_string(BOOT).unwrap_or_default();
    let boot: String = boot.trim().chars().take(8).collect();
    let process = format!("{}-{}-{}", std::process::id(), started(), core.id);
    ConsumerId::of(&service, &host, &boot, &process)
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
    }
}
