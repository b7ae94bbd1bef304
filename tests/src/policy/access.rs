//! What a call asks for, in IAM's terms.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::deployment::tables;

/// The partition keys of Tidemark's tables and of their index.
const PARTITION: &str = "pk";
const INDEX_PARTITION: &str = "index_pk";

/// An action on a resource, with the leading keys of the items in question. Most calls are one; a transaction is one of each part.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    /// Such as `dynamodb:PutItem`.
    action: String,
    table: String,
    /// `/index/NAME`, `/stream/LABEL`, or nothing.
    below: String,
    leading_keys: BTreeSet<String>,
}

impl Access {
    /// Everything that a call needs: by its name as in `X-Amz-Target`, without the service, and its body.
    pub fn of_call(call: &str, request: &Value) -> Vec<Self> {
        match call {
            "TransactWriteItems" | "TransactGetItems" => list(&request["TransactItems"]).iter().flat_map(of_part).collect(),
            "BatchGetItem" => of_batch(call, request, |asked| list(&asked["Keys"]).iter().collect()),
            "BatchWriteItem" => of_batch(call, request, |writes| list(writes).iter().map(written).collect()),
            "DescribeStream" | "GetShardIterator" => vec![of_stream(call, text(&request["StreamArn"]))],
            "GetRecords" => vec![of_stream(call, &stream_of(text(&request["ShardIterator"])))],
            _ => vec![of_table(call, request)],
        }
    }

    pub fn action(&self) -> &str {
        &self.action
    }

    /// The resource as the policies name it before their placeholders are filled in.
    pub fn resource(&self) -> String {
        let Self { table, below, .. } = self;
        let ours = tables();
        let table = if *table == ours.data || *table == ours.control { table } else { "SOURCE_TABLE" };
        format!("arn:aws:dynamodb:REGION:ACCOUNT:table/{table}{below}")
    }

    /// The resource as DynamoDB names it.
    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:dynamodb:us-east-1:000000000000:table/{}{}", self.table, self.below)
    }

    pub fn leading_keys(&self) -> &BTreeSet<String> {
        &self.leading_keys
    }

    fn new(call: &str, table: &str, below: String, leading_keys: impl IntoIterator<Item = String>) -> Self {
        let leading_keys = leading_keys.into_iter().collect();
        Self { action: format!("dynamodb:{call}"), table: table.to_owned(), below, leading_keys }
    }
}

/// A call on one table, or on one of its indexes.
fn of_table(call: &str, request: &Value) -> Access {
    let (below, partition) = match request["IndexName"].as_str() {
        Some(index) => (format!("/index/{index}"), INDEX_PARTITION),
        None => (String::new(), PARTITION),
    };
    let key = match call {
        "Query" => queried(request, partition),
        "PutItem" => partition_of(&request["Item"]),
        _ => partition_of(&request["Key"]),
    };
    Access::new(call, text(&request["TableName"]), below, key)
}

/// A part of a transaction needs what a call that does the same needs.
fn of_part(part: &Value) -> Option<Access> {
    let (kind, request) = part.as_object()?.iter().next()?;
    let call = match kind.as_str() {
        "ConditionCheck" => "ConditionCheckItem".to_owned(),
        kind => format!("{kind}Item"),
    };
    Some(of_table(&call, request))
}

/// A batch is judged as a whole, table by table.
fn of_batch<'a>(call: &str, request: &'a Value, keys: impl Fn(&'a Value) -> Vec<&'a Value>) -> Vec<Access> {
    let tables = request["RequestItems"].as_object().into_iter().flatten();
    tables
        .map(|(table, asked)| Access::new(call, table, String::new(), keys(asked).into_iter().filter_map(partition_of)))
        .collect()
}

fn written(write: &Value) -> &Value {
    if write["PutRequest"].is_null() { &write["DeleteRequest"]["Key"] } else { &write["PutRequest"]["Item"] }
}

fn of_stream(call: &str, arn: &str) -> Access {
    let resource = arn.split_once(":table/").map_or(arn, |(_, resource)| resource);
    let table = resource.split('/').next().unwrap_or_default();
    Access::new(call, table, resource[table.len()..].to_owned(), None)
}

/// The ARN that an iterator carries. AWS's and the stream front's begin with it, DynamoDB Local's has something before it, and
/// the embedded emulator's names the table alone.
fn stream_of(iterator: &str) -> String {
    if let Some(start) = iterator.find("arn:") {
        return iterator[start..].split('|').next().unwrap_or_default().to_owned();
    }
    let decoded = STANDARD.decode(iterator).ok().and_then(|json| serde_json::from_slice::<Value>(&json).ok());
    decoded.map_or_else(String::new, |decoded| format!("{}/stream/embedded", text(&decoded["table_name"])))
}

/// The leading key that a query's condition names: the value that the partition key must be equal to.
fn queried(request: &Value, partition: &str) -> Option<String> {
    let equals = |clause: &str| {
        let (name, value) = clause.split_once(" = ")?;
        let name = request["ExpressionAttributeNames"][name].as_str().unwrap_or(name);
        (name == partition).then(|| request["ExpressionAttributeValues"][value]["S"].as_str().map(str::to_owned))?
    };
    text(&request["KeyConditionExpression"]).split(" AND ").find_map(equals)
}

fn partition_of(item: &Value) -> Option<String> {
    item[PARTITION]["S"].as_str().map(str::to_owned)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
