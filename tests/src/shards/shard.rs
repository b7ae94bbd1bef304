//! One shard: its keys, its records and their sequence numbers.

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Hashes of keys are below this.
const HASHES: u64 = 1 << 32;
/// A sequence number is a prefix of the shard's own, then this many digits that no other number of the table has.
const SALT_DIGITS: usize = 12;
/// A prefix stays below this, so that a number has 40 digits at most.
const PREFIX_END: u128 = 10_u128.pow(28);

/// The hashes `[start, end)`, whose items a shard holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    start: u64,
    end: u64,
}

#[derive(Debug)]
pub(super) struct Shard {
    pub(super) id: String,
    pub(super) parent: Option<String>,
    pub(super) range: Range,
    pub(super) open: bool,
    /// Listed no longer, and not to be read.
    pub(super) gone: bool,
    /// So many listings more do not show it.
    pub(super) hidden: u32,
    /// Below the numbers of all records.
    pub(super) first: String,
    /// Above the numbers of all records, once the shard is closed.
    pub(super) last: Option<String>,
    /// Also those trimmed.
    pub(super) records: Vec<Record>,
    /// So many of the first records are trimmed.
    pub(super) trimmed: usize,
    prefix: u128,
}

#[derive(Debug)]
pub(super) struct Record {
    pub(super) number: String,
    /// When the item was changed, in seconds.
    pub(super) created: f64,
    pub(super) bytes: usize,
    /// As GetRecords gives it.
    pub(super) json: Value,
}

impl Range {
    /// So many ranges, which hold every hash once.
    pub(super) fn tiles(count: usize) -> Vec<Self> {
        let count = u64::try_from(count).expect("a count of shards").max(1);
        (0..count).map(|tile| Self { start: HASHES * tile / count, end: HASHES * (tile + 1) / count }).collect()
    }

    pub(super) fn halves(self) -> [Self; 2] {
        let middle = u64::midpoint(self.start, self.end);
        [Self { end: middle, ..self }, Self { start: middle, ..self }]
    }

    pub(super) fn holds(self, hash: u64) -> bool {
        (self.start..self.end).contains(&hash)
    }
}

/// The hash of an item's key, whatever order its attributes come in.
pub(super) fn hash_of(keys: &Value) -> u64 {
    let mut attributes: Vec<_> = keys.as_object().into_iter().flatten().map(|(name, value)| format!("{name}={value}")).collect();
    attributes.sort();
    let digest = Sha256::digest(attributes.join("\n"));
    digest[..4].iter().fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

/// Where a shard's numbers begin: 21 to 23 digits, whatever its parent's were.
pub(super) fn first_prefix(random: &mut StdRng) -> u128 {
    random.random_range(10_u128.pow(8)..10_u128.pow(11))
}

impl Shard {
    pub(super) fn new(id: String, parent: Option<String>, range: Range, prefix: u128, hidden: u32) -> Self {
        Self {
            id,
            parent,
            range,
            open: true,
            gone: false,
            hidden,
            first: String::new(),
            last: None,
            records: Vec::new(),
            trimmed: 0,
            prefix,
        }
    }

    /// A number above all numbers of this shard so far. Now and then it is a digit wider, as AWS's numbers are of any width from
    /// 21 to 40 digits: read as text, a later number is then often the smaller one.
    pub(super) fn next_number(&mut self, salt: u64, random: &mut StdRng) -> String {
        let wider = self.prefix * 10;
        self.prefix = if random.random_ratio(1, 24) && wider < PREFIX_END / 10 {
            wider
        } else {
            self.prefix + random.random_range(0..1000_u128)
        };
        format!("{}{salt:0SALT_DIGITS$}", self.prefix)
    }

    pub(super) fn push(&mut self, mut json: Value, number: String) {
        let change = &mut json["dynamodb"];
        change["SequenceNumber"] = number.clone().into();
        let created = change["ApproximateCreationDateTime"].as_f64().unwrap_or(0.0);
        let bytes = change["SizeBytes"].as_u64().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
        self.records.push(Record { number, created, bytes, json });
    }

    pub(super) fn trim(&mut self, count: usize) {
        self.trimmed = (self.trimmed + count).min(self.records.len());
    }
}
