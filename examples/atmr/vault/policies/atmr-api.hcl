# atmr-api-read: what the API may do. It reads its secrets and nothing else. Of the bookkeeping of rotation it reads how
# fresh its copies must be, and says which generation of a secret it uses.
path "atmr/data/prod/*" {
  capabilities = ["read"]
}

path "atmr/metadata/prod/*" {
  capabilities = ["read", "list"]
}

path "atmr/data/prod/_rot/*" {
  capabilities = ["deny"]
}

path "atmr/metadata/prod/_rot/*" {
  capabilities = ["deny"]
}

path "atmr/data/prod/_rot/policy" {
  capabilities = ["read"]
}

path "atmr/data/prod/_rot/ack/*" {
  capabilities = ["create", "update"]
}

path "database/creds/atmr-api" {
  capabilities = ["read"]
}
