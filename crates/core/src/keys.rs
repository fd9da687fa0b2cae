//! Every key that the kernel itself persists, as seen from the root view. Engines keep theirs below
//! `logical/<mount uuid>/` and document them in their `model.rs`.

use std::fmt;

/// A record of the kernel. `Display` gives its key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KernelKey<'a> {
    /// `core/token/<HMAC of the token>`: JSON of [`crate::tokens::TokenRecord`].
    Token(&'a str),
    /// `core/accessor/<HMAC of the accessor>`: JSON of [`crate::tokens::AccessorRecord`].
    Accessor(&'a str),
    /// `core/child/<parent's token key>/<child's token key>`: empty; the index for cascading revocation.
    Child(&'a str, &'a str),
    /// `core/revoking/<token key>`: a revocation that must be finished, also after a crash; empty, or `orphan` if the
    /// children live on.
    Revoking(&'a str),
    /// `core/wrap/<token key>`: JSON of [`crate::wrap::WrapRecord`]; lives and dies with its wrapping token.
    Wrap(&'a str),
    /// `core/high-water`: JSON of the latest time that this cluster has seen ([`crate::high_water`]).
    HighWater,
    /// `core/policy/<name>`: JSON of [`crate::policies::PolicyRecord`].
    Policy(&'a str),
    /// `core/mount/<uuid>`: JSON of [`crate::mounts::MountEntry`]; one record for each mount, so that no table can
    /// outgrow a storage limit.
    Mount(&'a str),
    /// `core/audit/<name>`: JSON of [`crate::audit_devices::DeviceRecord`].
    Audit(&'a str),
    /// `core/lockout/<accessor>/<HMAC of the name>`: JSON of [`crate::lockout::LockRecord`]; a name that is locked after
    /// failed logins.
    Lockout(&'a str, &'a str),
    /// `core/audit-head/<name>`: JSON of [`crate::audit_devices::HeadRecord`]; how far a device's chain had come.
    AuditHead(&'a str),
    /// `core/audit-header/<name>`: JSON of [`crate::header_rules::HeaderRule`].
    AuditHeader(&'a str),
    /// `core/password-policy/<name>`: JSON of [`crate::passwords::PasswordPolicyRecord`].
    PasswordPolicy(&'a str),
    /// `core/quota/config`: JSON of `QuotaConfig` in `crate::quotas`.
    QuotaConfig,
    /// `core/front/cors`: JSON of [`crate::front::Cors`].
    Cors,
    /// `core/front/ui-header/<name>`: JSON of [`crate::front::UiHeader`].
    UiHeader(&'a str),
    /// `core/version/<version>`: JSON of [`crate::versions::VersionRecord`].
    Version(&'a str),
    /// `core/quota/rate-limit/<name>`: JSON of [`crate::quotas::QuotaRecord`].
    RateLimit(&'a str),
    /// `core/identity/entity/<id>`: JSON of [`crate::identity::model::EntityRecord`].
    IdentityEntity(&'a str),
    /// `core/identity/alias/<id>`: JSON of [`crate::identity::model::AliasRecord`].
    IdentityAlias(&'a str),
    /// `core/identity/group/<id>`: JSON of [`crate::identity::model::GroupRecord`], its alias with it.
    IdentityGroup(&'a str),
    /// `core/identity/name/<HMAC of kind, scope and name>`: JSON of [`crate::identity::model::NameRecord`]; from a name to an
    /// id, for entities, groups and both kinds of aliases. Names of people do not stand readable in keys.
    IdentityName(&'a str),
    /// `core/identity/in/<entity or group>/<group>`: empty; whose members are where, for evaluation.
    IdentityIn(&'a str, &'a str),
    /// `core/identity/of/<group>/<entity|group>/<member>`: empty; the same from the group's side, for reading and deleting.
    IdentityOf(&'a str, &'a str, &'a str),
    /// `core/identity/group-alias/<id>`: JSON of [`crate::identity::model::NameRecord`]; from a group alias to its group.
    IdentityGroupAlias(&'a str),
    /// `core/identity/merged/<id>`: JSON of [`crate::identity::model::NameRecord`]; where a merged entity went, for tokens that
    /// still name it.
    IdentityMerged(&'a str),
    /// `core/ceremony/rekey-backup`: JSON of `crate::ceremonies::rekey::BackupRecord`.
    RekeyBackup,
    /// `core/lease/id/<lease id>`: JSON of `leases::record::LeaseRecord`.
    Lease(&'a str),
    /// `core/lease/token/<token key>/<lease id>`: empty; what dies with a token.
    LeaseOfToken(&'a str, &'a str),
    /// `core/lease/due/<20 digits, nanoseconds since 1970>/<lease id>`: empty; what must be done when.
    LeaseDue(u64, &'a str),
    /// `core/lease/irrevocable/<lease id>`: empty; what could not be revoked after several tries.
    LeaseGivenUp(&'a str),
    /// `core/ceremony/rotation`: JSON of [`crate::rotation::RotationRecord`].
    Rotation,
}

impl fmt::Display for KernelKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(key) => write!(f, "{TOKENS}{key}"),
            Self::Accessor(key) => write!(f, "{ACCESSORS}{key}"),
            Self::Child(parent, child) => write!(f, "{CHILDREN}{parent}/{child}"),
            Self::Revoking(key) => write!(f, "{REVOKING}{key}"),
            Self::Wrap(key) => write!(f, "{WRAPS}{key}"),
            Self::HighWater => f.write_str("core/high-water"),
            Self::Policy(name) => write!(f, "{POLICIES}{name}"),
            Self::Mount(uuid) => write!(f, "{MOUNTS}{uuid}"),
            Self::Rotation => f.write_str("core/ceremony/rotation"),
            Self::RekeyBackup => f.write_str("core/ceremony/rekey-backup"),
            Self::Audit(name) => write!(f, "{AUDIT}{name}"),
            Self::Lockout(accessor, name) => write!(f, "{LOCKOUTS}{accessor}/{name}"),
            Self::AuditHead(name) => write!(f, "core/audit-head/{name}"),
            Self::AuditHeader(name) => write!(f, "{AUDIT_HEADERS}{name}"),
            Self::PasswordPolicy(name) => write!(f, "{PASSWORD_POLICIES}{name}"),
            Self::QuotaConfig => f.write_str("core/quota/config"),
            Self::Cors => f.write_str("core/front/cors"),
            Self::UiHeader(name) => write!(f, "{UI_HEADERS}{name}"),
            Self::Version(version) => write!(f, "{VERSIONS}{version}"),
            Self::RateLimit(name) => write!(f, "{RATE_LIMITS}{name}"),
            Self::IdentityEntity(id) => write!(f, "{ENTITIES}{id}"),
            Self::IdentityAlias(id) => write!(f, "{ALIASES}{id}"),
            Self::IdentityGroup(id) => write!(f, "{GROUPS}{id}"),
            Self::IdentityName(mac) => write!(f, "core/identity/name/{mac}"),
            Self::IdentityIn(member, group) => write!(f, "core/identity/in/{member}/{group}"),
            Self::IdentityOf(group, kind, member) => write!(f, "core/identity/of/{group}/{kind}/{member}"),
            Self::IdentityGroupAlias(id) => write!(f, "{GROUP_ALIASES}{id}"),
            Self::IdentityMerged(id) => write!(f, "core/identity/merged/{id}"),
            Self::Lease(id) => write!(f, "{LEASES}{id}"),
            Self::LeaseOfToken(token, id) => write!(f, "{LEASES_OF_TOKENS}{token}/{id}"),
            Self::LeaseDue(due, id) => write!(f, "{LEASES_DUE}{due:020}/{id}"),
            Self::LeaseGivenUp(id) => write!(f, "{LEASES_GIVEN_UP}{id}"),
        }
    }
}

pub(crate) const TOKENS: &str = "core/token/";
pub(crate) const ACCESSORS: &str = "core/accessor/";
pub(crate) const CHILDREN: &str = "core/child/";
pub(crate) const REVOKING: &str = "core/revoking/";
pub(crate) const WRAPS: &str = "core/wrap/";
pub(crate) const POLICIES: &str = "core/policy/";
pub(crate) const MOUNTS: &str = "core/mount/";
pub(crate) const LOCKOUTS: &str = "core/lockout/";
pub(crate) const AUDIT: &str = "core/audit/";
pub(crate) const AUDIT_HEADERS: &str = "core/audit-header/";
pub(crate) const PASSWORD_POLICIES: &str = "core/password-policy/";
pub(crate) const UI_HEADERS: &str = "core/front/ui-header/";
pub(crate) const VERSIONS: &str = "core/version/";
pub(crate) const RATE_LIMITS: &str = "core/quota/rate-limit/";
pub(crate) const ENTITIES: &str = "core/identity/entity/";
pub(crate) const ALIASES: &str = "core/identity/alias/";
pub(crate) const GROUPS: &str = "core/identity/group/";
pub(crate) const GROUP_ALIASES: &str = "core/identity/group-alias/";
pub(crate) const LEASES: &str = "core/lease/id/";
pub(crate) const LEASES_OF_TOKENS: &str = "core/lease/token/";
pub(crate) const LEASES_DUE: &str = "core/lease/due/";
pub(crate) const LEASES_GIVEN_UP: &str = "core/lease/irrevocable/";

/// Where a mount's engine keeps its records.
pub(crate) fn engine_prefix(uuid: &str) -> String {
    format!("logical/{uuid}/")
}

/// Labels of the keys that are derived from the cluster's derivation secret.
pub(crate) mod label {
    /// Token keys: HMAC of the token.
    pub(crate) const TOKEN_ID: &str = "token-id";
    /// Accessor keys: HMAC of the accessor.
    pub(crate) const ACCESSOR: &str = "token-accessor";
    /// Locked names: HMAC of mount and name.
    pub(crate) const LOCKOUT: &str = "lockout";
    /// Keys of names in the identity store.
    pub(crate) const IDENTITY_NAME: &str = "identity-name";
    /// The root of the batch tokens' keys.
    pub(crate) const BATCH: &str = "batch-token";
    /// The root of the audit devices' keys.
    pub(crate) const AUDIT: &str = "audit";
}
