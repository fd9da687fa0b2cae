# One node in a container. TLS ends here; the certificate and its key are mounted at /vault/tls.
storage "redb" {
  # Made by the server, readable by nobody else.
  path = "/vault/data/coffre"
}

listener "tcp" {
  address       = "0.0.0.0:8200"
  tls_cert_file = "/vault/tls/server.pem"
  tls_key_file  = "/vault/tls/server-key.pem"
}

# Audit files may be written here and nowhere else.
audit_directory = "/vault/audit"

api_addr = "https://vault:8200"
