//! Records folded into one batch: as many as fit one transaction, never a part of one.

use std::collections::BTreeSet;

use tidemark_domain::delta::{Deltas, Measures, RowKey};
use tidemark_domain::{MetricName, TenantId};
use tidemark_store::{Provenance, QuarantineWrite, RowChange, RowWrite, Writes};
use tidemark_webhooks::event::BodyError;

use crate::effect::Effect;
use crate::stock::{Stock, Writing};

/// Most items a batch is folded up to. Four of DynamoDB's 100 are left for what a refused row may need.
const ITEMS_MAX: usize = 96;
/// Most bytes a batch is folded up to: below DynamoDB's 4 MB, by our own estimate.
const BYTES_MAX: usize = 3_000_000;
/// What a row's update takes in a request, by estimate: two keys, a few measures, an expression.
const ROW_BYTES: usize = 1_500;
/// What an item of a level or its alerts takes, by estimate: an alert with its notes, twice in the item of its level.
const STOCK_ITEM_BYTES: usize = 10_000;

/// A batch being folded.
#[derive(Debug, Default)]
pub struct Fold {
    deltas: Deltas,
    quarantine: Vec<QuarantineWrite>,
    quarantine_bytes: usize,
    records_quarantined: usize,
    records: usize,
    /// Some record changes something by itself, even if another one takes it back.
    has_effects: bool,
    stock: Stock,
}

impl Fold {
    /// Takes a record's effect, unless the batch would not fit one transaction with it. An empty batch takes any one
    /// effect: definitions by which one could be too large are refused (see `ROWS_PER_RECORD_MAX`).
    #[must_use = "a refused effect belongs to the next batch"]
    pub fn take(&mut self, effect: &Effect) -> bool {
        let rows = self.deltas.len_with(&effect.deltas);
        let quarantined = self.quarantine.len() + effect.quarantine.len();
        let changed = self.stock.decide(&effect.levels);
        let stock_items = self.stock.items_with(&changed);
        // Each quarantined record may be counted in two counters of its own; the fence is one item.
        let items = 1 + rows + 3 * quarantined + stock_items;
        let quarantine_bytes = self.quarantine_bytes + effect.quarantine.iter().map(QuarantineWrite::bytes).sum::<usize>();
        let bytes = rows * ROW_BYTES + quarantine_bytes + stock_items * STOCK_ITEM_BYTES;
        if self.records > 0 && (items > ITEMS_MAX || bytes > BYTES_MAX) {
            return false;
        }
        self.has_effects |= !effect.deltas.is_empty() || !effect.quarantine.is_empty() || !self.stock.is_same_with(&changed);
        self.deltas.merge(&effect.deltas);
        self.stock.take(changed);
        self.quarantine_bytes = quarantine_bytes;
        self.quarantine.extend(effect.quarantine.iter().cloned());
        self.records_quarantined += usize::from(!effect.quarantine.is_empty());
        self.records += 1;
        true
    }

    /// The batch again, by its levels as they were read; `taken` are the effects it took, but for levels that cannot be decided. What
    /// becomes of levels may need more room than was foreseen, so that fewer records fit.
    #[must_use]
    pub fn decided(taken: &[Effect], stock: Stock) -> Self {
        let mut decided = Self { stock, ..Self::default() };
        for effect in taken {
            if !decided.take(effect) {
                break;
            }
        }
        decided
    }

    /// How many records were taken.
    pub fn records(&self) -> usize {
        self.records
    }

    /// How many of them go to quarantine.
    pub fn quarantined(&self) -> usize {
        self.records_quarantined
    }

    /// The levels it touches.
    pub fn stock(&self) -> &Stock {
        &self.stock
    }

    /// Whether none of the records taken changes anything but the position. Two that cancel each other are not harmless: a worker that reads on
    /// from the stored position may find only one of them in a batch.
    pub fn is_harmless(&self) -> bool {
        !self.has_effects
    }

    /// The batch without what DynamoDB will not take: its rows are marked broken, their deltas and the bare facts of its records go
    /// to quarantine.
    ///
    /// # Errors
    /// As [`writes`](Self::writes).
    pub fn diverted(&self, lane: impl Fn(&MetricName) -> u16, writing: &Writing<'_>) -> Result<Writes, BodyError> {
        let mut writes = self.writes(lane, writing)?;
        for row in &mut writes.rows {
            row.change = RowChange::Divert;
        }
        writes.quarantine = writes.quarantine.into_iter().map(QuarantineWrite::without_images).collect();
        Ok(writes)
    }

    /// The batch without any of its effects: a quarantine record for each tenant that it would have changed, and for each record that
    /// was to be quarantined; all without images.
    #[must_use]
    pub fn set_aside(&self, from: &Provenance) -> Writes {
        let of_rows = self.deltas.rows().map(|(key, _)| &key.tenant);
        let tenants: BTreeSet<&TenantId> = of_rows.chain(self.stock.keys().map(|key| &key.tenant)).collect();
        let named = tenants.into_iter().map(|tenant| QuarantineWrite::refused(tenant.clone(), from));
        let quarantine = self.quarantine.iter().cloned().map(QuarantineWrite::without_images);
        Writes { quarantine: named.chain(quarantine).collect(), ..Writes::default() }
    }

    /// The writes of the batch, which is [decided](Self::decided); `lane` chooses each row's lane.
    ///
    /// # Errors
    /// When an event cannot be said in the bytes it may have, which no level brings about.
    pub fn writes(&self, lane: impl Fn(&MetricName) -> u16, writing: &Writing<'_>) -> Result<Writes, BodyError> {
        let row = |(key, delta): (&RowKey, &Measures)| RowWrite {
            key: key.clone(),
            lane: lane(&key.metric),
            delta: delta.clone(),
            change: RowChange::Add,
        };
        debug_assert!(self.stock.unread().is_empty(), "levels are read before they are written");
        Ok(Writes {
            rows: self.deltas.rows().map(row).collect(),
            quarantine: self.quarantine.clone(),
            decisions: self.stock.decisions(writing)?,
        })
    }
}
