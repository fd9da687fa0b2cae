use super::raw::RawConfig;

impl RawConfig {
    /// Adds a later file: its single settings win, its stanzas are added.
    #[must_use]
    pub fn merge(mut self, later: Self) -> Self {
        self.storage.extend(later.storage);
        self.listeners.extend(later.listeners);
        self.audits.extend(later.audits);
        self.lockouts.extend(later.lockouts);
        self.rotations.extend(later.rotations);
        self.warnings.extend(later.warnings);
        Self {
            api_addr: later.api_addr.or(self.api_addr),
            cluster_name: later.cluster_name.or(self.cluster_name),
            pid_file: later.pid_file.or(self.pid_file),
            log_level: later.log_level.or(self.log_level),
            log_format: later.log_format.or(self.log_format),
            default_lease_ttl: later.default_lease_ttl.or(self.default_lease_ttl),
            max_lease_ttl: later.max_lease_ttl.or(self.max_lease_ttl),
            disable_mlock: later.disable_mlock.or(self.disable_mlock),
            ui: later.ui.or(self.ui),
            audit_directory: later.audit_directory.or(self.audit_directory),
            api_audit_creation: later.api_audit_creation.or(self.api_audit_creation),
            prometheus_retention: later.prometheus_retention.or(self.prometheus_retention),
            storage: self.storage,
            listeners: self.listeners,
            audits: self.audits,
            lockouts: self.lockouts,
            rotations: self.rotations,
            warnings: self.warnings,
        }
    }
}
