//! Answers as lines, one for each bucket of each row: CSV and NDJSON. Totals and freshness are not in them; headers carry the
//! latter.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;
use tidemark_domain::{Currency, DimensionName, Group};

use super::answer::{Answer, BucketValues, DataRow, Values};
use super::ask::Ask;

/// One line of NDJSON.
#[derive(Debug, Serialize)]
struct Line<'a> {
    from: jiff::Timestamp,
    to: jiff::Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<&'a BTreeMap<DimensionName, Group>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    other: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<&'a Currency>,
    values: &'a Values,
    complete: bool,
}

/// Writes the answer as JSON objects, one a line.
///
/// # Errors
/// Those of the writer.
pub(crate) fn ndjson(answer: &Answer, mut lines: impl Write) -> io::Result<()> {
    for (row, bucket) in buckets(answer) {
        let line = Line {
            from: bucket.from,
            to: bucket.to,
            dimensions: row.dimensions.as_ref(),
            other: row.other,
            currency: row.total.currency.as_ref(),
            values: &bucket.values,
            complete: bucket.complete,
        };
        serde_json::to_writer(&mut lines, &line)?;
        lines.write_all(b"\n")?;
    }
    Ok(())
}

/// What a group begins with that a spreadsheet would read as a formula (OWASP, "CSV Injection"), and the mark that prevents it. A group
/// that begins with the mark itself has another, so that removing one `'` from a group that begins with it restores every group.
const MARKED: [char; 8] = ['=', '+', '-', '@', '\t', '\r', '\n', '\''];

/// Writes the answer as RFC 4180 CSV with a header. The null group is `\N`, and a group that begins with `\` has another in front of it;
/// the remainder has empty groups and `true` under `other`; a null value is empty. A group that a spreadsheet would execute has a `'`
/// in front of it: groups are texts that a tenant's customers may have chosen. Values are numbers, so `-3` stays as it is.
///
/// # Errors
/// Those of the writer.
pub(crate) fn csv(answer: &Answer, ask: &Ask, by_currency: bool, lines: impl Write) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(lines);
    let dimensions = ask.group_by.dimensions().map(ToString::to_string);
    let mut header: Vec<String> = ["from", "to"].map(str::to_owned).into_iter().chain(dimensions).collect();
    header.extend(by_currency.then(|| "currency".to_owned()));
    header.extend(ask.other.then(|| "other".to_owned()));
    header.extend(ask.measures.iter().map(ToString::to_string));
    header.push("complete".to_owned());
    writer.write_record(&header)?;
    for (row, bucket) in buckets(answer) {
        let mut record = vec![bucket.from.to_string(), bucket.to.to_string()];
        let group_of = |dimension| row.dimensions.as_ref().map_or_else(String::new, |groups| field(&groups[dimension]));
        record.extend(ask.group_by.dimensions().map(group_of));
        record.extend(by_currency.then(|| row.total.currency.as_ref().map_or_else(String::new, |code| code.as_str().to_owned())));
        record.extend(ask.other.then(|| row.other.to_string()));
        record.extend(bucket.values.values().map(|value| value.map_or_else(String::new, ToString::to_string)));
        record.push(bucket.complete.to_string());
        writer.write_record(&record)?;
    }
    writer.flush()
}

fn buckets(answer: &Answer) -> impl Iterator<Item = (&DataRow, &BucketValues)> {
    answer.data.iter().flat_map(|row| row.buckets.iter().map(move |bucket| (row, bucket)))
}

fn field(group: &Group) -> String {
    match group {
        Group::Null => "\\N".to_owned(),
        Group::Text(text) if text.starts_with('\\') => format!("\\{text}"),
        Group::Text(text) if text.starts_with(MARKED) => format!("'{text}"),
        Group::Text(text) => text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_a_spreadsheet_would_execute_is_marked_and_every_group_can_be_restored() {
        let marked = ["=HYPERLINK(\"http://x\")", "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'", "'=1"];
        let others = ["tea", "a=b", "", "\\N", "\\'", "1"];
        for text in marked.into_iter().chain(others) {
            let written = field(&Group::Text(text.to_owned()));
            let begins_a_formula = |text: &str| text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
            assert!(!begins_a_formula(&written), "{written:?}");
            let read = written.strip_prefix(['\'', '\\']).unwrap_or(&written);
            assert_eq!(read, text);
        }
        assert_eq!(field(&Group::Null), "\\N");
    }
}
