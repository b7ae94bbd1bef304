//! Answers as lines, one for each bucket of each row: CSV and NDJSON. Totals and freshness are not in them; headers carry the
//! latter.

use std::collections::BTreeMap;

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

/// The answer as JSON objects, one a line.
pub(crate) fn ndjson(answer: &Answer) -> Vec<u8> {
    let mut lines = Vec::new();
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
        serde_json::to_writer(&mut lines, &line).expect("a line is plain data, and a Vec takes any number of bytes");
        lines.push(b'\n');
    }
    lines
}

/// The answer as RFC 4180 CSV with a header. The null group is `\N`, and a group that begins with `\` has another in front of it;
/// the remainder has empty groups and `true` under `other`; a null value is empty.
pub(crate) fn csv(answer: &Answer, ask: &Ask, by_currency: bool) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut write =
        |record: Vec<String>| writer.write_record(&record).expect("lines have equally many fields, and a Vec takes them");
    let dimensions = ask.group_by.dimensions().map(ToString::to_string);
    let mut header: Vec<String> = ["from", "to"].map(str::to_owned).into_iter().chain(dimensions).collect();
    header.extend(by_currency.then(|| "currency".to_owned()));
    header.extend(ask.other.then(|| "other".to_owned()));
    header.extend(ask.measures.iter().map(ToString::to_string));
    header.push("complete".to_owned());
    write(header);
    for (row, bucket) in buckets(answer) {
        let mut record = vec![bucket.from.to_string(), bucket.to.to_string()];
        let group_of = |dimension| row.dimensions.as_ref().map_or_else(String::new, |groups| field(&groups[dimension]));
        record.extend(ask.group_by.dimensions().map(group_of));
        record.extend(by_currency.then(|| row.total.currency.as_ref().map_or_else(String::new, |code| code.as_str().to_owned())));
        record.extend(ask.other.then(|| row.other.to_string()));
        record.extend(bucket.values.values().map(|value| value.as_ref().map_or_else(String::new, ToString::to_string)));
        record.push(bucket.complete.to_string());
        write(record);
    }
    writer.into_inner().expect("a Vec takes what is left in the buffer")
}

fn buckets(answer: &Answer) -> impl Iterator<Item = (&DataRow, &BucketValues)> {
    answer.data.iter().flat_map(|row| row.buckets.iter().map(move |bucket| (row, bucket)))
}

fn field(group: &Group) -> String {
    match group {
        Group::Null => "\\N".to_owned(),
        Group::Text(text) if text.starts_with('\\') => format!("\\{text}"),
        Group::Text(text) => text.clone(),
    }
}
