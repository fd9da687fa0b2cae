# atmr-api-read: what the API may do. It reads its secrets and nothing else.
path "atmr/data/prod/*" {
  capabilities = ["read"]
}

path "atmr/metadata/prod/*" {
  capabilities = ["read", "list"]
}
