# atmr-api-rotate: the rotation. It reads secrets, writes new versions of them and destroys old ones; it deletes nothing
# but acknowledgements.
path "atmr/data/prod/*" {
  capabilities = ["create", "read", "update", "patch"]
}

path "atmr/metadata/prod/*" {
  capabilities = ["create", "read", "update", "patch", "list"]
}

path "atmr/destroy/prod/*" {
  capabilities = ["update"]
}

# Its bookkeeping by name: a token that also has atmr-api-read is not bound by what that denies.
path "atmr/data/prod/_rot/policy" {
  capabilities = ["create", "read", "update", "patch"]
}

path "atmr/metadata/prod/_rot/policy" {
  capabilities = ["create", "read", "update", "patch", "list"]
}

path "atmr/data/prod/_rot/freeze" {
  capabilities = ["create", "read", "update", "patch"]
}

path "atmr/metadata/prod/_rot/freeze" {
  capabilities = ["create", "read", "update", "patch", "list"]
}

path "atmr/data/prod/_rot/enabled" {
  capabilities = ["create", "read", "update", "patch"]
}

path "atmr/metadata/prod/_rot/enabled" {
  capabilities = ["create", "read", "update", "patch", "list"]
}

path "atmr/data/prod/_rot/rec/*" {
  capabilities = ["create", "read", "update", "patch"]
}

path "atmr/metadata/prod/_rot/rec/*" {
  capabilities = ["create", "read", "update", "patch", "list"]
}

path "atmr/data/prod/_rot/hist/*" {
  capabilities = ["create", "read", "update", "patch"]
}

path "atmr/metadata/prod/_rot/hist/*" {
  capabilities = ["create", "read", "update", "patch", "list"]
}

path "atmr/data/prod/_rot/rollout/*" {
  capabilities = ["create", "read", "update", "patch"]
}

path "atmr/metadata/prod/_rot/rollout/*" {
  capabilities = ["create", "read", "update", "patch", "list"]
}

path "atmr/data/prod/_rot/ack/*" {
  capabilities = ["create", "read", "update", "delete"]
}

path "atmr/metadata/prod/_rot/ack/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}

path "database/creds/atmr-api" {
  capabilities = ["read"]
}
