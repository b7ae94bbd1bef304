//! Records folded into one batch: as many as fit one transaction, never a part of one.

use tidemark_domain::delta::Deltas;
use tidemark_store::{QuarantineWrite, RowChange, RowWrite, Writes};

use crate::effect::Effect;

/// Most items a batch is folded up to. Four of DynamoDB's 100 are left for what a refused row may need.
const ITEMS_MAX: usize = 96;
/// Most bytes a batch is folded up to: below DynamoDB's 4 MB, by our own estimate.
const BYTES_MAX: usize = 3_000_000;
/// What a row's update takes in a request, by estimate: two keys, a few measures, an expression.
const ROW_BYTES: usize = 1_500;

/// A batch being folded.
#[derive(Debug, Default)]
pub struct Fold {
    deltas: Deltas,
    quarantine: Vec<QuarantineWrite>,
    quarantine_bytes: usize,
    records: usize,
}

impl Fold {
    /// Takes a record's effect, unless the batch would not fit one transaction with it. An empty batch takes any one
    /// effect: definitions by which one could be too large are refused (see `ROWS_PER_RECORD_MAX`).
    #[must_use = "a refused effect belongs to the next batch"]
    pub fn take(&mut self, effect: &Effect) -> bool {
        let rows = self.deltas.len_with(&effect.deltas);
        let records = self.quarantine.len() + usize::from(effect.quarantine.is_some());
        // Each quarantined record may be counted in two counters of its own; the fence is one item.
        let items = 1 + rows + 3 * records;
        let bytes = rows * ROW_BYTES + self.quarantine_bytes + effect.quarantine.as_ref().map_or(0, QuarantineWrite::bytes);
        if self.records > 0 && (items > ITEMS_MAX || bytes > BYTES_MAX) {
            return false;
        }
        self.deltas.merge(&effect.deltas);
        if let Some(record) = &effect.quarantine {
            self.quarantine_bytes += record.bytes();
            self.quarantine.push(record.clone());
        }
        self.records += 1;
        true
    }

    /// How many records were taken.
    pub fn records(&self) -> usize {
        self.records
    }

    /// How many of them go to quarantine.
    pub fn quarantined(&self) -> usize {
        self.quarantine.len()
    }

    /// Whether the records taken change nothing but the position.
    pub fn changes_nothing(&self) -> bool {
        self.deltas.is_empty() && self.quarantine.is_empty()
    }

    /// The batch without any effect: its rows are marked broken, their deltas and the bare facts of its records go to
    /// quarantine. The last resort for what DynamoDB will not take, so that no record ever stops a shard.
    pub fn diverted(&self, lane: impl Fn(&tidemark_domain::MetricName) -> u16) -> Writes {
        let mut writes = self.writes(lane);
        for row in &mut writes.rows {
            row.change = RowChange::Divert;
        }
        writes.quarantine = writes.quarantine.into_iter().map(QuarantineWrite::without_images).collect();
        writes
    }

    /// The writes of the batch; `lane` chooses each row's lane.
    pub fn writes(&self, lane: impl Fn(&tidemark_domain::MetricName) -> u16) -> Writes {
        let row = |(key, delta): (&tidemark_domain::delta::RowKey, &tidemark_domain::delta::Measures)| RowWrite {
            key: key.clone(),
            lane: lane(&key.metric),
            delta: delta.clone(),
            change: RowChange::Add,
        };
        Writes { rows: self.deltas.rows().map(row).collect(), quarantine: self.quarantine.clone() }
    }
}
