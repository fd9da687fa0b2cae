//! The login, and the question whether its token may be renewed.

use std::collections::BTreeMap;

use coffre_api::kubernetes::{Login, LoginInput};
use coffre_api::{Kind, Nothing, Refusal};
use coffre_engine::{Cx, LoginFacts, MountCx, RenewTerms, Reply, Serve, TokenGrant};

use super::Kubernetes;
use super::jwt::{Account, Wanted, check, claimed};
use super::model::{AliasSource, CONFIG, Config, Role, role_key, role_name};
use super::review::{Question, ReviewError};
use crate::network::admits;
use crate::records::read;

/// Who issues tokens in a cluster that was set up without saying otherwise.
const DEFAULT_ISSUER: &str = "kubernetes/serviceaccount";
const ROLE: &str = "role";
const GENERATION: &str = "generation";

impl Serve<Login> for Kubernetes {
    async fn serve(&self, cx: Cx<'_>, input: LoginInput) -> Result<Reply<Nothing>, Refusal> {
        let name =
            input.role.filter(|name| !name.is_empty()).ok_or_else(|| Refusal::invalid("missing role"))?;
        let jwt = input.jwt.filter(|jwt| !jwt.is_empty()).ok_or_else(|| Refusal::invalid("missing jwt"))?;
        let (name, view) = (role_name(&name)?, cx.view()?);
        let role: Option<Role> = read(view, &role_key(&name)).await?;
        // Names of roles are no secret here: clients look for this text. It is canonical, so it can be quoted.
        let role = role.ok_or_else(|| Refusal::invalid(format!("invalid role name \"{name}\"")))?;
        let config: Option<Config> = read(view, CONFIG).await?;
        let config = config
            .ok_or_else(|| Refusal::invalid("could not load backend configuration: write config first"))?;
        if !admits(&role.token.bound_cidrs, cx.peer()) {
            return Err(Refusal::denied());
        }
        let issuer = if config.issuer.is_empty() { DEFAULT_ISSUER } else { &config.issuer };
        let issuer = (!config.disable_iss_validation).then_some(issuer);
        let wanted = Wanted { audience: &role.audience, issuer, now: cx.now() };
        // EXPOSE: checked here, or by the cluster.
        let jwt = jwt.expose().trim();
        let is_local = !config.pem_keys.is_empty();
        let account = if is_local { check(jwt, &config.pem_keys, &wanted) } else { claimed(jwt, &wanted) };
        let account = account.filter(|account| role.admits(account)).ok_or_else(Refusal::denied)?;
        if !is_local {
            self.ask(&config, &role, jwt, &account).await?;
        }
        Ok(Reply::login(grant(&role, account)))
    }
}

impl Kubernetes {
    /// Whether the cluster vouches for what a token claims. Tokens whose own claims could never do are not asked about.
    async fn ask(&self, config: &Config, role: &Role, jwt: &str, claimed: &Account) -> Result<(), Refusal> {
        let reviewer = self.reviewer.as_ref().ok_or_else(|| {
            Refusal::new(Kind::Denied, "this server cannot ask API servers: write pem_keys to the config")
        })?;
        let audience = Some(role.audience.as_str()).filter(|audience| !audience.is_empty());
        let question = Question {
            host: &config.host,
            ca_pem: &config.ca_cert,
            reviewer: &config.reviewer_jwt,
            may_use_pod: !config.disable_local_ca_jwt,
            token: jwt,
            audience,
        };
        let review = match reviewer.review(question).await {
            Ok(review) => review,
            Err(ReviewError::Busy) => return Err(Refusal::new(Kind::Busy, ReviewError::Busy.to_string())),
            Err(error) => return Err(Refusal::new(Kind::Upstream, error.to_string())),
        };
        let is_for_us = audience.is_none_or(|wanted| review.audiences.iter().any(|aud| aud == wanted));
        let is_theirs = review.username == claimed.user() && review.uid == claimed.uid;
        (review.authenticated && is_for_us && is_theirs).then_some(()).ok_or_else(Refusal::denied)
    }
}

impl Role {
    fn admits(&self, account: &Account) -> bool {
        let is_bound = |list: &[String], name: &str| list.iter().any(|item| item == "*" || item == name);
        is_bound(&self.names, &account.name) && is_bound(&self.namespaces, &account.namespace)
    }
}

fn grant(role: &Role, account: Account) -> TokenGrant {
    let alias = match role.alias {
        AliasSource::Uid => account.uid.clone(),
        AliasSource::Name => format!("{}/{}", account.namespace, account.name),
    };
    TokenGrant {
        display_name: format!("{}-{}", account.namespace, account.name),
        metadata: BTreeMap::from([
            ("service_account_name".to_owned(), account.name),
            ("service_account_namespace".to_owned(), account.namespace),
            ("service_account_uid".to_owned(), account.uid),
            ("service_account_secret_name".to_owned(), account.secret),
            (ROLE.to_owned(), role.name.clone()),
        ]),
        facts: BTreeMap::from([
            (ROLE.to_owned(), role.name.clone()),
            (GENERATION.to_owned(), role.generation.clone()),
        ]),
        ..role.token.grant(alias)
    }
}

/// The role's present terms. A role that was deleted ends the renewals of its tokens.
pub(super) async fn terms(cx: MountCx<'_>, login: &LoginFacts) -> Result<RenewTerms, Refusal> {
    let gone = || Refusal::invalid("the role of this token does not exist any more: log in again");
    let name = login.facts.get(ROLE).ok_or_else(gone)?;
    let role: Option<Role> = read(cx.view()?, &role_key(name)).await?;
    let role = role.filter(|role| login.facts.get(GENERATION) == Some(&role.generation));
    Ok(role.ok_or_else(gone)?.token.terms())
}
