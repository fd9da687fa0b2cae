use super::family::{Family, Labels, Samples};
use crate::kernel::Kernel;

/// Numbers of one name, of a part that runs beside the kernel in its process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attached {
    /// Without the prefix `vault_`.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// Whether it only grows while the process lives; its name ends in `_total` then.
    pub grows: bool,
    /// The name of the one label.
    pub label: &'static str,
    /// The label's words, and their numbers.
    pub values: Vec<(&'static str, u64)>,
}

/// Tells the numbers at the moment of a scrape; it must not wait.
pub(crate) type Source = Box<dyn Fn() -> Vec<Attached> + Send + Sync>;

impl Kernel {
    /// Shows the numbers of a part beside the kernel among its own. The first call counts.
    pub fn attach_metrics(&self, source: impl Fn() -> Vec<Attached> + Send + Sync + 'static) {
        let _ = self.telemetry().attached.set(Box::new(source));
    }
}

/// What is attached, as families.
#[expect(clippy::cast_precision_loss, reason = "a count beyond 2^53 may lose its last digits")]
pub(super) fn families(kernel: &Kernel) -> impl Iterator<Item = Family> {
    let all = kernel.telemetry().attached.get().map(|source| source()).unwrap_or_default();
    all.into_iter().map(|Attached { name, help, grows, label, values }| {
        let labels = |word| Labels::from([(label, word)]);
        let samples = match grows {
            true => Samples::Counter(values.into_iter().map(|(word, count)| (labels(word), count)).collect()),
            false => {
                Samples::Gauge(values.into_iter().map(|(word, count)| (labels(word), count as f64)).collect())
            }
        };
        Family { name, help, samples }
    })
}
