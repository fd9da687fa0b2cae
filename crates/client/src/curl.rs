use crate::{Client, Error, Op, Request};

impl Client {
    /// The curl command that sends the same request. The token is not in it: the command asks for it when it is run.
    pub fn curl(&self, request: &Request) -> Result<String, Error> {
        let mut words = vec!["curl".to_owned()];
        if let Some(socket) = self.address().strip_prefix("unix://") {
            words.push(format!("--unix-socket {}", quoted(socket)));
        }
        if !self.verifies_tls() {
            words.push("--insecure".to_owned());
        }
        if request.op != Op::Read && request.op != Op::List {
            words.push(format!("-X {}", request.op.method()));
        }
        if self.token().is_some() {
            words.push(r#"-H "X-Vault-Token: $(vault print token)""#.to_owned());
        }
        for (name, value) in self.headers() {
            words.push(format!(
                "-H {}",
                quoted(&format!("{}: {}", title_case(name.as_str()), value.to_str().unwrap_or_default()))
            ));
        }
        if let Some(ttl) = &request.wrap_ttl {
            words.push(format!("-H {}", quoted(&format!("X-Vault-Wrap-TTL: {ttl}"))));
        }
        if let Some(body) = &request.body {
            if request.op == Op::Patch {
                words.push("-H 'Content-Type: application/merge-patch+json'".to_owned());
            }
            // EXPOSE: this command exists to show the request, body included.
            words.push(format!("-d {}", quoted(body.expose())));
        }
        words.push(quoted(self.url(request)?.as_str()));
        Ok(words.join(" "))
    }
}

/// `x-vault-request` as `X-Vault-Request`: header names do not care, readers do.
fn title_case(name: &str) -> String {
    let upper = |part: &str| {
        let mut letters = part.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    name.split('-').map(upper).collect::<Vec<_>>().join("-")
}

/// A word for a POSIX shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use coffre_secret::SecretText;

    use super::*;
    use crate::Body;

    #[test]
    fn n1_the_token_is_not_in_it() {
        let client =
            Client::builder().address("http://h:1").token(SecretText::from("hvs.secret")).build().unwrap();
        let body = Body::json(&serde_json::json!({"a": "it's"})).unwrap();
        let text = client.curl(&Request::new(Op::Write, "a/b").body(body).wrap_ttl("5m")).unwrap();
        assert!(!text.contains("hvs.secret"), "{text}");
        assert!(text.ends_with(r#"-d '{"a":"it'\''s"}' http://h:1/v1/a/b"#), "{text}");
        assert!(text.contains("-X PUT") && text.contains("'X-Vault-Wrap-TTL: 5m'"), "{text}");
    }
}
