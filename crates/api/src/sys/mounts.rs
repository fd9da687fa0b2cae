//! Secrets engines and login methods: list, enable, disable, tune.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use crate::coerce::{CommaList, LooseBool, LooseInt, Options, Ttl};
use crate::{Access, Endpoint, Nothing, Op, Template};

/// A lifetime, or the server's own (`system`, or zero).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SystemTtl(pub Option<Ttl>);

impl<'de> Deserialize<'de> for SystemTtl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl serde::de::Visitor<'_> for Either {
            type Value = SystemTtl;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a duration or `system`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<SystemTtl, E> {
                if text == "system" {
                    return Ok(SystemTtl(None));
                }
                Ttl::parse(text).map(SystemTtl::from).map_err(E::custom)
            }

            fn visit_u64<E: serde::de::Error>(self, secs: u64) -> Result<SystemTtl, E> {
                self.visit_str(&secs.to_string())
            }

            fn visit_i64<E: serde::de::Error>(self, secs: i64) -> Result<SystemTtl, E> {
                // -1 is an old spelling of "the server's own".
                if secs == -1 { Ok(SystemTtl(None)) } else { self.visit_str(&secs.to_string()) }
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl From<Ttl> for SystemTtl {
    fn from(ttl: Ttl) -> Self {
        Self((!ttl.is_zero()).then_some(ttl))
    }
}

impl JsonSchema for SystemTtl {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SystemTtl".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A duration, or `system` for the server's own.",
            "anyOf": [{ "type": "integer" }, { "type": "string" }],
            "examples": ["system", "30m", 3600],
        })
    }
}

/// Settings of a mount.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(rename = "SysMountSettings")]
pub struct MountSettings {
    /// Lifetime when nothing else is said; `system` or 0 for the server's.
    #[serde(default)]
    pub default_lease_ttl: Option<SystemTtl>,
    /// Longest lifetime; `system` or 0 for the server's.
    #[serde(default)]
    pub max_lease_ttl: Option<SystemTtl>,
    /// Accepted, without effect.
    #[serde(default)]
    pub force_no_cache: Option<LooseBool>,
    /// `unauth` shows the mount to anonymous callers.
    #[serde(default)]
    pub listing_visibility: Option<String>,
    /// Request keys that audit leaves readable.
    #[serde(default)]
    pub audit_non_hmac_request_keys: Option<CommaList>,
    /// Response keys that audit leaves readable.
    #[serde(default)]
    pub audit_non_hmac_response_keys: Option<CommaList>,
    /// Kept and shown.
    #[serde(default)]
    pub passthrough_request_headers: Option<CommaList>,
    /// Kept and shown.
    #[serde(default)]
    pub allowed_response_headers: Option<CommaList>,
    /// For login methods: `default-service`, `service`, `default-batch`, `batch`.
    #[serde(default)]
    pub token_type: Option<String>,
    /// Accepted, without effect.
    #[serde(default)]
    pub plugin_version: Option<String>,
    /// When names are locked after failed logins; for methods that log users in by name.
    #[serde(default)]
    pub user_lockout_config: Option<UserLockoutInput>,
}

/// When names are locked after failed logins. What is absent or 0 comes from the server's configuration.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "SysUserLockoutInput")]
pub struct UserLockoutInput {
    /// Failures in a row that lock.
    pub lockout_threshold: Option<LooseInt>,
    /// How long a lock lasts.
    pub lockout_duration: Option<Ttl>,
    /// Failures are forgotten after so long without another one.
    pub lockout_counter_reset_duration: Option<Ttl>,
    /// Whether nothing is ever locked.
    pub lockout_disable: Option<LooseBool>,
}

/// When names are locked after failed logins, as the mount says it. 0 is "as the server's configuration says".
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysUserLockoutOutput")]
pub struct UserLockoutOutput {
    /// Failures in a row that lock.
    pub user_lockout_threshold: u32,
    /// Seconds.
    pub user_lockout_duration: u64,
    /// Seconds.
    pub user_lockout_counter_reset_duration: u64,
    /// Whether nothing is ever locked.
    pub user_lockout_disable: bool,
}

/// A mount to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysEnableInput")]
pub struct EnableInput {
    /// Where; may contain slashes.
    pub path: String,
    /// The engine's type.
    #[serde(rename = "type", default)]
    pub r#type: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Settings.
    #[serde(default)]
    pub config: Option<MountSettings>,
    /// Options of the engine, such as `version`.
    #[serde(default)]
    pub options: Option<Options>,
    /// Kept and shown.
    #[serde(default)]
    pub local: LooseBool,
    /// Kept and shown.
    #[serde(default)]
    pub seal_wrap: LooseBool,
    /// Kept and shown.
    #[serde(default)]
    pub external_entropy_access: LooseBool,
    /// Another spelling of `type`.
    #[serde(default)]
    pub plugin_name: Option<String>,
    /// Accepted, without effect.
    #[serde(default)]
    pub plugin_version: Option<String>,
}

/// A mount's path.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysMountPath")]
pub struct MountPath {
    /// Where.
    pub path: String,
}

/// New settings; what is absent stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysTuneInput")]
pub struct TuneInput {
    /// Where.
    pub path: String,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// Options of the engine, such as `version`.
    #[serde(default)]
    pub options: Option<Options>,
    /// Lifetime when nothing else is said; `system` or 0 for the server's.
    #[serde(default)]
    pub default_lease_ttl: Option<SystemTtl>,
    /// Longest lifetime; `system` or 0 for the server's.
    #[serde(default)]
    pub max_lease_ttl: Option<SystemTtl>,
    /// Accepted, without effect.
    #[serde(default)]
    pub force_no_cache: Option<LooseBool>,
    /// `unauth` shows the mount to anonymous callers.
    #[serde(default)]
    pub listing_visibility: Option<String>,
    /// Request keys that audit leaves readable.
    #[serde(default)]
    pub audit_non_hmac_request_keys: Option<CommaList>,
    /// Response keys that audit leaves readable.
    #[serde(default)]
    pub audit_non_hmac_response_keys: Option<CommaList>,
    /// Kept and shown.
    #[serde(default)]
    pub passthrough_request_headers: Option<CommaList>,
    /// Kept and shown.
    #[serde(default)]
    pub allowed_response_headers: Option<CommaList>,
    /// For login methods: `default-service`, `service`, `default-batch`, `batch`.
    #[serde(default)]
    pub token_type: Option<String>,
    /// Accepted, without effect.
    #[serde(default)]
    pub plugin_version: Option<String>,
    /// When names are locked after failed logins; for methods that log users in by name.
    #[serde(default)]
    pub user_lockout_config: Option<UserLockoutInput>,
}

/// A mount's settings.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysMountConfigOutput")]
pub struct MountConfigOutput {
    /// Seconds; 0 in lists means the server's own.
    pub default_lease_ttl: u64,
    /// Seconds; 0 in lists means the server's own.
    pub max_lease_ttl: u64,
    /// Always false unless set.
    pub force_no_cache: bool,
    /// `unauth` or `hidden`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing_visibility: Option<String>,
    /// Login methods only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_type: Option<String>,
    /// Request keys that audit leaves readable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_non_hmac_request_keys: Option<Vec<String>>,
    /// Response keys that audit leaves readable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_non_hmac_response_keys: Option<Vec<String>>,
    /// As set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passthrough_request_headers: Option<Vec<String>>,
    /// As set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_response_headers: Option<Vec<String>>,
    /// Login methods only, if set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_lockout_config: Option<UserLockoutOutput>,
}

/// A mount.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysMountOutput")]
pub struct MountOutput {
    /// The engine's type.
    #[serde(rename = "type")]
    pub r#type: String,
    /// For people.
    pub description: String,
    /// Names the mount for ever.
    pub accessor: String,
    /// Names its storage.
    pub uuid: String,
    /// As set.
    pub local: bool,
    /// As set.
    pub seal_wrap: bool,
    /// As set.
    pub external_entropy_access: bool,
    /// Options of the engine.
    pub options: Option<BTreeMap<String, String>>,
    /// Settings.
    pub config: MountConfigOutput,
    /// Empty: engines are built in.
    #[serde(default)]
    pub plugin_version: String,
    /// The server's version.
    #[serde(default)]
    pub running_plugin_version: String,
    /// Empty.
    #[serde(default)]
    pub running_sha256: String,
}

/// A mount's settings as they take effect.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysTuneOutput")]
pub struct TuneOutput {
    /// For people.
    pub description: String,
    /// Seconds.
    pub default_lease_ttl: u64,
    /// Seconds.
    pub max_lease_ttl: u64,
    /// As set.
    pub force_no_cache: bool,
    /// `unauth` or `hidden`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing_visibility: Option<String>,
    /// Login methods only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_type: Option<String>,
    /// Request keys that audit leaves readable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_non_hmac_request_keys: Option<Vec<String>>,
    /// Response keys that audit leaves readable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_non_hmac_response_keys: Option<Vec<String>>,
    /// As set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passthrough_request_headers: Option<Vec<String>>,
    /// As set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_response_headers: Option<Vec<String>>,
    /// Login methods only, if set.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub user_lockout: Option<UserLockoutOutput>,
    /// Options of the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<BTreeMap<String, String>>,
}

/// List the secrets engines.
pub struct ListMounts;

impl Endpoint for ListMounts {
    type Input = Nothing;
    type Output = BTreeMap<String, MountOutput>;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("mounts");
    const TOP_LEVEL: bool = true;
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "List the secrets engines.";
}

/// Read one secrets engine's entry.
pub struct ReadMount;

impl Endpoint for ReadMount {
    type Input = MountPath;
    type Output = MountOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("mounts/{path*}");
    const TOP_LEVEL: bool = true;
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read one secrets engine's entry.";
}

/// Enable a secrets engine at a path.
pub struct EnableMount;

impl Endpoint for EnableMount {
    type Input = EnableInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("mounts/{path*}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Enable a secrets engine at a path.";
}

/// Disable a secrets engine and delete its data.
pub struct DisableMount;

impl Endpoint for DisableMount {
    type Input = MountPath;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("mounts/{path*}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Disable a secrets engine and delete its data.";
}

/// Read the settings of a secrets engine as they take effect.
pub struct ReadTune;

impl Endpoint for ReadTune {
    type Input = MountPath;
    type Output = TuneOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("mounts/{path*}/tune");
    const TOP_LEVEL: bool = true;
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read the settings of a secrets engine as they take effect.";
}

/// Change the settings of a secrets engine.
pub struct WriteTune;

impl Endpoint for WriteTune {
    type Input = TuneInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("mounts/{path*}/tune");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Change the settings of a secrets engine.";
}

/// List the login methods.
pub struct ListAuth;

impl Endpoint for ListAuth {
    type Input = Nothing;
    type Output = BTreeMap<String, MountOutput>;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("auth");
    const TOP_LEVEL: bool = true;
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "List the login methods.";
}

/// Read one login method's entry.
pub struct ReadAuth;

impl Endpoint for ReadAuth {
    type Input = MountPath;
    type Output = MountOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("auth/{path*}");
    const TOP_LEVEL: bool = true;
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Read one login method's entry.";
}

/// Enable a login method at a path.
pub struct EnableAuth;

impl Endpoint for EnableAuth {
    type Input = EnableInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("auth/{path*}");
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Enable a login method at a path.";
}

/// Disable a login method and revoke its tokens.
pub struct DisableAuth;

impl Endpoint for DisableAuth {
    type Input = MountPath;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("auth/{path*}");
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Disable a login method and revoke its tokens.";
}

/// Read the settings of a login method as they take effect.
pub struct ReadAuthTune;

impl Endpoint for ReadAuthTune {
    type Input = MountPath;
    type Output = TuneOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("auth/{path*}/tune");
    const TOP_LEVEL: bool = true;
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Read the settings of a login method as they take effect.";
}

/// Change the settings of a login method.
pub struct WriteAuthTune;

impl Endpoint for WriteAuthTune {
    type Input = TuneInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("auth/{path*}/tune");
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Change the settings of a login method.";
}
