//! Purpose-named cryptographic envelopes over an audited library.
