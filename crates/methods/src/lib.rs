//! Auth methods: approle.
