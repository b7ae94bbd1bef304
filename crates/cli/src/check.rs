//! `tidemark check FILE`.

use serde_json::{Value, json};
use tidemark_domain::Definitions;
use tidemark_domain::definition::{Invalid, Problem};
use tidemark_runtime::definitions::{self, Error};
use tidemark_runtime::process::Failure;

use crate::command::Check;
use crate::output::{self, counted, say};

pub(crate) fn run(options: &Check) -> Result<(), Failure> {
    let definitions = definitions::read(&options.file, "FILE").map_err(|error| {
        if let Error::Invalid { problems, .. } = &error
            && options.json
        {
            output::json(&in_json(problems));
        }
        Failure::wrong_use(error)
    })?;
    if options.json {
        let mut meaning = serde_json::to_value(&definitions).expect("definitions are plain data with text keys");
        let warning = |(path, message)| json!({ "path": path, "message": message });
        meaning["warnings"] = warnings(&definitions).map(warning).collect();
        output::json(&meaning);
        return Ok(());
    }
    for (path, message) in warnings(&definitions) {
        eprintln!("warning: {path}: {message}");
    }
    say!("{} is valid", options.file.display());
    for (name, source) in &definitions.sources {
        say!("  source {name}: table {}", source.table);
    }
    for (name, metric) in &definitions.metrics {
        let sets: Vec<String> = metric.group_by.iter().map(ToString::to_string).collect();
        let measures = counted(metric.measures.len(), "measure");
        say!("  metric {name} ({}): {measures}, grouped by {}", metric.version(), sets.join(" "));
        say!("    a new item writes up to {} rows, an edit twice as many", 2 * metric.group_by.len());
    }
    for name in definitions.inventories.keys() {
        say!("  inventory {name}");
    }
    Ok(())
}

/// What a file may say although hardly anybody means it: where, and what comes of it.
fn warnings(definitions: &Definitions) -> impl Iterator<Item = (String, &'static str)> {
    let message = "no metric and no inventory uses this source: its stream is read, and paid for, all the same";
    definitions.unused_sources().map(move |name| (format!("sources.{name}"), message))
}

fn in_json(invalid: &Invalid) -> Value {
    let problem = |Problem { line, path, message }: &Problem| json!({ "line": line, "path": path, "message": message });
    json!({ "problems": invalid.problems().iter().map(problem).collect::<Vec<_>>() })
}
