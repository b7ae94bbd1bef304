//! Each limit at its value and one beyond it.

use serde_json::{Value, json};

use super::{check, size};

const TOO_LARGE: &str = "Item size has exceeded the maximum allowed size";

fn refusal(call: &str, request: &Value) -> Option<String> {
    check(call, request).err().map(|exceeded| exceeded.to_string())
}

#[track_caller]
fn accepted(call: &str, request: &Value) {
    assert_eq!(refusal(call, request), None);
}

#[track_caller]
fn refused(call: &str, request: &Value, expected: &str) {
    let message = refusal(call, request).expect("the request is refused");
    assert!(message.contains(expected), "{message}");
}

fn letters(count: usize) -> String {
    "a".repeat(count)
}

fn put(item: &Value) -> Value {
    json!({ "TableName": "tidemark", "Item": item })
}

/// An item of so many bytes.
fn item_of_size(bytes: usize) -> Value {
    let names_and_keys = "pk".len() + 1 + "sk".len() + 1 + "body".len();
    json!({ "pk": {"S": "p"}, "sk": {"S": "s"}, "body": {"S": letters(bytes - names_and_keys)} })
}

#[test]
fn sizes_are_those_of_the_developer_guide() {
    let of = |attribute: Value| size::of_item(&json!({ "n": attribute })) - 1;
    for (attribute, bytes) in [
        (json!({"S": "é"}), 2),
        (json!({"N": "0"}), 1),
        (json!({"N": "12"}), 2),
        (json!({"N": "-123"}), 4),
        (json!({"N": "1200000"}), 2),
        (json!({"N": "0.0012E-7"}), 2),
        (json!({"N": "99999999999999999999999999999999999999"}), 20),
        (json!({"B": "AAEC"}), 3),
        (json!({"B": "AAE="}), 2),
        (json!({"BOOL": true}), 1),
        (json!({"NULL": true}), 1),
        (json!({"SS": ["ab", "c"]}), 3),
        (json!({"NS": ["1", "2"]}), 4),
        (json!({"L": []}), 3),
        (json!({"L": [{"S": "ab"}, {"BOOL": true}]}), 3 + 1 + 2 + 1 + 1),
        (json!({"M": {"ab": {"S": "c"}}}), 3 + 1 + 2 + 1),
    ] {
        assert_eq!(of(attribute.clone()), bytes, "{attribute}");
    }
}

#[test]
fn an_item_has_at_most_400_kb() {
    let (largest, larger) = (item_of_size(409_600), item_of_size(409_601));
    accepted("PutItem", &put(&largest));
    refused("PutItem", &put(&larger), TOO_LARGE);
    refused("TransactWriteItems", &json!({ "TransactItems": [{ "Put": put(&larger) }] }), TOO_LARGE);
    refused("BatchWriteItem", &json!({ "RequestItems": { "Orders": [{ "PutRequest": { "Item": larger } }] } }), TOO_LARGE);
}

#[test]
fn keys_have_their_lengths_in_items_in_the_index_and_where_items_are_named() {
    let hash = "Size of hashkey has exceeded the maximum size limit of2048 bytes";
    let range = "Aggregated size of all range keys has exceeded the size limit of 1024 bytes";
    let key = |pk: usize, sk: usize| json!({ "pk": {"S": letters(pk)}, "sk": {"S": letters(sk)} });
    for (call, name) in [("PutItem", "Item"), ("GetItem", "Key"), ("DeleteItem", "Key"), ("Query", "ExclusiveStartKey")] {
        let request = |key: Value| json!({ "TableName": "tidemark-control", name: key });
        accepted(call, &request(key(2048, 1024)));
        refused(call, &request(key(2049, 1)), hash);
        refused(call, &request(key(1, 1025)), range);
        refused(call, &request(key(0, 1)), "cannot contain an empty string value. Key: pk");
        refused(call, &request(key(1, 0)), "cannot contain an empty string value. Key: sk");
    }
    let entry = |pk: usize, sk: usize| json!({ "pk": {"S": "p"}, "sk": {"S": "s"}, "index_pk": {"S": letters(pk)}, "index_sk": {"S": letters(sk)} });
    accepted("PutItem", &put(&entry(2048, 1024)));
    refused("PutItem", &put(&entry(2049, 1)), hash);
    refused("PutItem", &put(&entry(1, 1025)), range);
    refused("PutItem", &put(&entry(1, 0)), "IndexName: by_index, IndexKey: index_sk");
}

#[test]
fn a_key_whose_name_is_not_known_may_be_as_long_as_a_partition_key() {
    let get = |length: usize| json!({ "TableName": "Orders", "Key": { "id": {"S": letters(length)} } });
    accepted("GetItem", &get(2048));
    refused("GetItem", &get(2049), "hashkey");
    // Its key attributes are not known.
    accepted("PutItem", &json!({ "TableName": "Orders", "Item": { "id": {"S": ""}, "note": {"S": letters(5000)} } }));
}

#[test]
fn an_update_that_moves_an_item_in_the_index_gives_it_keys_of_their_lengths() {
    let update = |length: usize| {
        json!({
            "TableName": "tidemark", "Key": { "pk": {"S": "p"}, "sk": {"S": "s"} },
            "UpdateExpression": "SET #note = :note, #index_sk = :index_sk REMOVE #old",
            "ExpressionAttributeNames": { "#note": "note", "#index_sk": "index_sk", "#old": "old" },
            "ExpressionAttributeValues": { ":note": {"S": letters(5000)}, ":index_sk": {"S": letters(length)} },
        })
    };
    accepted("UpdateItem", &update(1024));
    refused("UpdateItem", &update(1025), "1024 bytes");
    refused("TransactWriteItems", &json!({ "TransactItems": [{ "Update": update(1025) }] }), "1024 bytes");
}

#[test]
fn a_query_compares_keys_with_values_that_keys_can_have() {
    let query = |condition: &str, pk: usize, sk: usize| {
        json!({
            "TableName": "tidemark", "KeyConditionExpression": condition,
            "ExpressionAttributeNames": { "#pk": "pk", "#sk": "sk" },
            "ExpressionAttributeValues": { ":pk": {"S": letters(pk)}, ":sk": {"S": letters(sk)}, ":to": {"S": letters(sk)} },
        })
    };
    for condition in [
        "#pk = :pk AND begins_with(#sk, :sk)",
        "#pk = :pk AND #sk > :sk",
        "pk = :pk AND sk BETWEEN :to AND :sk",
        "pk=:pk and sk<:sk",
    ] {
        accepted("Query", &query(condition, 2048, 1024));
        refused("Query", &query(condition, 2049, 1), "hashkey");
        refused("Query", &query(condition, 1, 1025), "1024 bytes");
        refused("Query", &query(condition, 1, 0), "Key: sk");
    }
}

#[test]
fn expressions_have_at_most_4_kb_and_300_operators() {
    let request = |name: &str, expression: &str| json!({ "TableName": "tidemark", name: expression });
    for name in ["ConditionExpression", "UpdateExpression", "FilterExpression", "ProjectionExpression"] {
        accepted("UpdateItem", &request(name, &letters(4096)));
        refused("UpdateItem", &request(name, &letters(4097)), "Expression size has exceeded");
    }
    let sum = |operators: usize| format!("SET a = :b{}", " + :b".repeat(operators));
    accepted("UpdateItem", &request("UpdateExpression", &sum(300)));
    refused("UpdateItem", &request("UpdateExpression", &sum(301)), "too many operators; operator count: 301");
    // Two for each, and one between each two: a function, a comparison, and AND.
    let conditions = |count: usize| vec!["size(a)<:b"; count].join(" AND ");
    accepted("PutItem", &request("ConditionExpression", &conditions(100)));
    refused("PutItem", &request("ConditionExpression", &conditions(101)), "operator count: 302");
}

#[test]
fn a_transaction_has_at_most_100_parts_4_mb_and_each_item_once() {
    let part =
        |id: usize| json!({ "Update": { "TableName": "tidemark", "Key": { "pk": {"S": "p"}, "sk": {"S": id.to_string()} } } });
    let transaction = |parts: Vec<Value>| json!({ "TransactItems": parts });
    accepted("TransactWriteItems", &transaction((0..100).map(part).collect()));
    refused("TransactWriteItems", &transaction((0..101).map(part).collect()), "less than or equal to 100");
    let twice = "cannot include multiple operations on one item";
    refused("TransactWriteItems", &transaction(vec![part(1), part(2), part(1)]), twice);
    let same = json!({ "Put": put(&json!({ "pk": {"S": "p"}, "sk": {"S": "1"}, "more": {"N": "1"} })) });
    refused("TransactWriteItems", &transaction(vec![part(1), same]), twice);
    // Whole items of a table whose keys are not known.
    let order =
        |id: &str| json!({ "Put": { "TableName": "Orders", "Item": { "id": {"S": id}, "a": {"N": "1"}, "b": {"N": "1"} } } });
    accepted("TransactWriteItems", &transaction(vec![order("1"), order("2")]));
    let large = |id: usize| json!({ "Put": put(&json!({ "pk": {"S": "p"}, "sk": {"S": id.to_string()}, "body": {"S": letters(400_000)} })) });
    accepted("TransactWriteItems", &transaction((0..10).map(large).collect()));
    refused("TransactWriteItems", &transaction((0..11).map(large).collect()), "4MB");
}

#[test]
fn batches_have_their_counts_and_each_item_once() {
    let key = |id: usize| json!({ "pk": {"S": "p"}, "sk": {"S": id.to_string()} });
    let write = |ids: &[usize]| {
        let writes: Vec<_> = ids.iter().map(|id| json!({ "DeleteRequest": { "Key": key(*id) } })).collect();
        json!({ "RequestItems": { "tidemark": writes } })
    };
    let ids: Vec<usize> = (0..101).collect();
    accepted("BatchWriteItem", &write(&ids[..25]));
    refused("BatchWriteItem", &write(&ids[..26]), "Too many items");
    refused("BatchWriteItem", &write(&[1, 2, 1]), "duplicates");
    let get = |ids: &[usize]| {
        let keys: Vec<_> = ids.iter().map(|id| key(*id)).collect();
        json!({ "RequestItems": { "tidemark": { "Keys": keys } } })
    };
    accepted("BatchGetItem", &get(&ids[..100]));
    refused("BatchGetItem", &get(&ids), "Too many items");
    refused("BatchGetItem", &get(&[1, 1]), "duplicates");
}
