//! Lossless .env documents with exactly python-dotenv's semantics.
