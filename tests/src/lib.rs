//! The proof: Tidemark against real parts.
//!
//! [`World`] is one isolated DynamoDB with its streams, and a [`Front`] before it that can misbehave on command. The tests
//! themselves are in `it/`; they drive the services through their real clients and the real SDK, and fake only the wire.

mod binary;
pub mod brim;
pub mod client;
pub mod collector;
pub mod deployment;
pub mod embedded;
mod emulator;
pub mod front;
pub mod judge;
pub mod limits;
pub mod oracle;
mod origin;
pub mod policy;
pub mod receiver;
pub mod server;
pub mod shards;
mod stream_front;
pub mod unread;
mod wait;
pub mod wire;
mod world;

pub use client::{Answer, Client, RunningApi};
pub use collector::Collector;
pub use deployment::Deployment;
pub use front::{Fault, Front, Refusal, When, Workload};
pub use receiver::{Reaction, Received, Receiver};
pub use stream_front::Shards;
pub use wait::wait_until;
pub use wire::Wire;
pub use world::World;
