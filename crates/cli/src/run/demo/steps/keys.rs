//! Start, initialise, unseal, audit.

use coffre_secret::SecretText;

use super::Stage;
use super::super::screen::Told;
use super::super::server::{Keys, SHARES, Server, THRESHOLD};
use super::super::trouble::Trouble;

pub(crate) async fn start(stage: &Stage<'_>) -> Result<Told<Server>, Trouble> {
    let server = Server::start(stage.place, stage.around).await?;
    let proof = "coffre server: storage in one file, TLS with a certificate made for this run; it answers, \
                 and holds nothing yet.";
    Ok(Told::new(server, proof))
}

pub(crate) async fn init(server: &mut Server) -> Result<Told<Keys>, Trouble> {
    let keys = server.init().await?;
    if keys.shares.len() != SHARES || keys.root.is_empty() {
        return Err(Trouble::broken(format!("{} key shares were made", keys.shares.len())));
    }
    let proof = format!(
        "{SHARES} key shares, any {THRESHOLD} of which open the vault. Shares and root token stay in memory."
    );
    Ok(Told::new(keys, proof))
}

/// With the first shares that the iterator gives.
pub(crate) async fn unseal(
    server: &Server,
    shares: impl Iterator<Item = &SecretText>,
) -> Result<Told<()>, Trouble> {
    for (number, share) in shares.take(THRESHOLD).enumerate() {
        let sealed = server.unseal(share).await?;
        let wanted = number + 1 < THRESHOLD;
        if sealed != wanted {
            return Err(Trouble::broken(format!("after {} shares, sealed is {sealed}", number + 1)));
        }
    }
    Ok(Told::new((), format!("Still sealed after {} shares; the {THRESHOLD}rd opens it.", THRESHOLD - 1)))
}

pub(crate) async fn enable_audit(server: &Server) -> Result<Told<()>, Trouble> {
    server.enable_audit().await?;
    server.add_neighbour().await?;
    let entries = std::fs::read(server.audit_log()).map_err(|error| Trouble::file(server.audit_log(), &error))?;
    if entries.is_empty() {
        return Err(Trouble::broken("nothing was recorded"));
    }
    let proof = "A file device: from here on nothing is answered that was not recorded first. Another team's \
                 secret is put in, which nobody may touch.";
    Ok(Told::new((), proof))
}
