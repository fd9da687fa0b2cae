//! The rotation of a secret as a pure state machine, and the documents that its state is kept in.
