//! Break glass: material that is no longer in use, read by a person who says why.

use coffre_rotation::Target as Name;
use coffre_rotation::machine::Command;
use coffre_secret::SecretText;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{Document, Failure, Rotator};

/// A reason that says something.
const SHORTEST: usize = 4;

/// The keys of a ring, as far as they are looked for.
#[derive(Deserialize, Default)]
struct Keys {
    #[serde(default)]
    keys: Vec<Map<String, Value>>,
}

impl Rotator {
    /// The material of a generation that is not the active one, as long as it is not destroyed. That it was read, by whom
    /// and why, is in the record and the history before it is given.
    ///
    /// # Errors
    /// No reason; the generation in use; one of which nothing is left; what could not be read or written.
    pub async fn break_glass(&self, name: &Name, gen_no: u64, why: &str) -> Result<SecretText, Failure> {
        let why: String = why.trim().chars().filter(|c| !c.is_control()).take(500).collect();
        if why.chars().count() < SHORTEST {
            return Err(Failure::config("reading an old secret needs a reason")
                .advise("Say why, for whoever reads the history: -why=\"restore of the backup of May\"."));
        }
        let target = self.target(name)?;
        let turn = self.turn(name).await;
        let read = self.read(target).await?;
        let record = read.record.value.as_ref().ok_or_else(|| Failure::conflict("the record is gone"))?;
        if record.active == gen_no {
            return Err(Failure::config(format!("generation {gen_no} of {name} is the one in use"))
                .advise("Read the document as any other, with `kv get`."));
        }
        let ring = read.document.value.as_ref().and_then(|document| in_ring(document, gen_no));
        let kept =
            || record.retiring_gen(gen_no).and_then(|old| old.material.as_ref()).map(SecretText::duplicate);
        let found = match ring.or_else(kept) {
            Some(found) => Some(found),
            None => {
                self.earlier(target, gen_no).await?.as_ref().and_then(|earlier| of_document(earlier, gen_no))
            }
        };
        let found = found.ok_or_else(|| {
            Failure::config(format!("nothing is left of generation {gen_no} of {name}"))
                .advise("It never was, was destroyed, or fell out of the versions that are kept: see `coffre rotate history`.")
        })?;
        drop(turn);
        self.wish(name, || Command::Reveal { gen_no, why: why.clone() }).await?;
        Ok(found)
    }
}

/// A key of that generation in a ring.
fn in_ring(document: &Document, gen_no: u64) -> Option<SecretText> {
    let ring: Keys = document.decode().ok()?;
    let key = ring.keys.iter().find(|key| key.get("gen").and_then(Value::as_u64) == Some(gen_no))?;
    key.get("mat").and_then(Value::as_str).map(SecretText::from)
}

/// What a document in which the generation was active holds: its key, else its password, else its value.
fn of_document(document: &Document, gen_no: u64) -> Option<SecretText> {
    let password = || document.field("password").or_else(|| document.field("value"));
    in_ring(document, gen_no).or_else(password)
}
