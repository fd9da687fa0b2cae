//! Endpoints of `cubbyhole`.
