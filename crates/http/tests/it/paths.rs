//! Spellings of paths and verbs: what policy checked is what is done (rows C1 to C6, C14).

use crate::rig::Server;

const SECRET: &str = r#"{"data":{"k":"OTHERS"}}"#;

/// Spellings of `kv/other` as seen from below `kv/app/`, and of the mount itself.
const SPELLINGS: [&str; 44] = [
    "app/../other",
    "app/%2e%2e/other",
    "app/%2E%2E/other",
    "app/..%2fother",
    "app/..%2Fother",
    "app/.%2e/other",
    "app/%2e./other",
    "app/%252e%252e/other",
    "app/..%252fother",
    "app//../other",
    "app/./../other",
    "app/x/../../other",
    "app/x/..//../other",
    "app\\..\\other",
    "app/..\\other",
    "app%5c..%5cother",
    "app/%5c..%5cother",
    "app/..;/other",
    "app/..%00/other",
    "app/..%0a/other",
    "app/%c0%ae%c0%ae/other",
    "app/%e0%80%ae%e0%80%ae/other",
    "app/\u{2025}/other",
    "app/%ef%bc%8e%ef%bc%8e/other",
    "app/..%c0%afother",
    "app/%uff0e%uff0e/other",
    "app/.../other",
    "app/..?/other",
    "app/..%3f/other",
    "app/..%23/other",
    "app//other",
    "app/./other",
    "app/x;y/../../other",
    "app/..%20/other",
    "app/%20../other",
    "app/..%09/other",
    "app/\u{200b}../other",
    "app/..%e2%80%8b/other",
    "app/..%ef%bb%bf/other",
    "app/*/../../other",
    "app/+/../../other",
    "app/../../data/other",
    "app/../../../secret/data/other",
    "app/%2e%2e%2f%2e%2e%2fdata/other",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_c2_no_spelling_of_an_allowed_path_reaches_another_one() {
    let server = Server::start().await;
    server.root("POST", "/v1/secret/data/other", SECRET).await.is(200);
    let all = r#"capabilities = ["create", "read", "update", "patch", "delete", "list"]"#;
    let policy = ["data", "metadata", "delete", "destroy", "undelete"]
        .map(|kind| format!("path \"secret/{kind}/app/*\" {{ {all} }}"));
    let token = server.holder(&policy.join("\n")).await;
    for spelling in SPELLINGS {
        for (method, kind, body) in [
            ("GET", "data", ""),
            ("LIST", "metadata", ""),
            ("POST", "data", r#"{"data":{"k":"CHANGED"}}"#),
            ("PUT", "destroy", r#"{"versions":[1]}"#),
            ("DELETE", "data", ""),
            ("DELETE", "metadata", ""),
        ] {
            let target = format!("/v1/secret/{kind}/{spelling}");
            let reply = server.ask(method, &target, &token, body).await;
            assert!(!reply.body.contains("OTHERS"), "{method} {target}: {reply:?}");
            assert!(reply.status != 500, "{method} {target}: {reply:?}");
        }
    }
    for target in [
        "//v1/secret/data/other",
        "/v1//secret/data/other",
        "/V1/secret/data/other",
        "/v1/./secret/data/other",
    ] {
        let reply = server.root("GET", target, "").await;
        assert!(matches!(reply.status, 400 | 404), "{target}: {reply:?}");
        assert!(!reply.body.contains("OTHERS"), "{target}: {reply:?}");
    }
    let kept = server.root("GET", "/v1/secret/data/other", "").await.is(200).json();
    assert_eq!(
        (&kept["data"]["data"]["k"], &kept["data"]["metadata"]["version"]),
        (&"OTHERS".into(), &1.into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c2_a_denied_path_stays_denied_in_every_spelling() {
    let server = Server::start().await;
    server.root("POST", "/v1/secret/data/other", SECRET).await.is(200);
    let policy = r#"path "secret/*" { capabilities = ["create", "read", "update", "patch", "delete", "list"] }
                    path "secret/data/other" { capabilities = ["deny"] }
                    path "secret/metadata/other" { capabilities = ["deny"] }
                    path "secret/destroy/other" { capabilities = ["deny"] }"#;
    let token = server.holder(policy).await;
    for spelling in
        SPELLINGS.into_iter().chain(["other", "other/", "%6fther", "o%74her", "OTHER", "other%20", "other."])
    {
        for (method, kind, body) in [
            ("GET", "data", ""),
            ("POST", "data", r#"{"data":{"k":"CHANGED"}}"#),
            ("PUT", "destroy", r#"{"versions":[1]}"#),
            ("DELETE", "data", ""),
            ("DELETE", "metadata", ""),
        ] {
            let target = format!("/v1/secret/{kind}/{spelling}");
            let reply = server.ask(method, &target, &token, body).await;
            assert!(!reply.body.contains("OTHERS"), "{method} {target}: {reply:?}");
        }
    }
    let kept = server.root("GET", "/v1/secret/data/other", "").await.is(200).json();
    assert_eq!(
        (&kept["data"]["data"]["k"], &kept["data"]["metadata"]["version"]),
        (&"OTHERS".into(), &1.into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c3_a_slash_at_the_end_is_another_path() {
    let server = Server::start().await;
    server.root("POST", "/v1/secret/data/foo", SECRET).await.is(200);
    server.root("POST", "/v1/secret/data/foo/", SECRET).await.is(400);
    let read = server.root("GET", "/v1/secret/data/foo/", "").await;
    assert!(read.status == 404 && !read.body.contains("OTHERS"), "{read:?}");
    server.root("LIST", "/v1/secret/metadata", "").await.is(200);
    server.root("LIST", "/v1/secret/metadata/", "").await.is(200);
    server.root("GET", "/v1/secret/metadata/?list=true", "").await.is(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c4_only_clean_text_is_a_path_and_nothing_is_normalised() {
    let server = Server::start().await;
    for bad in
        ["%ff", "%c3", "%00", "%01", "%1f", "%7f", "%0d%0a", "%c2%85", "%zz", "%", "%4", "a%2fb", "%e2%80%ae"]
    {
        let reply = server.root("GET", &format!("/v1/secret/data/{bad}"), "").await;
        assert_eq!(reply.status, 400, "{bad}: {reply:?}");
    }
    let (composed, decomposed) = ("/v1/secret/data/%C3%A9", "/v1/secret/data/e%CC%81");
    server.root("POST", composed, r#"{"data":{"k":"one"}}"#).await.is(200);
    server.root("GET", decomposed, "").await.is(404);
    server.root("POST", decomposed, r#"{"data":{"k":"two"}}"#).await.is(200);
    let list = server.root("LIST", "/v1/secret/metadata", "").await.is(200).json();
    assert_eq!(list["data"]["keys"], serde_json::json!(["e\u{301}", "\u{e9}"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_verbs_mean_what_they_say() {
    let server = Server::start().await;
    server.root("POST", "/v1/secret/data/a", SECRET).await.is(200);
    let token = server.holder(r#"path "secret/data/a" { capabilities = ["read"] }"#).await;
    for header in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
        let headers = format!("X-Vault-Token: {token}\r\n{header}: DELETE\r\n");
        server.send("GET", "/v1/secret/data/a", &headers, "").await.is(200);
        let headers = format!("X-Vault-Token: {token}\r\n{header}: GET\r\n");
        server.send("DELETE", "/v1/secret/data/a", &headers, "").await.is(403);
    }
    let head = server.ask("HEAD", "/v1/secret/data/a", &token, "").await.is(200);
    assert_eq!(head.body, "");
    assert_eq!(server.ask("HEAD", "/v1/secret/data/a", "", "").await.is(403).body, "");
    server.ask("GET", "/v1/secret/data/a?list=true", &token, "").await.is(403);
    server.ask("GET", "/v1/secret/data/a?list=maybe", &token, "").await.is(400);
    for method in ["TRACE", "CONNECT", "OPTIONS", "get", "post", "BREW", "SCAN"] {
        let reply = server.root(method, "/v1/secret/data/a", "").await;
        assert!(matches!(reply.status, 400 | 405), "{method}: {reply:?}");
        assert!(!reply.body.contains("OTHERS"), "{method}");
    }
    server.root("GET", "/v1/secret/data/a", "").await.is(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c6_headers_name_no_internal_operation() {
    let server = Server::start().await;
    server.root("POST", "/v1/secret/data/a", SECRET).await.is(200);
    for verb in ["alias-lookahead", "rollback", "revoke", "renew", "header", "delete", "resolve-role"] {
        for name in [
            "X-Vault-Operation",
            "X-Vault-Request",
            "X-Vault-Policy-Override",
            "X-Vault-Forward",
            "X-Vault-Index",
        ] {
            let headers = format!("{name}: {verb}\r\n");
            server.send("GET", "/v1/secret/data/a", &headers, "").await.is(403);
            let headers = format!("X-Vault-Token: myroot\r\n{name}: {verb}\r\n");
            server.send("GET", "/v1/secret/data/a", &headers, "").await.is(200);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c14_a_namespace_is_never_taken_for_the_root() {
    let server = Server::start().await;
    for namespace in ["foo", "root", "/", "root/", "../", "%2f"] {
        let headers = format!("X-Vault-Token: myroot\r\nX-Vault-Namespace: {namespace}\r\n");
        let reply = server.send("GET", "/v1/sys/mounts", &headers, "").await;
        assert!(matches!(reply.status, 400 | 404), "{namespace}: {reply:?}");
    }
}
