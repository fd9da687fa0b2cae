//! The kernel: pipeline, mounts, tokens, policies, sys.
