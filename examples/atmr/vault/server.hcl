# One node in a container. TLS ends here; the certificate and its key are mounted at /vault/tls.
storage "redb" {
  path = "/vault/data/coffre.redb"
}

listener "tcp" {
  address       = "0.0.0.0:8200"
  tls_cert_file = "/vault/tls/server.pem"
  tls_key_file  = "/vault/tls/server-key.pem"
}

api_addr = "https://vault:8200"
