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
    /// The policies that an environment needs: one to read, one to rotate as well (not in `dev`), and always that of
    /// the developers, if there is an environment `dev`. The production environment's are called `api`.
    #[must_use]
    pub fn policies(&self, environment: &str) -> Vec<Policy> {
        let mut policies = vec![self.read_policy(environment)];
        if environment != "dev" {
            policies.push(self.rotate_policy(environment));
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
        Policy {
            name: format!("{app}-{}-read", audience(environment)),
            text: format!(
                r#"# Follows from coffre.toml: what {app} may read in {environment}.
path "{mount}/data/{environment}/*" {{
  capabilities = ["read"]
}}
path "{mount}/metadata/{environment}/*" {{
  capabilities = ["read", "list"]
}}
"#
            ),
        }
    }

    fn rotate_policy(&self, environment: &str) -> Policy {
        let (app, mount) = (self.app(), self.mount());
        Policy {
            name: format!("{app}-{}-rotate", audience(environment)),
            text: format!(
                r#"# Follows from coffre.toml: what the rotation of {app} may do in {environment}. It adds versions; it removes none.
path "{mount}/data/{environment}/*" {{
  capabilities = ["create", "read", "update", "patch"]
}}
path "{mount}/metadata/{environment}/*" {{
  capabilities = ["read", "list"]
}}
"#
            ),
        }
    }
}

/// The word in the middle of a policy's name.
pub(crate) fn audience(environment: &str) -> &str {
    if matches!(environment, "prod" | "production") { "api" } else { environment }
}
