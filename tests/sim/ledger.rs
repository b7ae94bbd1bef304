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
    /// Shards that some worker has acquired.
    acquired: BTreeSet<String>,
}

/// One step of a shard's position, with the lease it was made under.
#[derive(Debug, Clone)]
struct Step {
    /// Who sent it, counted in the order of the workers' starts: the name of the owner may be another's, too.
    worker: u64,
    shard: String,
    from: String,
    to: String,
    owner: String,
    epoch: u64,
    /// A step over lost history sets the epoch, too.
    next_epoch: Option<u64>,
}

impl Ledger {
    /// Takes in a call that was carried out.
    pub(crate) fn note(&mut self, worker: u64, call: &str, request: &Value) {
        match call {
            "UpdateItem" => {
                self.steps.extend(Step::of(worker, request));
                self.acquired.extend(acquisition(request));
            }
            "TransactWriteItems" => {
                let token = request["ClientRequestToken"].as_str().unwrap_or_default();
                if token.is_empty() || self.tokens.insert(token.to_owned()) {
                    let writes = request["TransactItems"].as_array().into_iter().flatten();
                    self.steps.extend(writes.filter_map(|write| Step::of(worker, &write["Update"])));
                }
            }
            _ => {}
        }
    }

    /// Whether everything of a shard is committed.
    pub(crate) fn has_ended(&self, shard: &str) -> bool {
        self.steps.iter().any(|step| step.shard == shard && step.to == END)
    }

    /// Whether anybody has begun a shard. A child is stored in the name of its parent's finisher before anybody does.
    pub(crate) fn was_acquired(&self, shard: &str) -> bool {
        self.acquired.contains(shard)
    }

    /// At how many positions lost history was stepped over. A worker that ends before it commits what follows leaves the step to the next.
    pub(crate) fn gaps(&self) -> usize {
        let gaps = self.steps.iter().filter(|step| step.next_epoch.is_some());
        gaps.map(|step| (&step.shard, &step.from)).collect::<BTreeSet<_>>().len()
    }

    /// Each step begins where the one before it ended; leases of a shard follow one another, each with one worker; nothing is
    /// committed twice; and nothing is committed of a child before its parent's end. `parents`: by child.
    pub(crate) fn check(&self, parents: &BTreeMap<String, String>) {
        let mut last: BTreeMap<&str, &Step> = BTreeMap::new();
        let mut farthest: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
        for step in &self.steps {
            let before = last.insert(&step.shard, step);
            assert_eq!(before.map_or(BEGINNING, |before| &before.to), step.from, "a step begins where the last ended: {step:?}");
            if let Some(before) = before {
                assert!(before.epoch_after() <= step.epoch, "a lease that was taken commits again: {before:?}, then {step:?}");
                assert!(
                    before.epoch_after() < step.epoch || (before.worker, &before.owner) == (step.worker, &step.owner),
                    "one lease of two: {before:?}, {step:?}"
                );
            }
            if step.next_epoch.is_some() {
                assert!(step.epoch < step.epoch_after(), "what moves a position back raises the epoch: {step:?}");
            } else if step.to != END {
                let before = farthest.insert(&step.shard, order(&step.to));
                assert!(before < Some(order(&step.to)), "records are committed again: {before:?}, then {step:?}");
            }
            if let Some(parent) = parents.get(&step.shard) {
                let end = last.get(parent.as_str()).map(|parent| parent.to.as_str());
                assert_eq!(end, Some(END), "the parent {parent} is not at its end before {step:?}");
            }
        }
    }
}

/// The shard that a write acquires.
fn acquisition(update: &Value) -> Option<String> {
    update["UpdateExpression"].as_str().filter(|expression| expression.starts_with("SET #owner = :me"))?;
    update["Key"]["sk"]["S"].as_str().map(str::to_owned)
}

/// Sequence numbers are decimals of any width.
fn order(number: &str) -> (usize, &str) {
    (number.len(), number)
}

impl Step {
    /// A write that moves a shard's position.
    fn of(worker: u64, update: &Value) -> Option<Self> {
        let values = &update["ExpressionAttributeValues"];
        update["Key"]["pk"]["S"].as_str().filter(|pk| pk.starts_with("SHARDS#"))?;
        let text = |name: &str| values[name]["S"].as_str().map(str::to_owned);
        let number = |name: &str| values[name]["N"].as_str().and_then(|number| number.parse().ok());
        Some(Self {
            worker,
            shard: update["Key"]["sk"]["S"].as_str()?.to_owned(),
            from: text(":from")?,
            to: text(":to")?,
            owner: text(":me")?,
            epoch: number(":epoch")?,
            next_epoch: number(":next"),
        })
    }

    /// The epoch that stands after the step.
    fn epoch_after(&self) -> u64 {
        self.next_epoch.unwrap_or(self.epoch)
    }
}
