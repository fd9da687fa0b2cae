/// Numbers of one name.
#[derive(Debug)]
pub(crate) struct Family {
    /// Without the prefix `vault_`.
    pub(super) name: &'static str,
    /// One sentence.
    pub(super) help: &'static str,
    /// By labels.
    pub(super) samples: Samples,
}

/// Label names and their values.
pub(super) type Labels = Vec<(&'static str, &'static str)>;

/// What kind of numbers they are.
#[derive(Debug)]
pub(super) enum Samples {
    /// A state.
    Gauge(Vec<(Labels, f64)>),
    /// Only grows while the process lives; its name ends in `_total`.
    Counter(Vec<(Labels, u64)>),
    /// How long things took, in seconds.
    Histogram(Vec<(Labels, Times)>),
}

/// How long things took.
#[derive(Clone, Debug)]
pub(super) struct Times {
    /// For each of [`BOUNDS`]: how many took at most so long and longer than the bound before.
    pub(super) within: [u64; BOUNDS.len()],
    /// All of them.
    pub(super) count: u64,
    /// Seconds, added up.
    pub(super) sum: f64,
}

/// Upper bounds in seconds; what takes longer counts in the sum and the count alone.
pub(super) const BOUNDS: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
