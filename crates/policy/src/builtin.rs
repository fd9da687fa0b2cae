//! Policies that every server has.

/// What a token may do with itself: the text of the `default` policy of a new server. Administrators may change it.
pub const DEFAULT_POLICY: &str = r#"# What every token may do: look after itself. Edit it as you like; it cannot be deleted.

# The token itself: look up, renew, revoke.
path "auth/token/lookup-self" {
    capabilities = ["read"]
}
path "auth/token/renew-self" {
    capabilities = ["update"]
}
path "auth/token/revoke-self" {
    capabilities = ["update"]
}

# What it may do.
path "sys/capabilities-self" {
    capabilities = ["update"]
}
path "sys/policies/explain" {
    capabilities = ["update"]
}
path "sys/internal/ui/resultant-acl" {
    capabilities = ["read"]
}

# Its own identity.
path "identity/entity/id/{{identity.entity.id}}" {
    capabilities = ["read"]
}
path "identity/entity/name/{{identity.entity.name}}" {
    capabilities = ["read"]
}

# Its own leases. A lease's id is hard to guess.
path "sys/leases/renew" {
    capabilities = ["update"]
}
path "sys/leases/lookup" {
    capabilities = ["update"]
}

# Its own cubbyhole.
path "cubbyhole/*" {
    capabilities = ["create", "read", "update", "delete", "list"]
}

# Response wrapping.
path "sys/wrapping/wrap" {
    capabilities = ["update"]
}
path "sys/wrapping/lookup" {
    capabilities = ["update"]
}
path "sys/wrapping/unwrap" {
    capabilities = ["update"]
}

# Hashing with the server's own tools.
path "sys/tools/hash" {
    capabilities = ["update"]
}
path "sys/tools/hash/*" {
    capabilities = ["update"]
}
"#;

/// What a wrapping token may do: fetch what was wrapped. Fixed.
pub const RESPONSE_WRAPPING_POLICY: &str = r#"path "cubbyhole/response" {
    capabilities = ["create", "read"]
}
path "sys/wrapping/unwrap" {
    capabilities = ["update"]
}
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Policy, PolicyName};

    #[test]
    fn they_are_well_formed() {
        for text in [DEFAULT_POLICY, RESPONSE_WRAPPING_POLICY] {
            Policy::parse(PolicyName::default_policy(), text).unwrap();
        }
    }
}
