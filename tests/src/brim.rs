//! Stored items as large as DynamoDB allows.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use tidemark_domain::{AlertId, EndpointId};

use crate::deployment::tables;
use crate::limits::ITEM_BYTES_MAX;

const NOTIFIED: &str = "notified";

/// Fills an alert's set of notified endpoints until the item has no room for another id, as endpoints that were created and deleted again
/// and again did. Returns how many bytes are left.
///
/// # Panics
/// When the alert is not stored.
pub async fn fill_alert(client: &Client, tenant: &str, alert: &AlertId) -> usize {
    let key = [("pk", format!("T#{tenant}#ALERTS")), ("sk", alert.to_string())];
    let key = HashMap::from(key.map(|(name, text)| (name.to_owned(), AttributeValue::S(text))));
    let get = client.get_item().table_name(tables().data).set_key(Some(key.clone())).consistent_read(true);
    let item = get.send().await.expect("the alert can be read").item.expect("the alert is stored");
    let noted = item.get(NOTIFIED).map(|ids| ids.as_ss().expect("a set of texts").len());
    let name = if noted.is_some() { 0 } else { NOTIFIED.len() };
    let room = ITEM_BYTES_MAX.saturating_sub(size_of(&item) + name);
    // Digits are letters of a ULID, too. The ids of real endpoints begin with the time and are larger.
    let id = |number: usize| format!("{}{number:026}", EndpointId::PREFIX);
    let count = room / id(0).len();
    let left = room - count * id(0).len();
    if count == 0 {
        return left;
    }
    let first = noted.unwrap_or(0);
    let ids: Vec<String> = (first..first + count).map(id).collect();
    let update = client.update_item().table_name(tables().data).set_key(Some(key)).update_expression("ADD notified :ids");
    update.expression_attribute_values(":ids", AttributeValue::Ss(ids)).send().await.expect("the ids fit");
    left
}

/// Fills an item of the data table with an attribute that Tidemark does not read, and leaves so many bytes free.
///
/// # Panics
/// When the table does not take the item.
pub async fn fill(client: &Client, mut item: HashMap<String, AttributeValue>, left: usize) {
    const JUNK: &str = "junk";
    let junk = "j".repeat(ITEM_BYTES_MAX - left - JUNK.len() - size_of(&item));
    item.insert(JUNK.to_owned(), AttributeValue::S(junk));
    client.put_item().table_name(tables().data).set_item(Some(item)).send().await.expect("the item fits");
}

/// The size of an item in bytes, as DynamoDB counts. A number is counted one byte too large if its digits are odd or end in zeros.
fn size_of(item: &HashMap<String, AttributeValue>) -> usize {
    let of_value = |value: &AttributeValue| match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(number) => number.len().div_ceil(2) + 1,
        AttributeValue::Ss(texts) => texts.iter().map(String::len).sum(),
        other => panic!("these items have no {other:?}"),
    };
    item.iter().map(|(name, value)| name.len() + of_value(value)).sum()
}
