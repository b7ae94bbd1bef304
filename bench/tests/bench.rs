//! Every row of the bench runs, with 1 % of its work, and its numbers are right. The figures of such a run have no meaning.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

/// Where this variable names a DynamoDB Local, the rows that need it run, too.
const LOCAL: &str = "TIDEMARK_TEST_DYNAMODB";

#[test]
fn a_quick_run_measures_every_group_and_writes_its_report() {
    let folder = tempfile::tempdir().expect("a directory");
    let into = folder.path().to_str().expect("a path of text");
    let mut bench = Command::new(env!("CARGO_BIN_EXE_tidemark-bench"));
    let output = bench.args(["--quick", "--into", into]).output().expect("the bench starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let report = std::fs::read(folder.path().join("report.json")).expect("a report");
    let report: Value = serde_json::from_slice(&report).expect("JSON");
    let rows = report["rows"].as_array().expect("rows");
    let groups: BTreeSet<&str> = rows.iter().filter_map(|row| row["id"].as_str()?.split('.').next()).collect();
    let expected = BTreeSet::from(["alert", "cpu", "freshness", "growth", "hot", "start", "units", "values"]);
    assert_eq!(groups, expected, "{errors}");
    #[allow(clippy::disallowed_methods, reason = "which emulator the tests run against is no setting of Tidemark's")]
    let has_local = std::env::var_os(LOCAL).is_some();
    let local = rows.iter().any(|row| row["endpoint"] == "dynamodb-local");
    assert_eq!(local, has_local, "{errors}");
    assert!(folder.path().join("chart.svg").is_file(), "there is no chart");
}
