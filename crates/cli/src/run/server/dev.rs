use std::sync::Arc;

use coffre_core::Settings;
use coffre_http::{ForwardedFor, Limits, Listener};
use coffre_secret::SecretText;
use coffre_storage::Memory;
use tokio::net::TcpListener;

use super::log::Started;
use super::{serve, start};
use crate::args::Parsed;
use crate::outcome::{Failure, Outcome};
use crate::token_file;
use crate::world::World;

/// A development server: everything in memory, one share, unsealed, `secret/` mounted.
pub(crate) async fn run(world: &mut World, parsed: &Parsed, log: Started) -> Outcome {
    let from_env =
        |flag: &str, name: &str| parsed.one(flag).map(str::to_owned).or_else(|| world.env.var(name));
    let address = from_env("dev-listen-address", "VAULT_DEV_LISTEN_ADDRESS");
    let address = address.unwrap_or_else(|| "127.0.0.1:8200".into());
    let root = from_env("dev-root-token-id", "VAULT_DEV_ROOT_TOKEN_ID").map(SecretText::new);
    let socket = TcpListener::bind(&address).await.map_err(|error| {
        Failure::local(format!(
            "cannot listen on {address}: {error}. Choose another with -dev-listen-address."
        ))
    })?;
    let bound = socket.local_addr().map_err(|error| Failure::local(error.to_string()))?;
    let tls = if parsed.on("dev-tls") { Some(start::dev_certificate(parsed, bound)?) } else { None };
    if let Some((_, file)) = &tls {
        world.say(&format!("The certificate of this server: {}\n", file.display()));
    }
    let tls = tls.map(|(config, _)| config);
    let scheme = if tls.is_some() { "https" } else { "http" };
    let settings = Settings { api_addr: format!("{scheme}://{bound}"), ..Settings::default() };
    let store = Arc::new(Memory::new());
    let kernel = serve::kernel(store, settings);
    kernel.connect_log(&log.level, log.sink);
    let vault = kernel.start_dev(root).await.map_err(|refusal| Failure::local(refusal.to_string()))?;
    if !parsed.on("dev-no-store-token") {
        let home = world.home().map(|home| token_file::path(&home));
        if let Some(Err(text)) = home.map(|path| token_file::write(&path, &vault.root_token)) {
            world.warn(&format!("the root token was not stored: {text}"));
        }
    }
    announce(world, &format!("{scheme}://{bound}"), &vault);
    let listener = Listener { socket, tls, limits: Limits::default(), forwarded: ForwardedFor::default() };
    serve::serve(world, kernel, vec![listener], Vec::new(), None).await
}

fn announce(world: &mut World, address: &str, vault: &coffre_core::DevVault) {
    use base64::Engine as _;
    // EXPOSE: a development server tells its owner how to get in; nothing in it outlives the process.
    let key = base64::engine::general_purpose::STANDARD.encode(vault.unseal_key.expose());
    let token = vault.root_token.expose();
    world.say(&format!(
        "==> Server configuration:\n\n             Api Address: {address}\n                 Storage: inmem\n\n\
         WARNING! dev mode is enabled! In this mode, the server runs entirely in-memory\n\
         and starts unsealed with a single unseal key. Everything is lost when it stops.\n\n\
         You may need to set the following environment variables:\n\n    $ export VAULT_ADDR='{address}'\n\n\
         Unseal Key: {key}\nRoot Token: {token}\n"
    ));
    world.say("==> Vault server started! Log data will stream in below:\n");
    world.finish();
}
