//! The login, and the question whether its token may be renewed.
//!
//! Order: name and password have a form → is the name locked → hash, of the user or of nobody → networks (the kernel, with
//! the token's own). The first three know nothing of whether the user exists.

use coffre_api::userpass::{Login, LoginInput};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, LoginFacts, MountCx, RenewTerms, Reply, Serve, TokenGrant, storage};
use coffre_secret::SecretText;

use super::UserPass;
use super::hash::PasswordHash;
use super::model::{User, user_key};
use super::names::UserName;
use super::pool;
use crate::records::{read, to_json};

const GENERATION: &str = "generation";

impl Serve<Login> for UserPass {
    async fn serve(&self, cx: Cx<'_>, input: LoginInput) -> Result<Reply<Nothing>, Refusal> {
        let name = UserName::parse(&input.username)?;
        let password = input.password.filter(|password| !password.is_empty());
        let password = password.ok_or_else(|| Refusal::invalid("missing password"))?.into_secret();
        let attempt = cx.login_attempt(name.as_str()).await?;
        let user: Option<User> = read(cx.view()?, &user_key(name.as_str())).await?;
        let hash = user.as_ref().map_or_else(PasswordHash::decoy, |user| user.hash.clone());
        let (is_right, password) = pool::run(move || Ok((hash.verify(&password)?, password))).await?;
        let Some(user) = user.filter(|_| is_right) else {
            attempt.failed().await?;
            return Err(Refusal::invalid("invalid username or password"));
        };
        attempt.succeeded();
        if user.hash.is_imported() {
            replace_imported(cx, &user, password).await?;
        }
        let grant = user.token.grant(user.name.clone());
        Ok(Reply::login(TokenGrant {
            display_name: user.name.clone(),
            metadata: [("username".to_owned(), user.name)].into(),
            facts: [(GENERATION.to_owned(), user.generation)].into(),
            ..grant
        }))
    }
}

/// Keeps the password in our own form, unless it was changed meanwhile.
async fn replace_imported(cx: Cx<'_>, user: &User, password: SecretText) -> Result<(), Refusal> {
    let salt = PasswordHash::salt(cx.entropy())?;
    let hash = pool::run(move || PasswordHash::of(&password, salt)).await?;
    let (view, key) = (cx.view()?, user_key(&user.name));
    let _exclusive = cx.lock(&key).await;
    let now: Option<User> = read(view, &key).await?;
    if let Some(now) = now.filter(|now| now.hash == user.hash) {
        // EXPOSE: the barrier encrypts it.
        view.put(&key, to_json(&User { hash, ..now })?.expose()).await.map_err(storage)?;
    }
    Ok(())
}

/// The user's present terms. Refused once the user is gone or has other policies: the token would keep rights that a new
/// login does not give.
pub(super) async fn terms(cx: MountCx<'_>, login: &LoginFacts) -> Result<RenewTerms, Refusal> {
    let user: Option<User> = read(cx.view()?, &user_key(&login.alias)).await?;
    let generation = login.facts.get(GENERATION);
    let user = user.filter(|user| Some(&user.generation) == generation);
    let user = user.ok_or_else(|| Refusal::invalid("the user of this token does not exist any more"))?;
    if user.token.completed_policies() != login.policies {
        return Err(Refusal::invalid("the user's policies have changed: log in again"));
    }
    Ok(user.token.terms())
}
