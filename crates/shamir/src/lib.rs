//! Shamir secret sharing over GF(2^8), constant time, without tables.
