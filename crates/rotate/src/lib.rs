//! The rotation engine: drives the machine of `coffre-rotation` against a vault, databases and consumers.
