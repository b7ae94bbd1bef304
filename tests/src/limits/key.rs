//! Limits of keys: of items, of index entries, and of what a query compares them with.

use serde_json::Value;

use super::expression::tokens;
use super::{Exceeded, refused, size, text};
use crate::deployment::tables;

/// Longest value of a partition key and of a sort key, in bytes; neither may be empty.
const PARTITION_BYTES_MAX: usize = 2048;
const SORT_BYTES_MAX: usize = 1024;

/// The key attributes of Tidemark's tables, and those of the data table's index.
const KEY: [&str; 2] = ["pk", "sk"];
const INDEX_KEY: [&str; 2] = ["index_pk", "index_sk"];
const INDEX: &str = "by_index";

const PARTITION_TOO_LONG: &str =
    "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of2048 bytes";
const SORT_TOO_LONG: &str =
    "One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size limit of 1024 bytes";

/// Checks the keys in an item that is put. The keys of source tables are not known here.
pub(super) fn check_item(table: &str, item: &Value) -> Result<(), Exceeded> {
    if !is_ours(table) {
        return Ok(());
    }
    KEY.into_iter().chain(INDEX_KEY).filter(|name| !item[*name].is_null()).try_for_each(|name| check_value(name, &item[name]))
}

/// Checks a key that a request names an item by; null is none.
pub(super) fn check_key(table: &str, key: &Value) -> Result<(), Exceeded> {
    for (name, value) in key.as_object().into_iter().flatten() {
        check_value(if is_ours(table) { name } else { "" }, value)?;
    }
    Ok(())
}

/// Checks the values that a query compares keys with, prefixes too.
pub(super) fn check_condition(query: &Value) -> Result<(), Exceeded> {
    let is_ours = is_ours(text(&query["TableName"]));
    compared(query, "KeyConditionExpression", |name, value| check_value(if is_ours { name } else { "" }, value))
}

/// Checks the values that an update gives the key attributes of the index.
pub(super) fn check_index_keys_set(table: &str, update: &Value) -> Result<(), Exceeded> {
    if !is_ours(table) {
        return Ok(());
    }
    compared(update, "UpdateExpression", |name, value| if INDEX_KEY.contains(&name) { check_value(name, value) } else { Ok(()) })
}

/// Which item a part of a transaction is about.
pub(super) fn identity(part: &Value) -> Option<(String, String)> {
    let table = text(&part["TableName"]);
    let key = if part["Item"].is_object() { &part["Item"] } else { &part["Key"] };
    Some((table.to_owned(), identity_in(table, key)?))
}

/// An item's identity within a table. `None`: the item is put whole into a table whose keys are not known.
pub(super) fn identity_in(table: &str, item: &Value) -> Option<String> {
    if is_ours(table) {
        return Some(KEY.map(|name| item[name].to_string()).join(" "));
    }
    (item.as_object()?.len() <= KEY.len()).then(|| item.to_string())
}

/// Goes through the values of an expression, each with the attribute whose name is before it.
fn compared(
    request: &Value,
    expression: &str,
    mut check: impl FnMut(&str, &Value) -> Result<(), Exceeded>,
) -> Result<(), Exceeded> {
    let mut name = "";
    for token in tokens(text(&request[expression])) {
        if token.starts_with(':') {
            check(name, &request["ExpressionAttributeValues"][token])?;
        } else if token.starts_with('#') {
            name = request["ExpressionAttributeNames"][token].as_str().unwrap_or(token);
        } else if KEY.contains(&token) || INDEX_KEY.contains(&token) {
            name = token;
        }
    }
    Ok(())
}

/// Checks one value of a key attribute. One whose name is not known may be a partition key.
fn check_value(name: &str, value: &Value) -> Result<(), Exceeded> {
    let bytes = match (value["S"].as_str(), &value["B"]) {
        (Some(text), _) => text.len(),
        (None, Value::String(_)) => size::of_binary(&value["B"]),
        // A number has a value and is never longer than 21 bytes.
        (None, _) => return Ok(()),
    };
    match (bytes, name) {
        (0, "index_pk" | "index_sk") => refused(format!(
            "One or more parameter values are not valid. A value specified for a secondary index key is not supported. The \
             AttributeValue for a key attribute cannot contain an empty string value. IndexName: {INDEX}, IndexKey: {name}"
        )),
        (0, _) => refused(format!(
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. \
             Key: {name}"
        )),
        (bytes, "sk" | "index_sk") if bytes > SORT_BYTES_MAX => refused(SORT_TOO_LONG),
        (bytes, _) if bytes > PARTITION_BYTES_MAX => refused(PARTITION_TOO_LONG),
        _ => Ok(()),
    }
}

fn is_ours(table: &str) -> bool {
    let ours = tables();
    table == ours.data || table == ours.control
}
