//! A consumer of DynamoDB Streams: finds the shards of a stream, reads them in lineage order, under leases whose
//! fencing reaches into the application's own transaction.
//!
//! A shard's position moves in the same `TransactWriteItems` that holds what the records amount to. So the effects of the
//! records up to a position are visible if and only if the position is stored, whatever crashes, repeats or comes late.
//! The control table is DynamoDB, too; there is no leader, and no clock of one machine is compared with another's.
//!
//! - [`Streams`] is the handle: it looks at sources, creates tables, makes single steps, and reads the status.
//! - [`Worker`] is one process's membership: it acquires shards ([`HeldShard`]) and publishes watermarks.
//! - [`ShardReader`] reads one shard; [`Pacing`] says how often.
//! - [`HeldShard::advance`] makes an [`Advance`]: the one write to put into the application's transaction, and the judge
//!   ([`Verdict`]) of what became of it.
//!
//! This crate knows nothing of what the records mean. Images come as plain values; SDK types appear only where the
//! application's transaction meets the shard's write.

mod advance;
mod assignment;
mod client;
mod clock;
mod control;
mod delay;
mod error;
mod graph;
mod id;
mod lease;
mod listing;
mod pacing;
mod position;
mod reader;
mod record;
mod source;
mod status;
mod table;
#[cfg(test)]
mod testing;
mod watermark;
mod worker;

pub use advance::{Advance, Verdict};
pub use client::Streams;
pub use clock::ServiceClock;
pub use control::{GapReason, Malformed, ShardState};
pub use delay::DeliveryDelay;
pub use error::{Cause, Error};
pub use id::{Error as IdError, ShardId, StreamArn, StreamId, WorkerId};
pub use lease::{HeldShard, Lease};
pub use pacing::Pacing;
pub use position::{Error as PositionError, Position, SequenceNumber};
pub use reader::{Page, ReadError, ShardReader};
pub use record::Record;
pub use source::{SourceStream, Start, history_is_complete};
pub use status::{Gap, KnownStream, ShardCounts, ShardStatus, StreamStatus, StreamWatermark};
pub use table::Created;
pub use tidemark_dynamo::Remedy;
pub use watermark::ShardWatermark;
pub use worker::{Worker, WorkerConfig};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
