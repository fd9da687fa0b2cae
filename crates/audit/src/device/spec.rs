//! From Vault's options of a device to the device.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::Clock;
use coffre_api::coerce::LooseBool;
use coffre_crypto::Key;

use crate::chain::ChainKey;
use crate::device::file::{self, FileOptions};
use crate::device::file_options;
use crate::device::health::Health;
use crate::device::remote::{RemoteOptions, RemoteSink};
use crate::device::remote_options;
use crate::device::writer::Writer;
use crate::device::{Device, DeviceError, Head};

/// The checked options of a device.
#[derive(Clone, Debug)]
pub struct DeviceSpec {
    pub(crate) place: Place,
    /// How its entries tell.
    pub manner: Manner,
}

/// How a device's entries tell what happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// Whether accessors are hashed (`hmac_accessor`).
    pub hash_accessors: bool,
    /// Whether lists are told by their length alone (`elide_list_responses`).
    pub elide_lists: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self { hash_accessors: true, elide_lists: false }
    }
}

/// Where entries go.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    File(FileOptions),
    Remote(RemoteOptions),
}

/// Why a device's options were refused. Quotes option names, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// None of ours.
    #[error("unknown audit device type; this server has: file, socket, syslog")]
    Kind,
    /// `file_path` (or `path`) is missing.
    #[error("file_path is required: an absolute path, or stdout, or discard")]
    NoPath,
    /// Both spellings, and they differ.
    #[error("file_path and path are the same option; give one of them")]
    TwoPaths,
    /// Outside the configured directory.
    #[error("the file must lie in the audit directory of the server's configuration")]
    OutsideRoot,
    /// Not an octal number, or too wide.
    #[error("mode must be octal and at most 0640: an audit file is neither executable nor open to everybody")]
    Mode,
    /// Neither true nor false.
    #[error("option {0} must be true or false")]
    Bool(&'static str),
    /// Not what the option takes.
    #[error("option {0} must be {1}")]
    Value(&'static str, &'static str),
    /// Needed and not there.
    #[error("option {0} is required: {1}")]
    Missing(&'static str, &'static str),
    /// Would write secrets in clear.
    #[error("log_raw is not supported: the log would hold every secret in clear")]
    LogRaw,
    /// Would make scripts of logs.
    #[error("prefix is not supported: a line is one JSON object and nothing else")]
    Prefix,
    /// Would leave requests out.
    #[error("option {0} is not supported: each device is given every entry")]
    Partial(&'static str),
    /// Only JSON.
    #[error("format must be json; jsonx (XML) is not supported: convert the JSON lines where they are read")]
    Format,
    /// Nothing we know.
    #[error("unknown option {0:?}; this type has {1}")]
    Unknown(String, &'static str),
}

impl DeviceSpec {
    /// Reads the options of a device of this type. With `root`, files may only lie below that directory.
    pub fn parse(
        kind: &str,
        options: &BTreeMap<String, String>,
        root: Option<&Path>,
    ) -> Result<Self, OptionsError> {
        let mut own = BTreeMap::new();
        let mut manner = Manner::default();
        for (name, value) in options {
            if !manner.take(name, value)? {
                own.insert(name.as_str(), value.as_str());
            }
        }
        let place = match kind {
            "file" => Place::File(file_options::read(&own, root)?),
            "socket" => Place::Remote(remote_options::socket(&own)?),
            "syslog" => Place::Remote(remote_options::syslog(&own)?),
            _ => return Err(OptionsError::Kind),
        };
        Ok(Self { place, manner })
    }

    /// Opens the device. With `resume` its chain continues there. A device that does not take an entry within
    /// `patience` (or its own `write_timeout`) has failed it.
    ///
    /// A peer that cannot be reached is no error here: the device fails its entries until it can be.
    pub fn open(
        &self,
        key: &Key,
        resume: Option<Head>,
        patience: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Box<dyn Device>, DeviceError> {
        let health = Arc::new(Health::new(Arc::clone(&clock)));
        let chain = ChainKey::new(key);
        match &self.place {
            Place::File(options) => file::open(options.clone(), chain, resume, patience, health),
            Place::Remote(options) => {
                let sink = RemoteSink::new(options.clone(), chain, resume, clock);
                Ok(Box::new(Writer::start(sink, health)?))
            }
        }
    }
}

impl Manner {
    /// Takes the options that every type has; whether this was one.
    fn take(&mut self, name: &str, value: &str) -> Result<bool, OptionsError> {
        match name {
            "hmac_accessor" => self.hash_accessors = read_bool("hmac_accessor", value)?,
            "elide_list_responses" => self.elide_lists = read_bool("elide_list_responses", value)?,
            "log_raw" if read_bool("log_raw", value)? => return Err(OptionsError::LogRaw),
            "log_raw" => {}
            "format" if value == "json" => {}
            "format" => return Err(OptionsError::Format),
            "prefix" if value.is_empty() => {}
            "prefix" => return Err(OptionsError::Prefix),
            "filter" => return Err(OptionsError::Partial("filter")),
            "exclude" => return Err(OptionsError::Partial("exclude")),
            "fallback" if read_bool("fallback", value)? => return Err(OptionsError::Partial("fallback")),
            "fallback" => {}
            _ => return Ok(false),
        }
        Ok(true)
    }
}

pub(crate) fn read_bool(name: &'static str, text: &str) -> Result<bool, OptionsError> {
    LooseBool::parse(text).ok_or(OptionsError::Bool(name))
}

pub(crate) fn unknown(name: &str, known: &'static str) -> OptionsError {
    OptionsError::Unknown(name.chars().take(64).collect(), known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(kind: &str, options: &[(&str, &str)]) -> Result<DeviceSpec, OptionsError> {
        let map = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        DeviceSpec::parse(kind, &map, None)
    }

    #[test]
    fn nothing_is_ignored_silently() {
        for (kind, given) in
            [("file", ("path", "/a")), ("socket", ("address", "127.0.0.1:1")), ("syslog", ("tag", "x"))]
        {
            for (option, value, fine) in [
                ("log_raw", "true", false),
                ("log_raw", "false", true),
                ("prefix", "#!/bin/sh\n", false),
                ("prefix", "", true),
                ("format", "jsonx", false),
                ("format", "json", true),
                ("filter", "x", false),
                ("exclude", "[]", false),
                ("fallback", "true", false),
                ("fallback", "false", true),
                ("elide_list_responses", "true", true),
                ("hmac_accessor", "perhaps", false),
                ("anything", "x", false),
            ] {
                let read = parse(kind, &[given, (option, value)]);
                assert_eq!(read.is_ok(), fine, "{kind} {option}={value}: {read:?}");
            }
        }
        assert_eq!(parse("http", &[]).unwrap_err(), OptionsError::Kind);
        let manner = parse("file", &[("path", "/a"), ("hmac_accessor", "false")]).unwrap().manner;
        assert_eq!(manner, Manner { hash_accessors: false, elide_lists: false });
    }
}
