//! How tokens of the cluster are checked.

use coffre_api::kubernetes::{ConfigOutput, ReadConfig, WriteConfig, WriteConfigInput};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve, storage};

use super::Kubernetes;
use super::jwt::public_key;
use super::model::{CONFIG, Config};
use crate::records::{read, to_json};

/// The most keys of a cluster.
const MOST_KEYS: usize = 64;

impl Serve<WriteConfig> for Kubernetes {
    async fn serve(&self, cx: Cx<'_>, input: WriteConfigInput) -> Result<Reply<Nothing>, Refusal> {
        let host = input.kubernetes_host.unwrap_or_default();
        if host.is_empty() {
            return Err(Refusal::invalid("no host provided"));
        }
        if !(host.starts_with("https://") || host.starts_with("http://")) {
            return Err(Refusal::invalid("kubernetes_host must be a URL, such as https://10.0.0.1:6443"));
        }
        let config = Config {
            host,
            ca_cert: input.kubernetes_ca_cert.unwrap_or_default(),
            // EXPOSE: the barrier encrypts it.
            reviewer_jwt: input.token_reviewer_jwt.map_or_else(String::new, |jwt| jwt.expose().to_owned()),
            pem_keys: input.pem_keys.map(|keys| keys.0).unwrap_or_default(),
            issuer: input.issuer.unwrap_or_default(),
            disable_iss_validation: input.disable_iss_validation.is_none_or(|flag| flag.0),
            disable_local_ca_jwt: input.disable_local_ca_jwt.is_some_and(|flag| flag.0),
            use_annotations_as_alias_metadata: input
                .use_annotations_as_alias_metadata
                .is_some_and(|flag| flag.0),
        };
        if config.disable_local_ca_jwt && config.ca_cert.is_empty() {
            return Err(Refusal::invalid(
                "kubernetes_ca_cert must be given when disable_local_ca_jwt is true",
            ));
        }
        if config.pem_keys.len() > MOST_KEYS || config.pem_keys.iter().any(|key| public_key(key).is_none()) {
            return Err(Refusal::invalid(
                "pem_keys must be at most 64 public keys or certificates in PEM: RSA from 2048 bits, P-256, P-384 or Ed25519",
            ));
        }
        // EXPOSE: the barrier encrypts it.
        cx.view()?.put(CONFIG, to_json(&config)?.expose()).await.map_err(storage)?;
        Ok(Reply::empty())
    }
}

impl Serve<ReadConfig> for Kubernetes {
    async fn serve(&self, cx: Cx<'_>, _: Nothing) -> Result<Reply<ConfigOutput>, Refusal> {
        let config: Option<Config> = read(cx.view()?, CONFIG).await?;
        Ok(config.map_or_else(Reply::missing, |config| {
            Reply::data(ConfigOutput {
                token_reviewer_jwt_set: !config.reviewer_jwt.is_empty(),
                kubernetes_host: config.host,
                kubernetes_ca_cert: config.ca_cert,
                pem_keys: config.pem_keys,
                issuer: config.issuer,
                disable_iss_validation: config.disable_iss_validation,
                disable_local_ca_jwt: config.disable_local_ca_jwt,
                use_annotations_as_alias_metadata: config.use_annotations_as_alias_metadata,
            })
        }))
    }
}
