//! Where an application's secrets come from, and how they reach it.
