//! Requests and consumed units, by the name of the call.

use std::collections::BTreeMap;
use std::ops::Sub;

use serde::Deserialize;

/// The calls of a period, by their name.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Usage(BTreeMap<String, Calls>);

/// All calls of one name.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Calls {
    pub(crate) requests: u64,
    /// Of these, the writes that were refused because a transaction held one of their items.
    pub(crate) conflicts: u64,
    /// Read units, or write units: one for each started KB of the larger of the item before and after, twice that in a transaction. A write
    /// that is refused by a conflict counts as one of items below 1 KB. Writes whose condition fails, which AWS charges too, are not counted.
    pub(crate) units: f64,
}

/// The part of an answer that says what its call consumed.
#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "ConsumedCapacity")]
    consumed: Option<Consumed>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Consumed {
    OfTable(OfTable),
    OfTables(Vec<OfTable>),
}

#[derive(Deserialize)]
struct OfTable {
    #[serde(rename = "CapacityUnits")]
    units: f64,
}

/// Whether a call writes items.
pub(super) fn is_write(call: &str) -> bool {
    matches!(call, "PutItem" | "UpdateItem" | "DeleteItem" | "BatchWriteItem" | "TransactWriteItems")
}

/// Whether a call consumes units.
pub(super) fn consumes(call: &str) -> bool {
    is_write(call) || matches!(call, "GetItem" | "BatchGetItem" | "Query" | "Scan" | "TransactGetItems")
}

impl Usage {
    /// Counts a call and the units that its answer names.
    pub(super) fn note(&mut self, call: &str, answer: &str) {
        let consumed = consumes(call).then(|| serde_json::from_str::<Answer>(answer).ok()?.consumed).flatten();
        let units = match &consumed {
            None => 0.0,
            Some(Consumed::OfTable(table)) => table.units,
            Some(Consumed::OfTables(tables)) => tables.iter().map(|table| table.units).sum(),
        };
        let calls = self.0.entry(call.to_owned()).or_default();
        calls.requests += 1;
        calls.units += units;
    }

    /// Counts a write of so many items that a transaction's hold on one of them refused.
    pub(super) fn note_conflict(&mut self, call: &str, items: usize) {
        let calls = self.0.entry(call.to_owned()).or_default();
        let units_per_item = if call == "TransactWriteItems" { 2.0 } else { 1.0 };
        calls.requests += 1;
        calls.conflicts += 1;
        calls.units += units_per_item * items as f64;
    }

    /// The calls of one name.
    pub(crate) fn of(&self, call: &str) -> Calls {
        self.0.get(call).copied().unwrap_or_default()
    }

    /// The calls of each name of which there was one, most first.
    pub(crate) fn by_name(&self) -> Vec<(&str, Calls)> {
        let calls = self.0.iter().filter(|(_, calls)| calls.requests > 0);
        let mut calls: Vec<(&str, Calls)> = calls.map(|(name, calls)| (name.as_str(), *calls)).collect();
        calls.sort_by_key(|(_, calls)| std::cmp::Reverse(calls.requests));
        calls
    }

    /// All calls that write items.
    pub(crate) fn writes(&self) -> Calls {
        self.sum(true)
    }

    /// All other calls, those that consume nothing included.
    pub(crate) fn reads(&self) -> Calls {
        self.sum(false)
    }

    fn sum(&self, writes: bool) -> Calls {
        let calls = self.0.iter().filter(|(call, _)| is_write(call) == writes);
        calls.fold(Calls::default(), |sum, (_, calls)| Calls {
            requests: sum.requests + calls.requests,
            conflicts: sum.conflicts + calls.conflicts,
            units: sum.units + calls.units,
        })
    }
}

impl Sub for &Usage {
    type Output = Usage;

    /// What was consumed since an earlier moment.
    fn sub(self, earlier: &Usage) -> Usage {
        let since = self.0.iter().map(|(call, calls)| {
            let before = earlier.of(call);
            let conflicts = calls.conflicts - before.conflicts;
            (call.clone(), Calls { requests: calls.requests - before.requests, conflicts, units: calls.units - before.units })
        });
        Usage(since.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_adds_the_units_that_answers_name() {
        let mut usage = Usage::default();
        usage.note("PutItem", r#"{"ConsumedCapacity":{"TableName":"t","CapacityUnits":2.0}}"#);
        let two = r#"{"ConsumedCapacity":[{"TableName":"t","CapacityUnits":4.0},{"TableName":"u","CapacityUnits":2.0}]}"#;
        usage.note("TransactWriteItems", two);
        let before = usage.clone();
        usage.note("Query", r#"{"Items":[{"pk":{"S":"a"}}],"Count":1,"ConsumedCapacity":{"TableName":"t","CapacityUnits":0.5}}"#);
        usage.note("GetRecords", r#"{"Records":[]}"#);
        assert_eq!(usage.of("TransactWriteItems"), Calls { requests: 1, conflicts: 0, units: 6.0 });
        assert_eq!(usage.writes(), Calls { requests: 2, conflicts: 0, units: 8.0 });
        assert_eq!((&usage - &before).reads(), Calls { requests: 2, conflicts: 0, units: 0.5 });
        assert_eq!((&usage - &before).writes(), Calls::default());
        let since = &usage - &before;
        let names: Vec<&str> = since.by_name().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["GetRecords", "Query"]);
    }
}
