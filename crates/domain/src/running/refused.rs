//! What a proposed file may not change, and the ways on.

use crate::name::{InventoryName, MetricName, SourceName};

/// One thing of a file that cannot be adopted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "source `{source_name}`: {} changed, and items were read with what it was. {}",
        .changed.join(", "), way_on(source_name, .readers)
    )]
    Source {
        source_name: SourceName,
        changed: Vec<&'static str>,
        /// What is made from the source, as `metrics.NAME` or `inventory.NAME`.
        readers: Vec<String>,
    },
    #[error(
        "metric `{metric}`: {} changed, and its rows were counted with what it was. Give the changed metric a new name, or let \
         it start anew with `tidemark definitions accept {metric} --from-now`",
        .changed.join(", ")
    )]
    Metric { metric: MetricName, changed: Vec<String> },
    #[error(
        "inventory `{inventory}`: {} changed, and its levels were made with what it was. Give the changed inventory a new name",
        .changed.join(", ")
    )]
    Inventory { inventory: InventoryName, changed: Vec<&'static str> },
    /// The file is valid by itself, but not together with what keeps running.
    #[error("{path}: {message}; parts no longer in the file still count, until `tidemark definitions remove NAME`")]
    Together { path: String, message: String },
}

fn way_on(source: &SourceName, readers: &[String]) -> String {
    match readers {
        [] => format!("Give the changed source a new name, or run `tidemark definitions remove {source} --for-good` first"),
        [one] if one.starts_with("metrics.") => {
            let metric = one.trim_start_matches("metrics.");
            format!(
                "Give the changed source and the metric `{metric}` new names, or let the metric start anew with `tidemark \
                 definitions accept {metric} --from-now`"
            )
        }
        many => format!(
            "Give the changed source, and what is made from it, new names; or run `tidemark definitions remove NAME \
             --for-good` first for each of {}",
            many.join(", ")
        ),
    }
}

/// A file that changes what runs in ways that would make stored numbers wrong: every one of them, shown one a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(Refusal::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Refused(pub(super) Vec<Refusal>);

impl Refused {
    /// At least one.
    pub fn refusals(&self) -> &[Refusal] {
        &self.0
    }
}
