//! Which web pages may call the server (CORS, WHATWG Fetch), and the headers of the web interface.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use coffre_api::Refusal;
use coffre_barrier::{View, ViewBatch};
use coffre_engine::storage;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::keys::{self, KernelKey};
use crate::stored;

/// Which web pages may call the server; as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cors {
    /// Scheme, host and port of each; `*` alone is all.
    pub origins: Vec<String>,
    /// Headers besides those of the API.
    pub headers: Vec<String>,
}

/// Headers of the API that a web page may send.
const API_HEADERS: [&str; 9] = [
    "Authorization",
    "Content-Type",
    "X-Requested-With",
    "X-Vault-MFA",
    "X-Vault-No-Request-Forwarding",
    "X-Vault-Request",
    "X-Vault-Token",
    "X-Vault-Wrap-Format",
    "X-Vault-Wrap-TTL",
];

/// Origins, headers, and headers of the web interface that a server can have, of each.
const MOST: usize = 128;

impl Cors {
    /// Whether all pages may.
    pub fn allows_all(&self) -> bool {
        self.origins.iter().any(|origin| origin == "*")
    }

    /// Whether pages of this origin may. Origins are compared as browsers send them: in lower case, byte by byte.
    pub fn allows(&self, origin: &str) -> bool {
        self.allows_all() || self.origins.iter().any(|known| known == origin)
    }

    /// Every header that a page may send.
    pub fn all_headers(&self) -> Vec<String> {
        API_HEADERS.iter().map(|name| (*name).to_owned()).chain(self.headers.iter().cloned()).collect()
    }

    /// Checks what was sent.
    pub(crate) fn checked(origins: Vec<String>, headers: Vec<String>) -> Result<Self, Refusal> {
        let origins: Vec<String> = origins.iter().map(|origin| origin.trim().to_ascii_lowercase()).collect();
        if origins.is_empty() {
            return Err(Refusal::invalid("at least one origin or the wildcard must be provided"));
        }
        if origins.len() > 1 && origins.iter().any(|origin| origin == "*") {
            return Err(Refusal::invalid(
                "to allow all origins the '*' must be the only value for allowed_origins",
            ));
        }
        if origins.len() > MOST || headers.len() > MOST {
            return Err(Refusal::invalid("at most 128 origins and 128 headers can be allowed"));
        }
        if !origins.iter().all(|origin| origin == "*" || is_origin(origin)) {
            return Err(Refusal::invalid(
                "an origin is a scheme, a host and perhaps a port: https://app.example.org",
            ));
        }
        if !headers.iter().all(|name| is_header_name(name)) {
            return Err(Refusal::invalid("allowed_headers has names of headers only"));
        }
        Ok(Self { origins, headers })
    }
}

/// `scheme://host[:port]`, and nothing behind it. The origin `null` is everybody's who hides, so it cannot be allowed.
fn is_origin(origin: &str) -> bool {
    let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    host.is_some_and(|host| {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']' | '_');
        !host.is_empty() && host.len() <= 255 && host.chars().all(fine)
    })
}

/// A token of RFC 9110, section 5.6.2.
fn is_header_name(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !name.is_empty() && name.len() <= 128 && name.chars().all(fine)
}

/// A header of the web interface; as it is stored.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct UiHeader {
    /// Its name as it was written.
    pub(crate) name: String,
    /// Its values.
    pub(crate) values: Vec<String>,
}

/// Reads and writes both.
pub(crate) struct Front {
    root: View,
    cors: ArcSwapOption<Cors>,
    writing: Mutex<()>,
}

impl Front {
    /// Reads which web pages may call.
    pub(crate) async fn load(root: View) -> Result<Self, Refusal> {
        let cors: Option<Cors> = stored::load(&root, &KernelKey::Cors.to_string()).await?;
        Ok(Self { root, cors: ArcSwapOption::from_pointee(cors), writing: Mutex::default() })
    }

    /// Which web pages may call; `None` is none.
    pub(crate) fn cors(&self) -> Option<Arc<Cors>> {
        self.cors.load_full()
    }

    /// Sets it; `None` lets none.
    pub(crate) async fn set_cors(&self, cors: Option<Cors>) -> Result<(), Refusal> {
        let _held = self.writing.lock().await;
        let key = KernelKey::Cors.to_string();
        let batch = match &cors {
            Some(cors) => ViewBatch::new().put(key, stored::bytes(cors)?),
            None => ViewBatch::new().delete(key),
        };
        self.root.transact(batch).await.map_err(storage)?;
        self.cors.store(cors.map(Arc::new));
        Ok(())
    }

    /// The headers of the web interface, by their names.
    pub(crate) async fn ui_headers(&self) -> Result<BTreeMap<String, UiHeader>, Refusal> {
        let mut all = BTreeMap::new();
        for key in stored::all_below(&self.root, keys::UI_HEADERS).await? {
            all.extend(self.ui_header(&key).await?.map(|header| (header.name.clone(), header)));
        }
        Ok(all)
    }

    /// One of them.
    pub(crate) async fn ui_header(&self, name: &str) -> Result<Option<UiHeader>, Refusal> {
        stored::load(&self.root, &KernelKey::UiHeader(&name.to_ascii_lowercase()).to_string()).await
    }

    /// Sets one. Those of the API are not the web interface's to say.
    pub(crate) async fn set_ui_header(&self, name: &str, values: Vec<String>) -> Result<(), Refusal> {
        let _held = self.writing.lock().await;
        let printable =
            |value: &String| value.len() <= 4_096 && value.chars().all(|c| c == ' ' || c.is_ascii_graphic());
        let key = name.to_ascii_lowercase();
        if !is_header_name(name) || key.starts_with("x-vault-") {
            return Err(Refusal::invalid(
                "X-Vault headers cannot be set, and a header has letters, digits and - only",
            ));
        }
        if values.is_empty() || values.len() > MOST || !values.iter().all(printable) {
            return Err(Refusal::invalid("header values must be set, in printable characters"));
        }
        let known = stored::all_below(&self.root, keys::UI_HEADERS).await?;
        if known.len() >= MOST && !known.contains(&key) {
            return Err(Refusal::invalid("at most 128 headers can be set"));
        }
        let record = stored::bytes(&UiHeader { name: name.to_owned(), values })?;
        let batch = ViewBatch::new().put(KernelKey::UiHeader(&key).to_string(), record);
        self.root.transact(batch).await.map_err(storage)
    }

    /// Removes one; fine if there is none.
    pub(crate) async fn delete_ui_header(&self, name: &str) -> Result<(), Refusal> {
        let key = KernelKey::UiHeader(&name.to_ascii_lowercase()).to_string();
        self.root.delete(&key).await.map_err(storage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(origins: &[&str]) -> Result<Cors, Refusal> {
        Cors::checked(origins.iter().map(|origin| (*origin).to_owned()).collect(), Vec::new())
    }

    #[test]
    fn origins_are_whole_and_the_hidden_one_is_nobody() {
        let cors = checked(&["https://App.example.org", "http://[::1]:3000"]).unwrap();
        assert!(cors.allows("https://app.example.org") && cors.allows("http://[::1]:3000"));
        for origin in [
            "https://app.example.org.evil",
            "https://app.example.org:444",
            "http://app.example.org",
            "null",
            "",
        ] {
            assert!(!cors.allows(origin), "{origin}");
        }
        assert!(checked(&["*"]).unwrap().allows("https://any"));
        for bad in [
            &[][..],
            &["null"],
            &["*", "https://a"],
            &["app.example.org"],
            &["https://a/b"],
            &["https://"],
            &["https://a b"],
            &["file://x"],
        ] {
            assert!(checked(bad).is_err(), "{bad:?}");
        }
        assert!(Cors::checked(vec!["*".into()], vec!["X Y".into()]).is_err());
    }
}
