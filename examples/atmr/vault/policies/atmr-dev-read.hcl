# atmr-dev-read: developers and their machines.
path "atmr/data/dev/*" {
  capabilities = ["read"]
}

path "atmr/metadata/dev/*" {
  capabilities = ["read", "list"]
}

path "atmr/data/dev/_rot/*" {
  capabilities = ["deny"]
}

path "atmr/metadata/dev/_rot/*" {
  capabilities = ["deny"]
}

path "atmr/data/dev/_rot/policy" {
  capabilities = ["read"]
}

path "atmr/data/dev/_rot/ack/*" {
  capabilities = ["create", "update"]
}
