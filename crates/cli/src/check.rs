//! `tidemark check FILE`.

use crate::Failure;
use crate::command::Check;
use crate::connection::read_definitions;
use crate::output;

pub(crate) fn run(options: &Check) -> Result<(), Failure> {
    let definitions = read_definitions(&options.file)?;
    if options.json {
        output::json(&serde_json::to_value(&definitions).expect("definitions are plain data with text keys"));
        return Ok(());
    }
    println!("{} is fine", options.file.display());
    for (name, source) in &definitions.sources {
        println!("  source {name}: table {}", source.table);
    }
    for (name, metric) in &definitions.metrics {
        let sets: Vec<String> = metric.group_by.iter().map(ToString::to_string).collect();
        println!("  metric {name} ({}): {} measures, grouped by {}", metric.version(), metric.measures.len(), sets.join(" "));
        println!("    a new item writes up to {} rows, an edit twice as many", 2 * metric.group_by.len());
    }
    for name in definitions.inventories.keys() {
        println!("  inventory {name}");
    }
    Ok(())
}
