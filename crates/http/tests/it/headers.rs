//! Headers in and out (rows C7, C15, C16, C17, C18).

use crate::rig::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c7_no_header_moves_a_client_into_another_network() {
    let server = Server::start().await;
    server.root("POST", "/v1/sys/auth/approle", r#"{"type":"approle"}"#).await.is(204);
    let role = r#"{"token_bound_cidrs":"10.0.0.0/8","secret_id_bound_cidrs":"10.0.0.0/8"}"#;
    server.root("POST", "/v1/auth/approle/role/far", role).await.is(204);
    let id = server.root("GET", "/v1/auth/approle/role/far/role-id", "").await.is(200).json();
    let secret = server.root("POST", "/v1/auth/approle/role/far/secret-id", "{}").await.is(200).json();
    let login =
        serde_json::json!({"role_id": id["data"]["role_id"], "secret_id": secret["data"]["secret_id"]})
            .to_string();
    for header in [
        "",
        "X-Forwarded-For: 10.1.1.1\r\n",
        "X-Forwarded-For: 10.1.1.1\r\nX-Forwarded-For: 10.1.1.2\r\n",
        "Forwarded: for=10.1.1.1\r\n",
        "X-Real-IP: 10.1.1.1\r\n",
    ] {
        let reply = server.send("POST", "/v1/auth/approle/login", header, &login).await;
        assert!(matches!(reply.status, 400 | 403), "{header}: {reply:?}");
        assert!(!reply.body.contains("client_token"), "{header}");
    }
    for preface in ["PROXY TCP4 10.1.1.1 10.1.1.2 1 2\r\n", "\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c"] {
        let request =
            format!("{preface}GET /v1/sys/mounts HTTP/1.1\r\nHost: x\r\nX-Vault-Token: myroot\r\n\r\n");
        let reply = server.raw(request.as_bytes()).await;
        assert!(matches!(reply.status, 0 | 400) && reply.closed, "{reply:?}");
    }
    server.root("GET", "/v1/sys/mounts", "").await.is(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c15_the_vault_header_wins_over_authorization() {
    let server = Server::start().await;
    for (headers, status) in [
        ("X-Vault-Token: myroot\r\nAuthorization: Bearer wrong\r\n", 200),
        ("X-Vault-Token: wrong\r\nAuthorization: Bearer myroot\r\n", 403),
        ("Authorization: Bearer myroot\r\n", 200),
        ("Authorization: bearer myroot\r\n", 403),
        ("Authorization: Basic myroot\r\n", 403),
        ("Authorization: Bearer  myroot\r\n", 403),
        ("X-Vault-Token: \r\n", 403),
        ("X-Vault-Token: n\u{e9}e\r\n", 403),
    ] {
        server.send("GET", "/v1/sys/mounts", headers, "").await.is(status);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c16_a_token_in_the_address_is_no_token() {
    let server = Server::start().await;
    for query in ["token=myroot", "X-Vault-Token=myroot", "client_token=myroot", "x-vault-token=myroot"] {
        server.ask("GET", &format!("/v1/sys/mounts?{query}"), "", "").await.is(403);
    }
    server.ask("GET", "http://myroot@x/v1/sys/mounts", "", "").await.is(403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c17_compressed_bodies_are_refused() {
    let server = Server::start().await;
    for coding in ["gzip", "deflate", "br", "zstd", "gzip, identity", "x"] {
        let headers = format!("X-Vault-Token: myroot\r\nContent-Encoding: {coding}\r\n");
        server.send("POST", "/v1/secret/data/a", &headers, r#"{"data":{}}"#).await.is(415);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c18_no_answer_is_kept_or_sniffed() {
    let server = Server::start().await;
    server.root("POST", "/v1/secret/data/a", r#"{"data":{"k":"v"}}"#).await.is(200);
    for (method, target, token, status) in [
        ("GET", "/v1/secret/data/a", "myroot", 200),
        ("HEAD", "/v1/secret/data/a", "myroot", 200),
        ("DELETE", "/v1/secret/data/a", "myroot", 204),
        ("GET", "/v1/secret/data/missing", "myroot", 404),
        ("GET", "/v1/secret/data/a", "", 403),
        ("GET", "/v1/secret/data/a/../b", "myroot", 400),
        ("GET", "/elsewhere", "", 404),
        ("TRACE", "/v1/secret/data/a", "", 405),
        ("GET", "/v1/sys/health", "", 200),
    ] {
        let reply = server.ask(method, target, token, "").await.is(status);
        assert!(reply.head.contains("cache-control: no-store"), "{method} {target}: {reply:?}");
        assert!(reply.head.contains("x-content-type-options: nosniff"), "{method} {target}: {reply:?}");
        if !reply.body.is_empty() {
            assert!(reply.head.contains("content-type: application/json"), "{method} {target}: {reply:?}");
            assert!(reply.json().is_object());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chosen_health_codes_do_not_break_the_framing() {
    let server = Server::start().await;
    for code in [200, 204, 205, 299, 304, 418, 429, 503, 599] {
        let request = format!(
            "GET /v1/sys/health?activecode={code} HTTP/1.1\r\nHost: x\r\n\r\n\
             GET /v1/sys/seal-status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        );
        let reply = server.raw(request.as_bytes()).await.is(code);
        assert_eq!(reply.answers, 2, "{code}: {reply:?}");
        if matches!(code, 204 | 304) {
            assert!(reply.body.starts_with("HTTP/1.1 200"), "{code}: {reply:?}");
        }
    }
    for code in ["99", "100", "199", "600", "abc", "-1", "200000"] {
        server.ask("GET", &format!("/v1/sys/health?activecode={code}"), "", "").await.is(400);
    }
}
