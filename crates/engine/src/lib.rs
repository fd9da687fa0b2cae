//! What an engine is: rows, replies, the routing trie, decoding.
