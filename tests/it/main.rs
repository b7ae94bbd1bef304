//! Integration tests, one module per subject.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion; clippy.toml allows it in test functions only")]

mod counting;
mod exactness;
mod precision;
mod quarantine;
mod rollouts;
mod tidy;
mod world_self;
