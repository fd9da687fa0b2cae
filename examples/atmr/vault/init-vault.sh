#!/bin/sh
# Prepares a vault for the ATMR API: secrets engine, policies, AppRole. Running it again changes nothing.
#
#   VAULT_ADDR=https://127.0.0.1:8200 vault/init-vault.sh
#
# First run, on an empty vault: initialises it, prints the five unseal keys and the root token once, and stops.
# Then unseal, `export VAULT_TOKEN=<root token>`, and run it again.
# `vault` is `coffre` under another name (ln -s "$(command -v coffre)" ~/bin/vault), or any Vault-compatible client.
# With AUDIT_FILE=/path the file audit device is enabled as well.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
: "${VAULT_ADDR:?set VAULT_ADDR to the address of the vault}"

say() { printf '%s\n' "$*" >&2; }

# The exit code tells: 0 unsealed, 2 sealed or not initialised, 1 cannot say.
status=0
vault status >/dev/null 2>&1 || status=$?
if ! vault operator init -status >/dev/null 2>&1 && [ "$status" -eq 2 ]; then
  say "Initialising. Give each of the five keys to a different person; three open the vault."
  vault operator init -key-shares=5 -key-threshold=3
  say "Next: vault operator unseal (three times, each with another key),"
  say "      export VAULT_TOKEN=<Initial Root Token>, and run this script again."
  exit 0
fi
case $status in
  0) ;;
  2) say "The vault is sealed. Run: vault operator unseal (three times, each with another key)."; exit 1 ;;
  *) say "No vault answers at $VAULT_ADDR. Is it running? Is VAULT_CACERT set?"; exit 1 ;;
esac

# has LIST NAME: is there a line "NAME/ …" in the table which `vault LIST list` prints?
has() { vault "$1" list | awk -v name="$2/" '$1 == name { found = 1 } END { exit !found }'; }

has secrets atmr || vault secrets enable -version=2 -path=atmr kv
vault policy write atmr-api-read "$here/policies/atmr-api.hcl"
vault policy write atmr-api-rotate "$here/policies/atmr-api-rotate.hcl"
vault policy write atmr-dev-read "$here/policies/atmr-dev-read.hcl"

has auth approle || vault auth enable approle
vault write auth/approle/role/atmr-api token_policies=atmr-api-read token_ttl=24h token_max_ttl=48h secret_id_ttl=24h
vault write auth/approle/role/atmr-dev token_policies=atmr-dev-read token_ttl=24h token_max_ttl=48h secret_id_ttl=24h

if [ -n "${AUDIT_FILE:-}" ]; then
  # Without any device `audit list` has nothing to list and may say so with an exit code.
  vault audit list 2>/dev/null | awk '$1 == "file/" { found = 1 } END { exit !found }' \
    || vault audit enable file file_path="$AUDIT_FILE"
fi

say "Ready. The role_id of atmr-api (not secret):"
vault read -field=role_id auth/approle/role/atmr-api/role-id
printf '\n'
say "A secret_id, wrapped so that it can be opened once:"
say "  vault write -f -wrap-ttl=10m -field=wrapping_token auth/approle/role/atmr-api/secret-id"
