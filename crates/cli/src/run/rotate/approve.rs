//! `rotate approve`: a person's consent to the destruction of an old encryption key.

use coffre_client::{Body, Client, ErrorKind};
use coffre_manifest::rotation::TargetKind;
use coffre_rotation::{Approval, Target as Name, WireDocument as _, paths};

use serde::Deserialize;

use super::desk;
use crate::args::Flag;
use crate::call::Call;
use crate::outcome::{Exit, Failure, Outcome};
use crate::run::migrate;

/// `rotate approve`
pub(crate) const APPROVE: &[Flag] = &[
    super::MANIFEST,
    super::ENVIRONMENT,
    Flag::one("generation", "Which old key: `rotate status` shows those that are left."),
    Flag::switch("withdraw", "Take the consent back."),
];

/// Of the answer about our own token.
#[derive(Default, Deserialize)]
struct Me {
    #[serde(default)]
    entity_id: String,
}

/// Writes it as whoever is logged in. No engine is opened: who consents need not be able to rotate. That nobody writes
/// another's consent is the server's doing: its policy fills in the entity of the token.
pub(crate) async fn approve(call: &mut Call) -> Outcome {
    let given = call.only_arg()?;
    let generation = call.parsed.one("generation").and_then(|text| text.parse::<u64>().ok());
    let generation = generation.filter(|generation| *generation > 0).ok_or_else(|| {
        Failure::local(
            "which old key? -generation=N; `coffre rotate status` shows the generations that are left",
        )
    })?;
    let (_, manifest) = desk::manifest(call)?;
    let environment = migrate::environment(call, &manifest)?;
    let target = manifest.target(&given).filter(|target| target.kind() == TargetKind::EncryptionKey);
    let target = target.ok_or_else(|| {
        Failure::local(format!(
            "{given} is no encryption key of the manifest; only such a key is destroyed with consent"
        ))
    })?;
    let name = Name::new(target.path()).map_err(|error| Failure::local(error.to_string()))?;
    let client = desk::log_in(call).await?.client();
    let entity = entity(call, &client).await?;
    let path = paths::approval(&environment, &name, generation, &entity);
    if call.parsed.on("withdraw") {
        let gone = client.kv2_delete(manifest.mount(), &path).await;
        gone.map_err(|error| call.failed("taking the consent back", &error))?;
        call.world
            .say(&format!("You do not consent to the destruction of generation {generation} of {name}."));
        return Ok(Exit::DONE);
    }
    let text = Approval::new(name.clone(), generation, &entity).write();
    let text = text.map_err(|error| Failure::local(error.to_string()))?;
    // A consent lasts for a while only: given again, it counts from now.
    let before = client.kv2_read(manifest.mount(), &path, None).await;
    let before = before.map_err(|error| call.failed("reading your former consent", &error))?;
    let cas = before.map_or(0, |entry| entry.version);
    let written = client.kv2_write(manifest.mount(), &path, Body::from_json_text(text), Some(cas)).await;
    written.map_err(|error| match error.kind() {
        ErrorKind::Conflict => {
            Failure::local("your consent was changed at the same moment; look, and try again")
        }
        _ => call.failed("consenting", &error),
    })?;
    call.world.say(&format!("You consent to the destruction of generation {generation} of {name}."));
    Ok(Exit::DONE)
}

/// Who the token is of.
async fn entity(call: &Call, client: &Client) -> Result<String, Failure> {
    let found = client.read("auth/token/lookup-self").await;
    let known = found.and_then(|found| found.map(|found| found.data::<Me>()).transpose());
    let entity =
        known.map_err(|error| call.failed("asking who you are", &error))?.unwrap_or_default().entity_id;
    if entity.is_empty() {
        return Err(Failure::local(
            "this token is nobody's (a root token, or one made by hand): log in as yourself, with `coffre login`",
        ));
    }
    Ok(entity)
}
