//! AWS's limits on requests: what DynamoDB refuses on AWS, and an emulator may accept.
//!
//! Source of every number: "Quotas in Amazon DynamoDB" (ServiceQuotas) and "DynamoDB item sizes and formats" in the developer guide. The
//! check looks at the request alone. So it does not know the size of an item after an update, which only the table knows, and it knows
//! the key attributes of source tables only where a request names them as keys.

mod expression;
mod key;
mod size;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde_json::Value;

/// Largest item, names and values, in bytes.
pub const ITEM_BYTES_MAX: usize = 400 * 1024;
/// Most parts of a transaction.
const PARTS_MAX: usize = 100;
/// Largest sum of the items of a transaction, in bytes.
const TRANSACTION_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most writes of one BatchWriteItem.
const BATCH_WRITES_MAX: usize = 25;
/// Largest BatchWriteItem, in bytes.
const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most keys of one BatchGetItem.
const BATCH_KEYS_MAX: usize = 100;

const ITEM_TOO_LARGE: &str = "Item size has exceeded the maximum allowed size";

/// Why DynamoDB refuses a request with a `ValidationException`; the text is its message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Exceeded(String);

/// Checks a call, by its name as in `X-Amz-Target` without the service, and its body.
///
/// # Errors
/// The first limit that the request exceeds.
pub fn check(call: &str, request: &Value) -> Result<(), Exceeded> {
    match call {
        "TransactWriteItems" | "TransactGetItems" => check_transaction(&request["TransactItems"]),
        "BatchWriteItem" => check_batch_write(&request["RequestItems"]),
        "BatchGetItem" => check_batch_get(&request["RequestItems"]),
        "Query" => {
            key::check_condition(request)?;
            check_one(request)
        }
        _ => check_one(request),
    }
}

/// The items that a call writes, as (table, key). A transaction's condition checks count, too: they conflict with writes of the same item.
pub fn items_written(call: &str, request: &Value) -> Vec<(String, String)> {
    if call == "TransactWriteItems" {
        let parts = list(&request["TransactItems"]).iter();
        return parts.filter_map(|part| key::identity(part.as_object()?.values().next()?)).collect();
    }
    key::identity(request).into_iter().collect()
}

/// Checks a request on one table, or a part of a transaction that is like it.
fn check_one(request: &Value) -> Result<(), Exceeded> {
    let table = text(&request["TableName"]);
    if request["Item"].is_object() {
        check_item(table, &request["Item"])?;
    }
    for name in ["Key", "ExclusiveStartKey"] {
        key::check_key(table, &request[name])?;
    }
    expression::check(request)?;
    key::check_index_keys_set(table, request)
}

fn check_item(table: &str, item: &Value) -> Result<(), Exceeded> {
    if size::of_item(item) > ITEM_BYTES_MAX {
        return refused(ITEM_TOO_LARGE);
    }
    key::check_item(table, item)
}

fn check_transaction(parts: &Value) -> Result<(), Exceeded> {
    let parts = list(parts);
    if parts.len() > PARTS_MAX {
        return refused(format!(
            "1 validation error detected: Value at 'transactItems' failed to satisfy constraint: Member must have length less than or \
             equal to {PARTS_MAX}"
        ));
    }
    let (mut items, mut bytes) = (BTreeSet::new(), 0);
    for request in parts.iter().filter_map(|part| part.as_object()?.values().next()) {
        check_one(request)?;
        if let Some(item) = key::identity(request)
            && !items.insert(item)
        {
            return refused("Transaction request cannot include multiple operations on one item");
        }
        bytes += size::of_request(request);
    }
    if bytes > TRANSACTION_BYTES_MAX {
        return refused(
            "Collection size of items exceeded, which can also be caused by the aggregate size of the items in the transaction \
             exceeding the 4MB limit",
        );
    }
    Ok(())
}

fn check_batch_write(tables: &Value) -> Result<(), Exceeded> {
    let (mut count, mut bytes) = (0, 0);
    for (table, writes) in tables.as_object().into_iter().flatten() {
        let mut keys = BTreeSet::new();
        for write in list(writes) {
            let (item, key) = (&write["PutRequest"]["Item"], &write["DeleteRequest"]["Key"]);
            if item.is_object() {
                check_item(table, item)?;
            }
            key::check_key(table, key)?;
            if let Some(key) = key::identity_in(table, if item.is_object() { item } else { key })
                && !keys.insert(key)
            {
                return refused("Provided list of item keys contains duplicates");
            }
            count += 1;
            bytes += size::of_item(item);
        }
    }
    if count > BATCH_WRITES_MAX {
        return refused("Too many items requested for the BatchWriteItem call");
    }
    if bytes > BATCH_BYTES_MAX {
        return refused("Request size exceeded the maximum of 16777216 bytes");
    }
    Ok(())
}

fn check_batch_get(tables: &Value) -> Result<(), Exceeded> {
    let mut count = 0;
    for (table, asked) in tables.as_object().into_iter().flatten() {
        let mut keys = BTreeSet::new();
        for key in list(&asked["Keys"]) {
            key::check_key(table, key)?;
            if !keys.insert(key.to_string()) {
                return refused("Provided list of item keys contains duplicates");
            }
            count += 1;
        }
        expression::check(asked)?;
    }
    if count > BATCH_KEYS_MAX {
        return refused("Too many items requested for the BatchGetItem call");
    }
    Ok(())
}

fn refused<T>(message: impl Into<String>) -> Result<T, Exceeded> {
    Err(Exceeded(message.into()))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
