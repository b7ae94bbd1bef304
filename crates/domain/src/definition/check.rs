//! What the parts of definitions must be to each other, in a file and in what is running.

use std::collections::BTreeMap;

use super::{Definitions, GroupingSet, Inventory, KeySchema, Measure, Metric, ROWS_PER_RECORD_MAX, Source, TenantRule, spelling};
use crate::name::{InventoryName, MeasureName, MetricName, SourceName};
use crate::tenant::TENANT_ID_LENGTH_MAX;

/// Rows that one record may touch in each grouping set: two buckets, in the old place and in the new one.
const ROWS_PER_SET: usize = 4;
/// Items that one record may touch in an inventory when it moves from one level to another, each with an alert. The old level: its
/// row, its alert (resolved), the event of that, and the job that repeats it. The new one: its row; another rule may have come to
/// apply, so an alert resolved and its event, an alert fired, its event and its repeat job. Each one's tenant has its rules checked.
const ROWS_PER_INVENTORY: usize = ROWS_OF_OLD_LEVEL + ROWS_OF_NEW_LEVEL + RULE_CHECKS;
const ROWS_OF_OLD_LEVEL: usize = 4;
const ROWS_OF_NEW_LEVEL: usize = 7;
const RULE_CHECKS: usize = 2;
/// Most measures of a metric. One update adds them all, and an update expression has at most 4 KB and 300 operators (AWS).
const MEASURES_MAX: usize = 100;
/// Longest partition key (AWS: limits).
const PARTITION_KEY_BYTES_MAX: usize = 2048;
/// What a row's partition key holds beside metric and set: `T#<tenant>#M#`, `.`, `#g<u32>`, `#q<date>`, `#L<lane>`.
const PARTITION_KEY_BYTES_FIXED: usize = 2 + TENANT_ID_LENGTH_MAX + 3 + 1 + 12 + 12 + 4;

/// Something wrong with definitions that are well-formed.
pub(crate) struct Finding {
    /// Where, as a path of the definition file.
    pub(crate) path: String,
    pub(crate) message: String,
    /// The part whose absence is what is wrong.
    pub(super) missing: Option<String>,
}

impl Finding {
    fn new(path: String, message: String) -> Self {
        Self { path, message, missing: None }
    }

    fn missing(self, part: String) -> Self {
        Self { missing: Some(part), ..self }
    }
}

/// Everything wrong with definitions.
pub(crate) fn findings(definitions: &Definitions) -> Vec<Finding> {
    let names: Vec<_> = definitions.sources.keys().map(SourceName::as_str).collect();
    findings_of_file(definitions, &names)
}

/// Everything wrong with what could be read of a file that has sources of these names, readable or not.
pub(super) fn findings_of_file(definitions: &Definitions, declared: &[&str]) -> Vec<Finding> {
    let mut found = Vec::new();
    sources(definitions, &mut found);
    for (name, metric) in &definitions.metrics {
        found.extend(source_named(definitions, declared, format!("metrics.{name}"), &metric.source));
        measures(name, metric, &mut found);
        found.extend(metric.group_by.iter().filter_map(|set| key_too_long(name, set)));
    }
    for (name, inventory) in &definitions.inventories {
        found.extend(source_named(definitions, declared, format!("inventory.{name}"), &inventory.source));
        found.extend(not_covering(definitions, name, inventory));
    }
    found
}

fn sources(definitions: &Definitions, found: &mut Vec<Finding>) {
    let mut readers: BTreeMap<&str, &SourceName> = BTreeMap::new();
    for (name, source) in &definitions.sources {
        if let Some(other) = readers.insert(&source.table, name) {
            found.push(Finding::new(
                format!("sources.{name}.table"),
                format!("the source `{other}` reads the table `{}` too; let one source serve all its metrics", source.table),
            ));
        }
        let rows = rows_per_record(definitions, name);
        if rows > ROWS_PER_RECORD_MAX {
            found.push(Finding::new(
                format!("sources.{name}"),
                format!(
                    "one record of `{name}` could touch {rows} rows, and a commit takes at most {ROWS_PER_RECORD_MAX}: each \
                     grouping set of its metrics counts {ROWS_PER_SET}, each inventory {ROWS_PER_INVENTORY}"
                ),
            ));
        }
    }
}

/// How many rows one record of a source may touch.
fn rows_per_record(definitions: &Definitions, source: &SourceName) -> usize {
    let sets: usize = definitions.metrics_of(source).map(|(_, metric)| metric.group_by.len()).sum();
    let inventories = definitions.inventories.values().filter(|inventory| inventory.source == *source).count();
    sets * ROWS_PER_SET + inventories * ROWS_PER_INVENTORY
}

fn source_named(definitions: &Definitions, declared: &[&str], path: String, source: &SourceName) -> Option<Finding> {
    if definitions.sources.contains_key(source) {
        return None;
    }
    let names = spelling::allowed(source.as_str(), declared.iter().copied());
    let message = format!("there is no source `{source}`; the file's sources: {names}");
    let missing = if declared.is_empty() { "sources".to_owned() } else { format!("sources.{source}") };
    Some(Finding::new(format!("{path}.source"), message).missing(missing))
}

fn measures(metric: &MetricName, definition: &Metric, found: &mut Vec<Finding>) {
    let path = format!("metrics.{metric}.measures");
    let stored: Vec<&str> = definition.stored_measures().map(|(name, _)| name.as_str()).collect();
    if stored.is_empty() {
        let message = "at least one measure with `sum` or `count` is needed".to_owned();
        found.push(Finding::new(path.clone(), message).missing(path.clone()));
    }
    if stored.len() > MEASURES_MAX {
        found.push(Finding::new(path.clone(), format!("{} stored measures; at most {MEASURES_MAX} are allowed", stored.len())));
    }
    for (name, measure) in &definition.measures {
        if measure.unit() == Some("money") && definition.currency.is_none() {
            let message = format!("money needs a currency: add `currency: {{ attribute: …, default: … }}` to `{metric}`");
            found.push(Finding::new(format!("{path}.{name}.unit"), message).missing(format!("metrics.{metric}.currency")));
        }
        if let Measure::Ratio { numerator, denominator, .. } = measure {
            let parts = [numerator, denominator].into_iter().filter(|part| !stored.contains(&part.as_str()));
            found.extend(parts.map(|part| not_stored(&path, name, definition, part)));
        }
    }
}

fn not_stored(path: &str, name: &MeasureName, definition: &Metric, part: &MeasureName) -> Finding {
    let problem = match definition.measures.get(part) {
        Some(_) => format!("`{part}` is itself a ratio"),
        None => format!("there is no measure `{part}`"),
    };
    let stored = spelling::allowed(part.as_str(), definition.stored_measures().map(|(name, _)| name.as_str()));
    let message = format!("{problem}; a ratio is of two measures with `sum` or `count`: {stored}");
    Finding::new(format!("{path}.{name}.ratio"), message).missing(format!("{path}.{part}"))
}

fn key_too_long(metric: &MetricName, set: &GroupingSet) -> Option<Finding> {
    let bytes = PARTITION_KEY_BYTES_FIXED + metric.as_str().len() + set.key().len();
    (bytes > PARTITION_KEY_BYTES_MAX).then(|| {
        let message = format!(
            "the names of a set of {} dimensions make a key of {bytes} bytes, over {PARTITION_KEY_BYTES_MAX}",
            set.dimensions().len()
        );
        Finding::new(format!("metrics.{metric}.group_by"), message)
    })
}

fn not_covering(definitions: &Definitions, name: &InventoryName, inventory: &Inventory) -> Option<Finding> {
    let source = definitions.sources.get(&inventory.source)?;
    let uncovered = inventory.uncovered_keys(source, source.key.as_ref()?);
    (!uncovered.is_empty()).then(|| {
        let path = format!("inventory.{name}");
        Finding::new(path.clone(), uncovered_message(&uncovered)).missing(path)
    })
}

fn uncovered_message(uncovered: &[String]) -> String {
    let names: Vec<_> = uncovered.iter().map(|name| format!("`{name}`")).collect();
    format!(
        "the table's key attribute {} must be the source's tenant attribute, or this inventory's `item` or `location`: else two \
         rows would be one level",
        names.join(" and ")
    )
}

impl Inventory {
    /// The key attributes of the table that tenant, item and location leave out, so that two rows could be one level.
    pub fn uncovered_keys(&self, source: &Source, key: &KeySchema) -> Vec<String> {
        let tenant = match &source.tenant {
            TenantRule::Attribute { attribute, .. } => Some(attribute),
            TenantRule::Constant(_) => None,
        };
        let location = self.location.as_ref().map(|location| &location.attribute);
        let covering = [tenant, Some(&self.item), location];
        let uncovered = |attribute: &&String| !covering.contains(&Some(*attribute));
        std::iter::once(&key.partition).chain(&key.sort).filter(uncovered).cloned().collect()
    }
}
