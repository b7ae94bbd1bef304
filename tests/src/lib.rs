//! The proof: Tidemark against real parts.
//!
//! [`World`] is one isolated DynamoDB with its streams, and a [`Front`] before it that can misbehave on command. The tests
//! themselves are in `it/`; they drive the services through their real clients and the real SDK, and fake only the wire.

mod binary;
pub mod deployment;
mod emulator;
pub mod front;
pub mod oracle;
mod wait;
mod world;

pub use deployment::Deployment;
pub use front::{Fault, Front, When};
pub use wait::wait_until;
pub use world::World;
