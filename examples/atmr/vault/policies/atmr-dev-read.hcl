# atmr-dev-read: developers and their machines.
path "atmr/data/dev/*" {
  capabilities = ["read"]
}

path "atmr/metadata/dev/*" {
  capabilities = ["read", "list"]
}
