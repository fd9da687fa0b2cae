use std::collections::BTreeSet;

use crate::model::Manifest;

/// A policy that follows from the manifest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// `<app>-api-read`, `<app>-api-rotate`, `<app>-dev-read`, `<app>-staging-read`, …
    pub name: String,
    /// HCL.
    pub text: String,
}

/// The AppRole with which the application logs in, in one environment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AppRole {
    /// `<app>-api` in production, `<app>-<environment>` elsewhere.
    pub name: String,
    /// What its tokens may do.
    pub token_policies: Vec<String>,
    /// How long a token lives unless it is renewed.
    pub token_ttl: &'static str,
    /// How long a token lives at most.
    pub token_max_ttl: &'static str,
}

impl Manifest {
    /// The policies that an environment needs: one to read, one to rotate as well (not in `dev`), one for people who
    /// consent to the destruction of old encryption keys (where some target asks for it), and always that of the
    /// developers, if there is an environment `dev`. The production environment's are called `api`.
    #[must_use]
    pub fn policies(&self, environment: &str) -> Vec<Policy> {
        let mut policies = vec![self.read_policy(environment)];
        if environment != "dev" {
            policies.push(self.rotate_policy(environment));
            policies.extend(self.approve_policy(environment));
            if self.environments.iter().any(|name| name == "dev") {
                policies.push(self.read_policy("dev"));
            }
        }
        policies
    }

    /// The role of the application in an environment. Its tokens read that environment and nothing else.
    #[must_use]
    pub fn approle(&self, environment: &str) -> AppRole {
        AppRole {
            name: format!("{}-{}", self.app, audience(environment)),
            token_policies: vec![self.read_policy(environment).name],
            token_ttl: "24h",
            token_max_ttl: "48h",
        }
    }

    fn read_policy(&self, environment: &str) -> Policy {
        let (app, mount) = (self.app(), self.mount());
        let mut text = format!(
            r#"# Follows from coffre.toml: what {app} may read in {environment}. Of the bookkeeping under _rot it reads how fresh its
# copies must be, says what it uses, and shares slots for restarts with its own instances.
path "{mount}/data/{environment}/*" {{
  capabilities = ["read"]
}}
path "{mount}/metadata/{environment}/*" {{
  capabilities = ["read", "list"]
}}
path "{mount}/data/{environment}/_rot/*" {{
  capabilities = ["deny"]
}}
path "{mount}/metadata/{environment}/_rot/*" {{
  capabilities = ["deny"]
}}
path "{mount}/data/{environment}/_rot/policy" {{
  capabilities = ["read"]
}}
path "{mount}/data/{environment}/_rot/ack/*" {{
  capabilities = ["create", "update"]
}}
path "{mount}/data/{environment}/_rot/rollout/*" {{
  capabilities = ["create", "read", "update"]
}}
"#
        );
        // One character wider than need be: a rule for exactly that path would bind a token with the other policy as well.
        for path in self.of_the_engine() {
            text.push_str(&format!(
                "path \"{mount}/data/{environment}/{path}*\" {{\n  capabilities = [\"deny\"]\n}}\n"
            ));
        }
        text.push_str(&self.dynamic_rules(environment));
        Policy { name: format!("{app}-{}-read", audience(environment)), text }
    }

    fn rotate_policy(&self, environment: &str) -> Policy {
        let (app, mount) = (self.app(), self.mount());
        let mut text = format!(
            r#"# Follows from coffre.toml: what the rotation of {app} may do in {environment}. It adds versions and destroys old ones;
# it deletes nothing but acknowledgements.
path "{mount}/data/{environment}/*" {{
  capabilities = ["create", "read", "update", "patch"]
}}
path "{mount}/metadata/{environment}/*" {{
  capabilities = ["create", "read", "update", "patch", "list"]
}}
path "{mount}/destroy/{environment}/*" {{
  capabilities = ["update"]
}}
"#
        );
        // Named one by one, so that a token with the other policy as well is not bound by what that denies.
        for name in ["policy", "freeze", "enabled", "rec/*", "hist/*", "rollout/*", "escrow/*", "soak/*"] {
            text.push_str(&format!(
                "path \"{mount}/data/{environment}/_rot/{name}\" {{\n  capabilities = [\"create\", \"read\", \"update\", \"patch\"]\n}}\npath \"{mount}/metadata/{environment}/_rot/{name}\" {{\n  capabilities = [\"create\", \"read\", \"update\", \"patch\", \"list\"]\n}}\n"
            ));
        }
        text.push_str(&format!(
            r#"path "{mount}/data/{environment}/_rot/ack/*" {{
  capabilities = ["create", "read", "update", "delete"]
}}
path "{mount}/metadata/{environment}/_rot/ack/*" {{
  capabilities = ["create", "read", "update", "delete", "list"]
}}
"#
        ));
        // It counts what people consent to, and cannot consent for them.
        text.push_str(&format!(
            "path \"{mount}/data/{environment}/_rot/approve/*\" {{\n  capabilities = [\"read\"]\n}}\npath \"{mount}/metadata/{environment}/_rot/approve/*\" {{\n  capabilities = [\"read\", \"list\"]\n}}\n"
        ));
        if let Some(before) = self.soaks_in(environment) {
            text.push_str(&format!(
                "# Whether it has gone well there for promote_after.\npath \"{mount}/data/{before}/_rot/soak/*\" {{\n  capabilities = [\"read\"]\n}}\n"
            ));
        }
        for path in self.of_the_engine() {
            text.push_str(&format!(
                "path \"{mount}/data/{environment}/{path}\" {{\n  capabilities = [\"read\"]\n}}\n"
            ));
        }
        text.push_str(&self.dynamic_rules(environment));
        Policy { name: format!("{app}-{}-rotate", audience(environment)), text }
    }

    /// Each person may write one document for each old key, and take it back: the one that bears their own entity's id,
    /// which the server fills in from their token.
    fn approve_policy(&self, environment: &str) -> Option<Policy> {
        let (app, mount) = (self.app(), self.mount());
        let targets = self.targets();
        let asked = targets.iter().filter(|target| {
            target.rotation().and_then(|rotation| rotation.approvals).is_some_and(|approvals| approvals > 0)
        });
        let rule = |path: &str| {
            format!(
                "path \"{mount}/data/{environment}/_rot/approve/{path}/+/{{{{identity.entity.id}}}}\" {{\n  capabilities = [\"create\", \"read\", \"update\", \"delete\"]\n}}\n"
            )
        };
        let rules: String = asked.map(|target| rule(target.path())).collect();
        let text = format!(
            "# Follows from coffre.toml: who has it may consent to the destruction of old encryption keys of {app} in {environment}\n# (`coffre rotate approve`), each under their own name. Give it to people, never to the rotation.\n{rules}"
        );
        let name = format!("{app}-{}-approve", audience(environment));
        (!rules.is_empty()).then_some(Policy { name, text })
    }

    /// The documents of the rotation itself, which the application has no business with: with which databases are
    /// administered, and people told.
    pub(crate) fn of_the_engine(&self) -> BTreeSet<&str> {
        let postgresql = self.rotation.postgresql.values().map(|server| &server.admin);
        let redis = self.rotation.redis.values().map(|server| &server.admin);
        let webhooks = self.notifications.webhook.iter();
        let webhooks =
            webhooks.flat_map(|webhook| [&webhook.url_from, &webhook.secret].into_iter().flatten());
        let email = self.notifications.smtp.iter().filter_map(|email| email.credentials.as_ref());
        postgresql.chain(redis).chain(webhooks).chain(email).map(String::as_str).collect()
    }

    /// The roles of which credentials are made on demand in the environment.
    fn dynamic_rules(&self, environment: &str) -> String {
        let dynamic = self.entries.iter().filter_map(|entry| entry.dynamic.as_ref());
        let here = dynamic.filter(|dynamic| self.is_dynamic_in(dynamic, environment));
        let places: BTreeSet<_> =
            here.map(|dynamic| format!("{}/creds/{}", dynamic.mount(), dynamic.role)).collect();
        places.iter().map(|place| format!("path \"{place}\" {{\n  capabilities = [\"read\"]\n}}\n")).collect()
    }
}

/// The word in the middle of a policy's name.
pub(crate) fn audience(environment: &str) -> &str {
    if matches!(environment, "prod" | "production") { "api" } else { environment }
}
