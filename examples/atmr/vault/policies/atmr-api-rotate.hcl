# atmr-api-rotate: the rotation job. It reads secrets and writes new versions of them; it destroys nothing.
path "atmr/data/prod/*" {
  capabilities = ["create", "read", "update", "patch"]
}

path "atmr/metadata/prod/*" {
  capabilities = ["read", "list"]
}
