//! One call of a worker: what went over the wire.

use std::collections::BTreeSet;

use serde_json::Value;
use tidemark_tests::deployment::tables;
use tidemark_tests::wire::{Answer, Call};
use tokio::time::Instant;

use super::fleet::WorkerNumber;

/// One call of a worker.
#[derive(Debug, Clone)]
pub(super) struct Traced {
    pub(super) worker: WorkerNumber,
    pub(super) at: Instant,
    /// As in `X-Amz-Target`, without the service.
    pub(super) name: String,
    pub(super) request: Value,
    /// Of GetRecords: how many it gave.
    pub(super) records: usize,
    /// Of GetRecords: nothing follows.
    pub(super) closed: bool,
    /// Of a transaction: it was carried out.
    pub(super) is_committed: bool,
}

impl Traced {
    pub(super) fn of(worker: WorkerNumber, call: &Call) -> Self {
        let (name, request) = (call.name.clone(), call.request.clone());
        Self { worker, at: Instant::now(), name, request, records: 0, closed: false, is_committed: false }
    }

    pub(super) fn take(&mut self, answer: &Answer) {
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        let records = body["Records"].as_array().map_or(&[][..], Vec::as_slice);
        self.records = records.len();
        self.closed = body["NextShardIterator"].is_null();
    }

    /// Of GetShardIterator and GetRecords: the shard. The model's iterators name it.
    pub(super) fn shard(&self) -> String {
        let of_iterator = || self.request["ShardIterator"].as_str().and_then(|iterator| iterator.split('|').nth(1));
        self.request["ShardId"].as_str().or_else(of_iterator).unwrap().to_owned()
    }

    /// Of a transaction: the shards whose positions it moves.
    pub(super) fn moved(&self) -> BTreeSet<String> {
        let items = self.request["TransactItems"].as_array().into_iter().flatten();
        let keys = items.map(|item| &item["Update"]["Key"]);
        let of_shards = keys.filter(|key| key["pk"]["S"].as_str().is_some_and(|pk| pk.starts_with("SHARDS#")));
        of_shards.map(|key| key["sk"]["S"].as_str().unwrap().to_owned()).collect()
    }

    /// Whether it takes a shard's lease.
    pub(super) fn acquires(&self) -> bool {
        self.request["UpdateExpression"].as_str().is_some_and(|expression| expression.starts_with("SET #owner = :me"))
    }

    /// Whether it changes the control table.
    pub(super) fn is_control_write(&self) -> bool {
        let writes = ["PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem"];
        writes.contains(&self.name.as_str()) && self.request.to_string().contains(&format!("\"{}\"", tables().control))
    }

    /// Whether it publishes a watermark.
    pub(super) fn is_of_watermark(&self) -> bool {
        self.request["Key"]["pk"]["S"] == "WATERMARK"
    }
}
