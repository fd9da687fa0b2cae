//! What is on the server already, of that which a plan is about.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::error::Error;
use crate::plan::{Existing, Survey, Target};
use crate::vault::{Object, Place, Vault};

/// How many calls are under way at once.
pub(crate) const AT_ONCE: usize = 32;

/// Asks the server for everything that the plan is about. Writes nothing.
pub async fn survey<V: Vault>(vault: &V, target: &Target<'_>) -> Result<Survey, Error> {
    let mut found = Survey::default();
    for (object, _) in target.objects() {
        let state = state(vault, &object, &found).await?;
        found.objects.insert(object, state);
    }
    let mount = Object::Mount(target.manifest.mount().to_owned());
    if found.objects.get(&mount).cloned().flatten().as_deref() != Some("kv/2") {
        return Ok(found);
    }
    let asked = target.places().into_iter().map(|place| async move {
        let existing = existing(vault, &place).await?;
        Ok::<_, Error>((place, existing))
    });
    found.documents = stream::iter(asked).buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(found)
}

/// A role of an auth method that is not there needs no question, and some servers answer it with an error.
async fn state<V: Vault>(vault: &V, object: &Object, found: &Survey) -> Result<Option<String>, Error> {
    if let Object::Role { auth, .. } = object {
        let auth = found.objects.get(&Object::Auth(auth.clone())).cloned().flatten();
        if auth.as_deref() != Some("approle") {
            return Ok(None);
        }
    }
    vault
        .state(object)
        .await
        .map_err(Error::vault(format!("cannot look at {object}, and nothing was written")))
}

async fn existing<V: Vault>(vault: &V, place: &Place) -> Result<Existing, Error> {
    let doing = || format!("cannot look at {place}, and nothing was written");
    let standing = vault.standing(place).await.map_err(Error::vault(doing()))?;
    let document = if standing.version > 0 && !standing.gone {
        vault.read(place, Some(standing.version)).await.map_err(Error::vault(doing()))?
    } else {
        None
    };
    Ok(Existing { standing, document })
}
