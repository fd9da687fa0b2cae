//! vaultrs against a fresh server: each of its core calls, and what comes back.
//!
//! Reads `VAULT_ADDR`, `VAULT_CACERT`, `VAULT_TOKEN` and `UNSEAL_KEYS` (comma-separated). The last line is the count.

use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::process::ExitCode;

use serde_json::{Value, json};
use vaultrs::api::auth::approle::requests::SetAppRoleRequest;
use vaultrs::api::auth::userpass::requests::CreateUserRequest;
use vaultrs::api::identity::entity::requests::CreateEntityRequest;
use vaultrs::api::kv2::requests::{SetSecretMetadataRequest, SetSecretRequestOptions};
use vaultrs::api::sys::requests::EnableEngineRequest;
use vaultrs::api::token::requests::{CreateTokenRequest, SetTokenRoleRequest};
use vaultrs::client::{VaultClient, VaultClientSettingsBuilder};
use vaultrs::error::ClientError;
use vaultrs::{auth, identity, kv1, kv2, sys, token};

type Done = Result<(), Box<dyn Error>>;

#[derive(Default)]
struct Count {
    passed: u32,
    failed: u32,
}

impl Count {
    fn check(&mut self, name: &str, done: Done) {
        match done {
            Ok(()) => self.passed += 1,
            Err(error) => {
                self.failed += 1;
                println!("FAILED {name}: {error}");
                let mut cause = error.source();
                while let Some(error) = cause {
                    println!("    {error}");
                    cause = error.source();
                }
            }
        }
    }
}

/// Fails with both values unless they are equal.
fn want<T: PartialEq + std::fmt::Debug>(got: T, wanted: T) -> Done {
    if got == wanted { Ok(()) } else { Err(format!("got {got:?}, want {wanted:?}").into()) }
}

/// Fails unless the server refused with this status code.
fn want_status<T>(answer: Result<T, ClientError>, wanted: u16) -> Done {
    match answer {
        Ok(_) => Err("it was not refused".into()),
        Err(ClientError::APIError { code, .. }) => want(code, wanted),
        Err(other) => Err(other.into()),
    }
}

fn connect(token: &str) -> VaultClient {
    let settings = VaultClientSettingsBuilder::default()
        .address(env::var("VAULT_ADDR").unwrap())
        .ca_certs(vec![env::var("VAULT_CACERT").unwrap()])
        .token(token)
        .build();
    VaultClient::new(settings.unwrap()).unwrap()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let vault = connect(&env::var("VAULT_TOKEN").unwrap());
    let shares: Vec<String> = env::var("UNSEAL_KEYS").unwrap().split(',').map(str::to_owned).collect();
    let mut count = Count::default();
    count.check("health", health(&vault).await);
    count.check("mounts", mounts(&vault).await);
    count.check("remount", remount(&vault).await);
    count.check("auth methods", methods(&vault).await);
    count.check("policies", policies(&vault).await);
    count.check("kv 1", kv_one(&vault).await);
    count.check("kv 2", kv_two(&vault).await);
    count.check("kv 2 settings", kv_two_settings(&vault).await);
    count.check("wrapping", wrapping(&vault).await);
    count.check("random", random(&vault).await);
    count.check("tokens", tokens(&vault).await);
    count.check("accessors", accessors(&vault).await);
    count.check("orphans", orphans(&vault).await);
    count.check("token roles", roles(&vault).await);
    count.check("token tidy", token::tidy(&vault).await.map_err(Into::into));
    count.check("approle", approle(&vault).await);
    count.check("userpass", userpass(&vault).await);
    count.check("entities", entities(&vault).await);
    count.check("seal and unseal", sealing(&vault, &shares).await);
    println!("{} passed, {} failed, 0 skipped", count.passed, count.failed);
    if count.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

async fn health(vault: &VaultClient) -> Done {
    let health = sys::health(vault).await?;
    want((health.initialized, health.sealed, health.standby), (true, false, false))?;
    want(format!("{:?}", sys::status(vault).await?), "OK".to_owned())
}

async fn mounts(vault: &VaultClient) -> Done {
    let mut options = EnableEngineRequest::builder();
    options.description("first").options(HashMap::from([("version".to_owned(), "1".to_owned())]));
    sys::mount::enable(vault, "one", "kv", Some(&mut options)).await?;
    let all = sys::mount::list(vault).await?;
    want(all.get("one/").map(|mount| mount.description.clone()), Some("first".to_owned()))?;
    want(sys::mount::get_configuration_of_a_secret_engine(vault, "one").await?.mount_type, "kv".to_owned())?;
    want_status(sys::mount::enable(vault, "one", "kv", None).await, 400)?;
    sys::mount::disable(vault, "one").await?;
    Ok(())
}

async fn remount(vault: &VaultClient) -> Done {
    sys::mount::enable(vault, "from", "kv", None).await?;
    let answer = sys::remount::remount(vault, "from", "to").await?;
    let status = sys::remount::remount_status(vault, &answer.migration_id).await?;
    want(status.migration_info.status, "success".to_owned())?;
    sys::mount::disable(vault, "to").await?;
    Ok(())
}

async fn methods(vault: &VaultClient) -> Done {
    sys::auth::enable(vault, "robots", "approle", None).await?;
    let all = sys::auth::list(vault).await?;
    want(all.get("robots/").map(|method| method.mount_type.clone()), Some("approle".to_owned()))?;
    sys::auth::disable(vault, "robots").await?;
    Ok(())
}

async fn policies(vault: &VaultClient) -> Done {
    let text = r#"path "secret/*" { capabilities = ["read"] }"#;
    sys::policy::set(vault, "reader", text).await?;
    want(sys::policy::read(vault, "reader").await?.rules, text.to_owned())?;
    want(sys::policy::list(vault).await?.policies.contains(&"reader".to_owned()), true)?;
    sys::policy::delete(vault, "reader").await?;
    want_status(sys::policy::read(vault, "reader").await, 404)
}

async fn kv_one(vault: &VaultClient) -> Done {
    let mut options = EnableEngineRequest::builder();
    options.options(HashMap::from([("version".to_owned(), "1".to_owned())]));
    sys::mount::enable(vault, "kv1", "kv", Some(&mut options)).await?;
    kv1::set(vault, "kv1", "app/db", &HashMap::from([("user", "a")])).await?;
    let read: HashMap<String, String> = kv1::get(vault, "kv1", "app/db").await?;
    want(read.get("user").map(String::as_str), Some("a"))?;
    want(kv1::list(vault, "kv1", "app").await?.data.keys, vec!["db".to_owned()])?;
    kv1::delete(vault, "kv1", "app/db").await?;
    want_status(kv1::get::<Value>(vault, "kv1", "app/db").await, 404)
}

async fn kv_two(vault: &VaultClient) -> Done {
    sys::mount::enable(vault, "kv2", "kv-v2", None).await?;
    let options = SetSecretRequestOptions { cas: 0 };
    want(kv2::set_with_options(vault, "kv2", "app", &json!({"n": 1}), options).await?.version, 1)?;
    let options = SetSecretRequestOptions { cas: 0 };
    want_status(kv2::set_with_options(vault, "kv2", "app", &json!({"n": 2}), options).await, 400)?;
    want(kv2::set(vault, "kv2", "app", &json!({"n": 2})).await?.version, 2)?;
    want(kv2::read::<Value>(vault, "kv2", "app").await?, json!({"n": 2}))?;
    want(kv2::read_version::<Value>(vault, "kv2", "app", 1).await?, json!({"n": 1}))?;
    want(kv2::list(vault, "kv2", "").await?, vec!["app".to_owned()])?;
    kv2::delete_latest(vault, "kv2", "app").await?;
    kv2::undelete_versions(vault, "kv2", "app", vec![2]).await?;
    kv2::delete_versions(vault, "kv2", "app", vec![1]).await?;
    kv2::destroy_versions(vault, "kv2", "app", vec![1]).await?;
    let metadata = kv2::read_metadata(vault, "kv2", "app").await?;
    want(metadata.versions.get("1").map(|version| version.destroyed), Some(true))?;
    kv2::delete_metadata(vault, "kv2", "app").await?;
    want_status(kv2::read::<Value>(vault, "kv2", "app").await, 404)
}

async fn kv_two_settings(vault: &VaultClient) -> Done {
    kv2::config::set(vault, "kv2", None).await?;
    kv2::config::read(vault, "kv2").await?;
    let mut options = SetSecretMetadataRequest::builder();
    kv2::set_metadata(vault, "kv2", "bounded", Some(options.max_versions(3_u64))).await?;
    want(kv2::read_metadata(vault, "kv2", "bounded").await?.max_versions, 3)
}

async fn wrapping(vault: &VaultClient) -> Done {
    use vaultrs::api::{ResponseWrapper as _, sys::requests::ListMountsRequest};
    let wrapped = ListMountsRequest::builder().build()?.wrap(vault).await?;
    let looked = sys::wrapping::lookup(vault, &wrapped.info.token).await?;
    want(looked.creation_path, "sys/mounts".to_owned())?;
    wrapped.unwrap(vault).await?;
    want_status(sys::wrapping::unwrap::<Value>(vault, Some(&wrapped.info.token)).await, 400)
}

async fn random(vault: &VaultClient) -> Done {
    want(sys::tools::random(vault, None).await?.random_bytes.len(), 44)
}

async fn tokens(vault: &VaultClient) -> Done {
    let mut options = CreateTokenRequest::builder();
    options.policies(vec!["default".to_owned()]).ttl("1h").display_name("vaultrs");
    let made = token::new(vault, Some(&mut options)).await?;
    let found = token::lookup(vault, &made.client_token).await?;
    want((found.display_name.as_str(), found.num_uses), ("token-vaultrs", 0))?;
    want(token::renew(vault, &made.client_token, Some("10m")).await?.lease_duration, 600)?;
    let own = connect(&made.client_token);
    want(token::lookup_self(&own).await?.policies, vec!["default".to_owned()])?;
    token::renew_self(&own, Some("5m")).await?;
    token::revoke_self(&own).await?;
    want_status(token::lookup(vault, &made.client_token).await, 403)
}

async fn accessors(vault: &VaultClient) -> Done {
    let made = token::new(vault, None).await?;
    want(token::lookup_accessor(vault, &made.accessor).await?.id, String::new())?;
    token::revoke_accessor(vault, &made.accessor).await?;
    want_status(token::lookup(vault, &made.client_token).await, 403)?;
    let bounded = token::new(vault, Some(CreateTokenRequest::builder().ttl("1h"))).await?;
    want(token::renew_accessor(vault, &bounded.accessor, None).await?.client_token, String::new())?;
    token::revoke(vault, &bounded.client_token).await?;
    Ok(())
}

async fn orphans(vault: &VaultClient) -> Done {
    let parent = token::new_orphan(vault, None).await?;
    want(parent.orphan, true)?;
    let child = token::new(&connect(&parent.client_token), None).await?;
    token::revoke_orphan(vault, &parent.client_token).await?;
    want(token::lookup(vault, &child.client_token).await?.orphan, true)?;
    token::revoke(vault, &child.client_token).await?;
    Ok(())
}

async fn roles(vault: &VaultClient) -> Done {
    let mut options = SetTokenRoleRequest::builder();
    options.allowed_policies(vec!["default".to_owned()]).orphan(true);
    token::role::set(vault, "robot", Some(&mut options)).await?;
    want(token::role::list(vault).await?.keys, vec!["robot".to_owned()])?;
    want(token::role::read(vault, "robot").await?.orphan, true)?;
    want(token::new_role(vault, "robot", None).await?.orphan, true)?;
    token::role::delete(vault, "robot").await?;
    want_status(token::role::read(vault, "robot").await, 404)
}

async fn approle(vault: &VaultClient) -> Done {
    sys::auth::enable(vault, "approle", "approle", None).await?;
    let mut options = SetAppRoleRequest::builder();
    options.token_policies(vec!["default".to_owned()]).token_ttl("20m");
    auth::approle::role::set(vault, "approle", "app", Some(&mut options)).await?;
    want(auth::approle::role::list(vault, "approle").await?.keys, vec!["app".to_owned()])?;
    want(auth::approle::role::read(vault, "approle", "app").await?.token_ttl, 1200)?;
    let id = auth::approle::role::read_id(vault, "approle", "app").await?.role_id;
    let secret = auth::approle::role::secret::generate(vault, "approle", "app", None).await?;
    let login = auth::approle::login(vault, "approle", &id, &secret.secret_id).await?;
    want(login.lease_duration, 1200)?;
    let found =
        auth::approle::role::secret::read_accessor(vault, "approle", "app", &secret.secret_id_accessor).await?;
    want(found.secret_id_accessor.clone(), secret.secret_id_accessor.clone())?;
    want(auth::approle::role::secret::list(vault, "approle", "app").await?.keys.len(), 1)?;
    auth::approle::role::secret::delete(vault, "approle", "app", &secret.secret_id).await?;
    want_status(auth::approle::login(vault, "approle", &id, &secret.secret_id).await, 400)?;
    auth::approle::tidy(vault, "approle").await?;
    Ok(())
}

async fn userpass(vault: &VaultClient) -> Done {
    sys::auth::enable(vault, "userpass", "userpass", None).await?;
    let mut options = CreateUserRequest::builder();
    options.token_policies(vec!["default".to_owned()]);
    auth::userpass::user::set(vault, "userpass", "ada", "correct horse", Some(&mut options)).await?;
    want(auth::userpass::user::list(vault, "userpass").await?.keys, vec!["ada".to_owned()])?;
    auth::userpass::user::read(vault, "userpass", "ada").await?;
    auth::userpass::login(vault, "userpass", "ada", "correct horse").await?;
    auth::userpass::user::update_password(vault, "userpass", "ada", "battery staple").await?;
    auth::userpass::user::update_policies(vault, "userpass", "ada", "default").await?;
    want_status(auth::userpass::login(vault, "userpass", "ada", "correct horse").await, 400)?;
    auth::userpass::user::delete(vault, "userpass", "ada").await?;
    want_status(auth::userpass::user::read(vault, "userpass", "ada").await, 404)
}

async fn entities(vault: &VaultClient) -> Done {
    let mut options = CreateEntityRequest::builder();
    options.name("ada").policies(vec!["default".to_owned()]);
    let made = identity::entity::create(vault, Some(&mut options)).await?;
    let read = identity::entity::read_by_name(vault, "ada").await?;
    want(read.id.clone(), made.id.clone())?;
    want(identity::entity::read_by_id(vault, &made.id).await?.name, "ada".to_owned())?;
    want(identity::entity::list_by_name(vault).await?.keys.contains(&"ada".to_owned()), true)?;
    identity::entity::create_or_update_by_name(vault, "bob", None).await?;
    let bob = identity::entity::read_by_name(vault, "bob").await?;
    identity::entity::merge(vault, vec![bob.id], made.id.clone(), None).await?;
    identity::entity::delete_by_id(vault, &made.id).await?;
    want_status(identity::entity::read_by_id(vault, &made.id).await, 404)
}

async fn sealing(vault: &VaultClient, shares: &[String]) -> Done {
    sys::seal(vault).await?;
    want(format!("{:?}", sys::status(vault).await?), "SEALED".to_owned())?;
    for share in shares.iter().take(3) {
        sys::unseal(vault, Some(share.clone()), None, None).await?;
    }
    want(format!("{:?}", sys::status(vault).await?), "OK".to_owned())
}
