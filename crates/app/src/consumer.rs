//! Who this process is, for a rotation.

use std::sync::Arc;

use coffre_rotation::ConsumerId;

use crate::core::Core;
use crate::settings::Settings;

/// The service is `COFFRE_SERVICE`, or the manifest's application.
pub(crate) fn id(core: &Arc<Core>, settings: &Settings) -> ConsumerId {
    let app = core.facts.manifest.as_ref().map(|manifest| manifest.app().to_owned());
    let service = settings.stated("SERVICE").or(app).unwrap_or_default();
    coffre_source::consumer::id(&service, Some(core.id))
}
