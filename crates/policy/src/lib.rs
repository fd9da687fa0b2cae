//! Policies: parse, decide, explain; the proof of permission.
