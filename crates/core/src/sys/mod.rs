//! The engine at `sys/`: the only one that needs the kernel, a file for each family of endpoints.

mod audit;
mod capabilities;
mod catalog;
mod config;
mod explain;
mod generate_root;
mod health;
mod host;
mod init;
mod leases;
mod locked_users;
mod loggers;
mod metrics;
mod mounts;
mod openapi;
mod passwords;
mod policies;
mod quotas;
mod rekey;
mod remount;
mod request_headers;
mod rotate;
mod seal;
mod tools;
mod ui;
mod wrapping;

use std::sync::{Arc, Weak};

use coffre_api::Refusal;
use coffre_api::sys as api;
use coffre_engine::{Engine, Row};

use crate::active::Active;
use crate::kernel::Kernel;

pub use metrics::METRICS_TEXT;

/// The version of Vault's API that is spoken; clients choose their behaviour by it.
pub const API_VERSION: &str = "1.18.5";

/// `sys/`.
pub struct Sys {
    kernel: Weak<Kernel>,
}

impl Sys {
    /// Of this kernel.
    pub(crate) const fn new(kernel: Weak<Kernel>) -> Self {
        Self { kernel }
    }

    fn kernel(&self) -> Result<Arc<Kernel>, Refusal> {
        self.kernel.upgrade().ok_or_else(|| Refusal::bug("the kernel is being shut down"))
    }

    fn active(&self) -> Result<Arc<Active>, Refusal> {
        self.kernel()?.active().ok_or_else(Refusal::sealed)
    }
}

impl Engine for Sys {
    const KIND: &'static str = "system";
    /// Policies' names have one spelling. Lowered before policy looks, a `deny` on one spelling holds for all.
    const FOLDED: &'static [&'static str] = &["name"];
    const ROWS: &'static [Row<Self>] = &[
        Row::of::<api::init::InitStatus>(),
        Row::of::<api::init::Init>(),
        Row::of::<api::seal::SealStatus>(),
        Row::of::<api::seal::Unseal>(),
        Row::of::<api::seal::Seal>(),
        Row::of::<api::rekey::RekeyStatus>(),
        Row::of::<api::rekey::StartRekey>(),
        Row::of::<api::rekey::CancelRekey>(),
        Row::of::<api::rekey::UpdateRekey>(),
        Row::of::<api::rekey::VerifyStatus>(),
        Row::of::<api::rekey::UpdateVerify>(),
        Row::of::<api::rekey::RestartVerify>(),
        Row::of::<api::rekey::ReadBackup>(),
        Row::of::<api::rekey::DeleteBackup>(),
        Row::of::<api::rekey::ReadRecovery>(),
        Row::of::<api::rekey::WriteRecovery>(),
        Row::of::<api::rekey::DeleteRecovery>(),
        Row::of::<api::rekey::ReadRecoveryBackup>(),
        Row::of::<api::rekey::DeleteRecoveryBackup>(),
        Row::of::<api::generate_root::GenerateRootStatus>(),
        Row::of::<api::generate_root::StartGenerateRoot>(),
        Row::of::<api::generate_root::CancelGenerateRoot>(),
        Row::of::<api::generate_root::UpdateGenerateRoot>(),
        Row::of::<api::generate_root::DecodeToken>(),
        Row::of::<api::generate_root_token::GenerateRootTokenStatus>(),
        Row::of::<api::generate_root_token::StartGenerateRootToken>(),
        Row::of::<api::generate_root_token::CancelGenerateRootToken>(),
        Row::of::<api::generate_root_token::UpdateGenerateRootToken>(),
        Row::of::<api::rotate::KeyStatus>(),
        Row::of::<api::rotate::Rotate>(),
        Row::of::<api::rotate::ReadRotateConfig>(),
        Row::of::<api::rotate::WriteRotateConfig>(),
        Row::of::<api::health::HaStatus>(),
        Row::of::<api::health::StepDown>(),
        Row::of::<api::health::Health>(),
        Row::of::<api::health::Leader>(),
        Row::of::<api::mounts::ListMounts>(),
        Row::of::<api::mounts::ReadMount>(),
        Row::of::<api::mounts::EnableMount>(),
        Row::of::<api::mounts::DisableMount>(),
        Row::of::<api::mounts::ReadTune>(),
        Row::of::<api::mounts::WriteTune>(),
        Row::of::<api::mounts::ListAuth>(),
        Row::of::<api::mounts::ReadAuth>(),
        Row::of::<api::mounts::EnableAuth>(),
        Row::of::<api::mounts::DisableAuth>(),
        Row::of::<api::mounts::ReadAuthTune>(),
        Row::of::<api::mounts::WriteAuthTune>(),
        Row::of::<api::remount::Remount>(),
        Row::of::<api::remount::RemountStatus>(),
        Row::of::<api::explain::ExplainPolicy>(),
        Row::of::<api::policies::ListPolicies>(),
        Row::of::<api::policies::ReadPolicy>(),
        Row::of::<api::policies::WritePolicy>(),
        Row::of::<api::policies::DeletePolicy>(),
        Row::of::<api::policies::ListLegacyPolicies>(),
        Row::of::<api::policies::ListLegacyPoliciesByVerb>(),
        Row::of::<api::policies::ReadLegacyPolicy>(),
        Row::of::<api::policies::WriteLegacyPolicy>(),
        Row::of::<api::policies::DeleteLegacyPolicy>(),
        Row::of::<api::passwords::ListPasswordPolicies>(),
        Row::of::<api::passwords::ReadPasswordPolicy>(),
        Row::of::<api::passwords::WritePasswordPolicy>(),
        Row::of::<api::passwords::DeletePasswordPolicy>(),
        Row::of::<api::passwords::GeneratePassword>(),
        Row::of::<api::quotas::ReadQuotaConfig>(),
        Row::of::<api::quotas::WriteQuotaConfig>(),
        Row::of::<api::quotas::ListRateLimits>(),
        Row::of::<api::quotas::ReadRateLimit>(),
        Row::of::<api::quotas::WriteRateLimit>(),
        Row::of::<api::quotas::DeleteRateLimit>(),
        Row::of::<api::config::ReadCors>(),
        Row::of::<api::config::WriteCors>(),
        Row::of::<api::config::DeleteCors>(),
        Row::of::<api::config::ListUiHeaders>(),
        Row::of::<api::config::ReadUiHeader>(),
        Row::of::<api::config::WriteUiHeader>(),
        Row::of::<api::config::DeleteUiHeader>(),
        Row::of::<api::config::ReadConfigState>(),
        Row::of::<api::config::Reload>(),
        Row::of::<api::catalog::ReadCatalog>(),
        Row::of::<api::catalog::ListCatalog>(),
        Row::of::<api::catalog::ReadCatalogEntry>(),
        Row::of::<api::catalog::ReadRaft>(),
        Row::of::<api::catalog::WriteRaft>(),
        Row::of::<api::metrics::Metrics>(),
        Row::of::<api::host::HostInfo>(),
        Row::of::<api::host::InFlight>(),
        Row::of::<api::host::VersionHistory>(),
        Row::of::<api::loggers::ReadLoggers>(),
        Row::of::<api::loggers::ReadLogger>(),
        Row::of::<api::loggers::WriteLogger>(),
        Row::of::<api::loggers::ResetLoggers>(),
        Row::of::<api::loggers::ResetLogger>(),
        Row::of::<api::tools::Random>(),
        Row::of::<api::tools::Hash>(),
        Row::of::<api::capabilities::CapabilitiesSelf>(),
        Row::of::<api::capabilities::Capabilities>(),
        Row::of::<api::capabilities::CapabilitiesAccessor>(),
        Row::of::<api::audit::ListAudit>(),
        Row::of::<api::audit::EnableAudit>(),
        Row::of::<api::audit::DisableAudit>(),
        Row::of::<api::audit::AuditHash>(),
        Row::of::<api::request_headers::ReadAuditedHeaders>(),
        Row::of::<api::request_headers::ListAuditedHeaders>(),
        Row::of::<api::request_headers::ReadAuditedHeader>(),
        Row::of::<api::request_headers::WriteAuditedHeader>(),
        Row::of::<api::request_headers::DeleteAuditedHeader>(),
        Row::of::<api::locked_users::ListLockedUsers>(),
        Row::of::<api::locked_users::UnlockUser>(),
        Row::of::<api::ui::UiMounts>(),
        Row::of::<api::ui::UiMount>(),
        Row::of::<api::ui::ResultantAcl>(),
        Row::of::<api::ui::UiNamespaces>(),
        Row::of::<api::ui::FeatureFlags>(),
        Row::of::<api::openapi::OpenApi>(),
        Row::of::<api::openapi::OpenApiByWrite>(),
        Row::of::<api::openapi::Help>(),
        Row::of::<api::leases::LookupLease>(),
        Row::of::<api::leases::ListLeases>(),
        Row::of::<api::leases::RenewLease>(),
        Row::of::<api::leases::RevokeLease>(),
        Row::of::<api::leases::RevokeFolder>(),
        Row::of::<api::leases::ForceFolder>(),
        Row::of::<api::leases::TidyLeases>(),
        Row::of::<api::leases::CountLeases>(),
        Row::of::<api::leases::TroubledLeases>(),
        Row::of::<api::wrapping::Wrap>(),
        Row::of::<api::wrapping::Unwrap>(),
        Row::of::<api::wrapping::WrappingLookup>(),
        Row::of::<api::wrapping::WrappingLookupSelf>(),
        Row::of::<api::wrapping::Rewrap>(),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        let flaws = coffre_engine::check_table::check::<Sys>();
        assert!(flaws.is_empty(), "{flaws:#?}");
    }
}
