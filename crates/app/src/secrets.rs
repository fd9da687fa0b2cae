use std::fmt;
use std::sync::Arc;

use crate::core::Core;
use crate::credentials::{self, DatabaseCredentials};
use crate::document::Document;
use crate::engine::Message;
use crate::error::Error;
use crate::explain::{self, Explanation};
use crate::health::{self, Health};
use crate::local::What;
use crate::metrics;
use crate::settings::Settings;
use crate::source::Source;
use crate::start;
use crate::subscription::Subscription;
use crate::uses::{InUse, Meter};
use crate::value::Value;

/// An application's secrets. A clone is the same instance; when the last one drops, everything it holds is wiped.
///
/// All methods may be called from any thread, inside and outside of a runtime. Those that may wait for the server have
/// an `…_async` form, whose futures need no particular runtime.
#[derive(Clone)]
pub struct Secrets(Arc<Owner>);

struct Owner(Arc<Core>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.engines.close(true, false);
        self.0.shut();
    }
}

impl Secrets {
    /// Decides where the secrets come from (see [`Source`]), logs in, and reads everything that the manifest names. Waits
    /// for a server that does not answer, outside development, as long as the settings say.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for settings that cannot be worked with;
    /// [`ErrorKind::Refused`](crate::ErrorKind::Refused) if the rule of sources says not to start.
    pub fn open(settings: Settings) -> Result<Self, Error> {
        start::open(settings).map(|core| Self(Arc::new(Owner(core))))
    }

    /// The value of a variable of the manifest. If it is cached, as it nearly always is, nothing is waited for.
    ///
    /// # Errors
    /// Any [`ErrorKind`](crate::ErrorKind) but `Refused`.
    #[inline]
    pub fn get(&self, name: &str) -> Result<Value, Error> {
        self.core().get(What::Variable(name))
    }

    /// [`Secrets::get`], waiting without a thread.
    ///
    /// # Errors
    /// As there.
    pub async fn get_async(&self, name: &str) -> Result<Value, Error> {
        self.core().get_async(What::Variable(name)).await
    }

    /// A field of a document below `<mount>/<environment>/`, whether the manifest names it or not.
    ///
    /// # Errors
    /// As [`Secrets::get`].
    pub fn get_field(&self, path: &str, field: &str) -> Result<Value, Error> {
        self.core().get(What::Field(path, field))
    }

    /// [`Secrets::get_field`], waiting without a thread.
    ///
    /// # Errors
    /// As there.
    pub async fn get_field_async(&self, path: &str, field: &str) -> Result<Value, Error> {
        self.core().get_async(What::Field(path, field)).await
    }

    /// All fields of one version of a document. Without a server: what the manifest places there.
    ///
    /// # Errors
    /// As [`Secrets::get`].
    pub fn document(&self, path: &str) -> Result<Arc<Document>, Error> {
        self.core().counted(self.core().document(path))
    }

    /// [`Secrets::document`], waiting without a thread.
    ///
    /// # Errors
    /// As there.
    pub async fn document_async(&self, path: &str) -> Result<Arc<Document>, Error> {
        let found = self.core().document_async(path).await;
        self.core().counted(found)
    }

    /// User, password and place of the PostgreSQL database: of the variable `DATABASE_URL`, else of the manifest's first
    /// one of that kind. All of it is from one snapshot.
    ///
    /// # Errors
    /// As [`Secrets::get`]; `NotFound` if there is no such variable, `Invalid` if its value is no address.
    pub fn database_credentials(&self) -> Result<DatabaseCredentials, Error> {
        self.database_credentials_of(&credentials::variable(self.core())?)
    }

    /// The same of a variable by name.
    ///
    /// # Errors
    /// As there.
    pub fn database_credentials_of(&self, name: &str) -> Result<DatabaseCredentials, Error> {
        credentials::of(&self.get(name)?, name)
    }

    /// [`Secrets::database_credentials`], waiting without a thread.
    ///
    /// # Errors
    /// As there.
    pub async fn database_credentials_async(&self) -> Result<DatabaseCredentials, Error> {
        let name = credentials::variable(self.core())?;
        credentials::of(&self.get_async(&name).await?, &name)
    }

    /// Where the secrets come from.
    #[must_use]
    pub fn source(&self) -> Source {
        self.core().facts.source
    }

    /// The manifest's name for the environment: `dev`, `staging`, `prod`.
    #[must_use]
    pub fn environment(&self) -> &str {
        &self.core().facts.environment
    }

    /// How everything is, without values.
    #[must_use]
    pub fn health(&self) -> Health {
        health::of(self.core())
    }

    /// The same as numbers, in Prometheus' text format 0.0.4.
    #[must_use]
    pub fn metrics(&self) -> String {
        metrics::text(self.core())
    }

    /// Where a variable's value came from, how old it is, which version. Never the value.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is no such variable.
    pub fn explain(&self, name: &str) -> Result<Explanation, Error> {
        explain::of(self.core(), name)
    }

    /// The manifest's variables, in its order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let entries = self.core().facts.manifest.iter().flat_map(coffre_manifest::Manifest::entries);
        entries.map(|entry| entry.name.clone()).collect()
    }

    /// Hears of values that change; from now on they are kept fresh without being read.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        let subscription = self.core().bells.subscribe();
        let _ = self.core().engines.send(self.core(), Message::Follow);
        subscription
    }

    /// Says that a document changed: it is asked for again at once, and served meanwhile. Of no consequence without a
    /// server.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if this is no path.
    pub fn invalidate(&self, path: &str) -> Result<(), Error> {
        self.invalidate_until(path, None)
    }

    /// The same, with the epoch that the document has now; who has that one already does nothing.
    ///
    /// # Errors
    /// As there.
    pub fn invalidate_until(&self, path: &str, epoch: Option<u64>) -> Result<(), Error> {
        if self.source() != Source::Vault {
            return Ok(());
        }
        let key = self.core().key(path)?;
        self.core().engines.send(self.core(), Message::Invalidate { key, epoch })
    }

    /// Says that something is about to be made with the credentials of a variable, or of a path, and used from then on: a
    /// connection. Ask for it before the credentials, and drop it with what was made. Rotation waits with the end of the
    /// old credentials until nothing uses them any more.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if this is neither a variable nor a path.
    pub fn in_use(&self, name: &str) -> Result<InUse, Error> {
        self.core().keys_of(name).map(|keys| InUse::begin(self.core(), keys))
    }

    /// Says that a login with the credentials of a variable, or of a path, was refused. Rotation takes it back if this
    /// happens more often than before.
    ///
    /// # Errors
    /// As [`Secrets::in_use`].
    pub fn login_refused(&self, name: &str) -> Result<(), Error> {
        let now = self.core().clock.boot();
        for key in self.core().keys_of(name)? {
            self.core().uses.refused(key, now);
        }
        self.core().engines.hint(Message::Used);
        Ok(())
    }

    /// Counts what this process decrypts with the keys of a variable, or of a path, from now on: all of it, or
    /// [`Meter::misses`] must be said. Rotation destroys an old key when nobody has used it for a while.
    ///
    /// # Errors
    /// As [`Secrets::in_use`].
    pub fn meter(&self, name: &str) -> Result<Meter, Error> {
        self.core().keys_of(name).map(|keys| Meter::begin(self.core(), keys))
    }

    /// Lets the background look at the clock again: after a leap of a clock that the settings gave.
    pub fn wake(&self) {
        let _ = self.core().engines.send(self.core(), Message::Wake);
    }

    /// To be called in a child after fork(2), where no background runs. Values are served until their bound; the first
    /// call that needs the server starts a new background with connections of its own. Leases and tokens stay the
    /// parent's: the child uses them, and neither renews nor revokes them. A child that does not call it is noticed by
    /// its process id at the same moments.
    pub fn after_fork_in_child(&self) {
        self.core().engines.forget_parent();
    }

    /// Wipes everything, tells the server to end our token and leases (waiting two seconds at most), and refuses from
    /// here on.
    pub fn close(&self) {
        self.core().engines.close(true, true);
        self.core().shut();
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.0.0
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("source", &self.source().name()).finish_non_exhaustive()
    }
}
