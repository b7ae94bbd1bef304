//! A lease: the right to commit for one shard, and what its holder needs to use it.

use std::sync::Arc;

use jiff::Timestamp;

use crate::advance::Advance;
use crate::control::shard::{Fence, ShardItem};
use crate::id::{ShardId, StreamId, WorkerId};
use crate::position::Position;

/// Who may commit for a shard. The epoch rises with every change of hands and with every move backwards, so that
/// whatever an earlier holder still sends is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub owner: WorkerId,
    pub epoch: u64,
}

/// A shard whose lease this process holds, at the position that is stored. Only an acquisition makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldShard {
    pub stream: StreamId,
    pub shard: ShardId,
    pub lease: Lease,
    /// Where reading goes on: what is stored, not what was read.
    pub position: Position,
    /// The version of the application's definitions the shard was last committed under. It never falls.
    pub defs: u64,
    /// What is read from the shard's beginning later than this may lack records that had to be read. None: that is not known, or not
    /// the beginning, or a gap says already that something is missing.
    pub(crate) whole_until: Option<Timestamp>,
    /// The time of the position, if it is known.
    pub(crate) position_at: Option<Timestamp>,
    /// Up to when the shard is included, as far as its item tells.
    pub(crate) watermark: Option<Timestamp>,
    /// The record at the position is no longer in the stream: reading goes on at the oldest record there is, and leaves out those up to
    /// the position, should they be there after all.
    pub(crate) is_trimmed: bool,
    pub(crate) control_table: Arc<str>,
}

impl HeldShard {
    pub(crate) fn new(control_table: Arc<str>, stream: StreamId, lease: Lease, stored: &ShardItem) -> Self {
        let shard = stored.shard.clone();
        let Fence { position, defs, .. } = stored.fence.clone();
        let (position_at, watermark) = (stored.position_at(), stored.included_up_to());
        Self { stream, shard, lease, position, defs, whole_until: None, position_at, watermark, is_trimmed: false, control_table }
    }

    /// The step from the held position to `to`, computed under version `defs` of the application's definitions.
    /// `to` must differ from the held position: a step that moves nothing could not be told from one already made.
    pub fn advance(&self, to: &Position, defs: u64) -> Advance {
        Advance::new(self.clone(), to.clone(), defs)
    }

    /// The same lease after a step was committed.
    pub fn after(&self, advance: &Advance) -> Self {
        let (position, defs, watermark) = (advance.to().clone(), advance.defs(), advance.watermark());
        Self { position, defs, watermark, is_trimmed: false, ..self.clone() }
    }

    /// The same lease at the position that was found stored, when it was not the one expected.
    pub fn moved(&self, stored: Position) -> Self {
        Self { position: stored, is_trimmed: false, ..self.clone() }
    }
}
