//! Start, initialise, unseal, audit.

use coffre_secret::SecretText;

use super::super::screen::Told;
use super::super::server::{Keys, SHARES, Server, THRESHOLD};
use super::super::trouble::Trouble;
use super::Stage;

pub(crate) async fn start(stage: &Stage<'_>) -> Result<Told<Server>, Trouble> {
    let server = Server::start(stage.place, stage.around).await?;
    let proof = "A server of its own: storage in one file, TLS; it answers, and holds nothing yet.";
    Ok(Told::new(server, proof))
}

pub(crate) async fn init(server: &mut Server) -> Result<Told<Keys>, Trouble> {
    let keys = server.init().await?;
    if keys.shares.len() != SHARES || keys.root.is_empty() {
        return Err(Trouble::broken(format!("{} key shares were made", keys.shares.len())));
    }
    let proof = format!(
        "{SHARES} key shares, any {THRESHOLD} open the vault; they and the root token stay in memory."
    );
    Ok(Told::new(keys, proof))
}

pub(crate) async fn unseal(server: &Server, keys: &Keys) -> Result<Told<()>, Trouble> {
    with_shares(server, keys.shares.iter()).await?;
    Ok(Told::new((), format!("Still sealed after {} shares; the {THRESHOLD}rd opens it.", THRESHOLD - 1)))
}

pub(crate) async fn unseal_again(server: &Server, keys: &Keys) -> Result<Told<()>, Trouble> {
    with_shares(server, keys.shares.iter().rev()).await?;
    Ok(Told::new(
        (),
        format!("{THRESHOLD} shares from the other end open it as well; everything is still there."),
    ))
}

async fn with_shares<'k>(
    server: &Server,
    shares: impl Iterator<Item = &'k SecretText>,
) -> Result<(), Trouble> {
    for (number, share) in shares.take(THRESHOLD).enumerate() {
        let sealed = server.unseal(share).await?;
        let wanted = number + 1 < THRESHOLD;
        if sealed != wanted {
            return Err(Trouble::broken(format!("after {} shares, sealed is {sealed}", number + 1)));
        }
    }
    Ok(())
}

pub(crate) async fn enable_audit(server: &Server) -> Result<Told<()>, Trouble> {
    server.enable_audit().await?;
    server.add_neighbour().await?;
    let entries =
        std::fs::read(server.audit_log()).map_err(|error| Trouble::file(server.audit_log(), &error))?;
    if entries.is_empty() {
        return Err(Trouble::broken("nothing was recorded"));
    }
    let proof = "A file device is on: no answer leaves unrecorded. Another team's secret is put in.";
    Ok(Told::new((), proof))
}
