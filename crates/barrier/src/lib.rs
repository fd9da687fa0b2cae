//! Everything stored is encrypted and bound to its place; seal and unseal.
