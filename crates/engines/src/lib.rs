//! Secrets engines: kv version 1 and 2, cubbyhole.
