//! Users: written, read, deleted, listed. The lock of a user is its key in the storage.

use coffre_ambient::ids;
use coffre_api::coerce::CommaList;
use coffre_api::userpass::{
    DeleteUser, Keys, ListUsers, ReadUser, UserName as Named, WritePassword, WritePasswordInput,
    WritePolicies, WritePoliciesInput, WriteUser, WriteUserInput,
};
use coffre_api::{Nothing, Refusal, SecretField, TokenSettingsInput, TokenSettingsOutput};
use coffre_engine::{Cx, Exists, ReadCx, Reply, Serve, storage};
use coffre_policy::Existence;

use super::UserPass;
use super::hash::PasswordHash;
use super::model::{USERS, User, user_key};
use super::names::UserName;
use super::pool;
use crate::records::{names, read, to_json};
use crate::token_settings::TokenSettings;

/// Bytes of randomness in a generation.
const GENERATION: usize = 16;

impl Serve<WriteUser> for UserPass {
    async fn serve(&self, cx: Cx<'_>, mut input: WriteUserInput) -> Result<Reply<Nothing>, Refusal> {
        let name = UserName::parse(&input.username)?;
        let token = input.take_token_settings();
        // Hashed before the lock is taken: it is slow.
        let hash = hash_of(cx, input.password, input.password_hash).await?;
        let (view, key) = (cx.view()?, user_key(name.as_str()));
        let _exclusive = cx.lock(&key).await;
        let old: Option<User> = read(view, &key).await?;
        let mut user = match (old, hash) {
            (Some(old), None) => old,
            (Some(old), Some(hash)) => User { hash, ..old },
            (None, Some(hash)) => User {
                name: name.as_str().to_owned(),
                generation: ids::hex(cx.entropy(), GENERATION).map_err(Refusal::bug)?,
                hash,
                token: TokenSettings::default(),
            },
            (None, None) => return Err(missing_password()),
        };
        user.token.apply(token)?;
        user.token.check()?;
        save(cx, &user).await?;
        Ok(Reply::empty().warn_all(user.token.warnings(cx.mount())))
    }
}

impl Exists<WriteUser> for UserPass {
    async fn exists(&self, cx: ReadCx<'_>, input: WriteUserInput) -> Result<Existence, Refusal> {
        let Ok(name) = UserName::parse(&input.username) else { return Ok(Existence::Unknown) };
        let found = cx.view().get(&user_key(name.as_str())).await.map_err(storage)?;
        Ok(if found.is_some() { Existence::Exists } else { Existence::Missing })
    }
}

impl Serve<ReadUser> for UserPass {
    async fn serve(&self, cx: Cx<'_>, input: Named) -> Result<Reply<TokenSettingsOutput>, Refusal> {
        let name = UserName::parse(&input.username)?;
        let user: Option<User> = read(cx.view()?, &user_key(name.as_str())).await?;
        Ok(user.map_or_else(Reply::missing, |user| Reply::data(user.token.shown())))
    }
}

impl Serve<DeleteUser> for UserPass {
    async fn serve(&self, cx: Cx<'_>, input: Named) -> Result<Reply<Nothing>, Refusal> {
        let key = user_key(UserName::parse(&input.username)?.as_str());
        let _exclusive = cx.lock(&key).await;
        cx.view()?.delete(&key).await.map_err(storage)?;
        Ok(Reply::empty())
    }
}

impl Serve<ListUsers> for UserPass {
    async fn serve(&self, cx: Cx<'_>, _: Nothing) -> Result<Reply<Keys>, Refusal> {
        let keys = names(cx.view()?, USERS, cx.page()).await?;
        Ok(if keys.is_empty() { Reply::missing() } else { Reply::data(Keys { keys }) })
    }
}

impl Serve<WritePassword> for UserPass {
    async fn serve(&self, cx: Cx<'_>, input: WritePasswordInput) -> Result<Reply<Nothing>, Refusal> {
        let name = UserName::parse(&input.username)?;
        let hash = hash_of(cx, input.password, input.password_hash).await?.ok_or_else(missing_password)?;
        change(cx, &name, |user| {
            user.hash = hash;
            Ok(())
        })
        .await
    }
}

impl Serve<WritePolicies> for UserPass {
    async fn serve(&self, cx: Cx<'_>, input: WritePoliciesInput) -> Result<Reply<Nothing>, Refusal> {
        let name = UserName::parse(&input.username)?;
        let nothing_sent = input.token_policies.is_none() && input.policies.is_none();
        let token = TokenSettingsInput {
            // An empty request takes all policies away, as in Vault.
            token_policies: input.token_policies.or_else(|| nothing_sent.then(|| CommaList(Vec::new()))),
            policies: input.policies,
            ..TokenSettingsInput::default()
        };
        change(cx, &name, |user| user.token.apply(token)).await
    }
}

/// Changes a user that exists.
async fn change(
    cx: Cx<'_>,
    name: &UserName,
    change: impl FnOnce(&mut User) -> Result<(), Refusal>,
) -> Result<Reply<Nothing>, Refusal> {
    let key = user_key(name.as_str());
    let _exclusive = cx.lock(&key).await;
    let user: Option<User> = read(cx.view()?, &key).await?;
    let mut user = user.ok_or_else(|| {
        Refusal::missing_because("username does not exist: make the user first with a write to users/<name>")
    })?;
    change(&mut user)?;
    save(cx, &user).await?;
    Ok(Reply::empty())
}

/// Stores a user. The caller holds the user's lock.
async fn save(cx: Cx<'_>, user: &User) -> Result<(), Refusal> {
    // EXPOSE: the barrier encrypts it.
    cx.view()?.put(&user_key(&user.name), to_json(user)?.expose()).await.map_err(storage)
}

/// The hash that was asked for: of a password, or one from elsewhere.
async fn hash_of(
    cx: Cx<'_>,
    password: Option<SecretField>,
    imported: Option<SecretField>,
) -> Result<Option<PasswordHash>, Refusal> {
    match (password, imported) {
        (Some(_), Some(_)) => {
            Err(Refusal::invalid("password and password_hash exclude each other: give one"))
        }
        (Some(password), None) if password.is_empty() => Err(missing_password()),
        (Some(password), None) => {
            let salt = PasswordHash::salt(cx.entropy())?;
            let password = password.into_secret();
            pool::run(move || PasswordHash::of(&password, salt)).await.map(Some)
        }
        // EXPOSE: a hash; parsed and kept.
        (None, Some(text)) => PasswordHash::imported(text.expose()).map(Some),
        (None, None) => Ok(None),
    }
}

fn missing_password() -> Refusal {
    Refusal::invalid("missing password")
}
