//! The cache as a pure state machine: events go in, commands come out; it knows no clock, no network and no thread.
