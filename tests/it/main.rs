//! Integration tests, one module per subject.

#![allow(clippy::unwrap_used, reason = "in a test an unwrap is an assertion; clippy.toml allows it in test functions only")]

mod api;
mod counting;
mod exactness;
mod limits;
mod many_workers;
mod precision;
mod processes;
mod quarantine;
mod rollouts;
mod stock;
mod stored;
mod stream_front;
mod tidy;
mod webhooks;
mod wire;
mod world_self;
mod zones;
