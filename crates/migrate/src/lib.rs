//! From .env files into a vault: classify, plan, apply, verify, roll back.
