//! What was committed of each shard, in the order in which it took effect, as seen on the wire.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The position of a shard that nothing was committed of.
const BEGINNING: &str = "TRIM_HORIZON";
/// The position of a shard of which everything was.
const END: &str = "SHARD_END";

/// Every step of every shard's position.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    steps: Vec<Step>,
    /// Transactions that took effect; one that is sent again under its token is answered and changes nothing.
    tokens: BTreeSet<String>,
}

/// One step of a shard's position, with the lease it was made under.
#[derive(Debug, Clone)]
struct Step {
    shard: String,
    from: String,
    to: String,
    owner: String,
    epoch: u64,
}

impl Ledger {
    /// Takes in a call that was carried out.
    pub(crate) fn note(&mut self, call: &str, request: &Value) {
        match call {
            "UpdateItem" => self.steps.extend(Step::of(request)),
            "TransactWriteItems" => {
                let token = request["ClientRequestToken"].as_str().unwrap_or_default();
                if token.is_empty() || self.tokens.insert(token.to_owned()) {
                    let writes = request["TransactItems"].as_array().into_iter().flatten();
                    self.steps.extend(writes.filter_map(|write| Step::of(&write["Update"])));
                }
            }
            _ => {}
        }
    }

    /// Whether everything of a shard is committed.
    pub(crate) fn has_ended(&self, shard: &str) -> bool {
        self.steps.iter().any(|step| step.shard == shard && step.to == END)
    }

    /// Each step begins where the one before it ended; leases of a shard follow one another, each with one owner; and nothing is
    /// committed of a child before its parent's end. `parents`: by child.
    pub(crate) fn check(&self, parents: &BTreeMap<String, String>) {
        let mut last: BTreeMap<&str, &Step> = BTreeMap::new();
        for step in &self.steps {
            let before = last.insert(&step.shard, step);
            assert_eq!(before.map_or(BEGINNING, |before| &before.to), step.from, "a step begins where the last ended: {step:?}");
            if let Some(before) = before {
                assert!(before.epoch <= step.epoch, "a lease that was taken commits again: {before:?}, then {step:?}");
                assert!(before.epoch < step.epoch || before.owner == step.owner, "one lease of two: {before:?}, {step:?}");
            }
            if let Some(parent) = parents.get(&step.shard) {
                let end = last.get(parent.as_str()).map(|parent| parent.to.as_str());
                assert_eq!(end, Some(END), "the parent {parent} is not at its end before {step:?}");
            }
        }
    }
}

impl Step {
    /// A write that moves a shard's position.
    fn of(update: &Value) -> Option<Self> {
        let values = &update["ExpressionAttributeValues"];
        update["Key"]["pk"]["S"].as_str().filter(|pk| pk.starts_with("SHARDS#"))?;
        let text = |name: &str| values[name]["S"].as_str().map(str::to_owned);
        Some(Self {
            shard: update["Key"]["sk"]["S"].as_str()?.to_owned(),
            from: text(":from")?,
            to: text(":to")?,
            owner: text(":me")?,
            epoch: values[":epoch"]["N"].as_str()?.parse().ok()?,
        })
    }
}
