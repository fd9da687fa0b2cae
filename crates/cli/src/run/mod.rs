//! What each command does. One file per group of commands; the table is in `commands.rs`.

pub(crate) mod agent;
pub(crate) mod audit;
pub(crate) mod ceremony;
pub(crate) mod completion;
pub(crate) mod demo;
pub(crate) mod diagnose;
pub(crate) mod explain;
pub(crate) mod generate_root;
pub(crate) mod generic;
pub(crate) mod kv;
pub(crate) mod kv_metadata;
pub(crate) mod launch;
pub(crate) mod lease;
pub(crate) mod local;
pub(crate) mod login;
pub(crate) mod migrate;
pub(crate) mod mounts;
pub(crate) mod operator;
pub(crate) mod pgp_keys;
pub(crate) mod policy;
pub(crate) mod policy_explain;
pub(crate) mod rekey;
pub(crate) mod release;
pub(crate) mod server;
pub(crate) mod status;
pub(crate) mod token;
