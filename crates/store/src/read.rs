//! Reads of the data table: one item, several, a stretch of a partition, a stretch of the index.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};

use crate::Store;
use crate::error::Error;
use crate::item::{Item, key_item, s};
use crate::key::{BY_INDEX, INDEX_PK, INDEX_SK, Key, PK, SK};
use crate::limits::SORT_KEY_BYTES_MAX;

/// Most keys of one BatchGetItem (AWS: BatchGetItem).
const BATCH_MAX: usize = 100;
/// How often keys that a batch left out are asked for again.
const ROUNDS_MAX: u32 = 8;
/// The pause before the first of these rounds; each later one takes twice as long.
const ROUND_PAUSE: Duration = Duration::from_millis(25);

/// The order of a partition's items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Rising,
    Falling,
}

/// A stretch of one partition, read consistently.
pub(crate) struct Stretch<'a> {
    pub(crate) pk: &'a str,
    /// What the sort keys begin with; may be empty.
    pub(crate) prefix: &'a str,
    /// Begin behind this sort key, which begins with the prefix.
    pub(crate) after: Option<&'a str>,
    pub(crate) order: Order,
    pub(crate) limit: usize,
}

/// A stretch of one partition of the index. It is eventually consistent, and has keys only.
pub(crate) struct IndexStretch<'a> {
    pub(crate) pk: &'a str,
    /// Only sort keys above this one.
    pub(crate) above: Option<&'a str>,
    /// Begin behind this entry, given by its four keys.
    pub(crate) after: Option<Item>,
    pub(crate) order: Order,
    pub(crate) limit: usize,
}

/// At most `limit` items, and whether there are more.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) items: Vec<Item>,
    pub(crate) more: bool,
}

impl Store {
    /// A consistent read of one item.
    pub(crate) async fn get(&self, key: &Key) -> Result<Option<Item>, Error> {
        let request = self.client.get_item().table_name(&self.tables.data).set_key(Some(key_item(key))).consistent_read(true);
        let output = request.send().await.map_err(|error| Error::from_sdk(&self.tables.data, error))?;
        Ok(output.item)
    }

    /// A consistent read of several items, by key. No key may be given twice.
    pub(crate) async fn get_all(&self, keys: &[Key]) -> Result<HashMap<Key, Item>, Error> {
        let mut found = HashMap::new();
        for batch in keys.chunks(BATCH_MAX) {
            let mut left: Vec<Item> = batch.iter().map(key_item).collect();
            for round in 0..ROUNDS_MAX {
                if round > 0 {
                    tokio::time::sleep(ROUND_PAUSE * 2_u32.pow(round - 1)).await;
                }
                left = self.get_some(left, &mut found).await?;
                if left.is_empty() {
                    break;
                }
            }
            if !left.is_empty() {
                return Err(Error::Throttled("BatchGetItem leaves keys unprocessed".into()));
            }
        }
        Ok(found)
    }

    /// One BatchGetItem; gives back the keys that it left out.
    async fn get_some(&self, keys: Vec<Item>, found: &mut HashMap<Key, Item>) -> Result<Vec<Item>, Error> {
        let table = &self.tables.data;
        let wanted = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build().expect("keys are set");
        let sent = self.client.batch_get_item().request_items(table, wanted).send().await;
        let output = sent.map_err(|error| Error::from_sdk(table, error))?;
        for item in output.responses.unwrap_or_default().remove(table).unwrap_or_default() {
            if let (Some(AttributeValue::S(pk)), Some(AttributeValue::S(sk))) = (item.get(PK), item.get(SK)) {
                found.insert(Key { pk: pk.clone(), sk: sk.clone() }, item);
            }
        }
        Ok(output.unprocessed_keys.unwrap_or_default().remove(table).map(|rest| rest.keys).unwrap_or_default())
    }

    /// Reads a stretch of a partition.
    pub(crate) async fn stretch(&self, wanted: &Stretch<'_>) -> Result<Found, Error> {
        let mut items = Vec::new();
        // No sort key begins with it, and DynamoDB refuses the question.
        if wanted.prefix.len() > SORT_KEY_BYTES_MAX {
            return Ok(Found::cut(items, wanted.limit));
        }
        let mut start = wanted.after.map(|sk| key_item(&Key { pk: wanted.pk.to_owned(), sk: sk.to_owned() }));
        // A page ends at 1 MB, however few items that are. One more than is wanted tells whether there are more.
        loop {
            let query = self.client.query().table_name(&self.tables.data).consistent_read(true);
            let query = query.scan_index_forward(wanted.order == Order::Rising).set_exclusive_start_key(start);
            let query = query.limit(missing(wanted.limit, items.len()));
            let query = query.expression_attribute_names("#pk", PK).expression_attribute_values(":pk", s(wanted.pk));
            let query = if wanted.prefix.is_empty() {
                query.key_condition_expression("#pk = :pk")
            } else {
                let query = query.key_condition_expression("#pk = :pk AND begins_with(#sk, :prefix)");
                query.expression_attribute_names("#sk", SK).expression_attribute_values(":prefix", s(wanted.prefix))
            };
            let output = query.send().await.map_err(|error| Error::from_sdk(&self.tables.data, error))?;
            items.extend(output.items.unwrap_or_default());
            start = output.last_evaluated_key;
            if start.is_none() || items.len() > wanted.limit {
                return Ok(Found::cut(items, wanted.limit));
            }
        }
    }

    /// Reads a stretch of the index.
    pub(crate) async fn index_stretch(&self, wanted: IndexStretch<'_>) -> Result<Found, Error> {
        let mut items = Vec::new();
        let mut start = wanted.after;
        loop {
            let query = self.client.query().table_name(&self.tables.data).index_name(BY_INDEX);
            let query = query.scan_index_forward(wanted.order == Order::Rising).set_exclusive_start_key(start);
            let query = query.limit(missing(wanted.limit, items.len()));
            let query = query.expression_attribute_names("#pk", INDEX_PK).expression_attribute_values(":pk", s(wanted.pk));
            let query = match wanted.above {
                None => query.key_condition_expression("#pk = :pk"),
                Some(above) => query
                    .key_condition_expression("#pk = :pk AND #sk > :above")
                    .expression_attribute_names("#sk", INDEX_SK)
                    .expression_attribute_values(":above", s(above)),
            };
            let output = query.send().await.map_err(|error| Error::from_sdk(&self.tables.data, error))?;
            items.extend(output.items.unwrap_or_default());
            start = output.last_evaluated_key;
            if start.is_none() || items.len() > wanted.limit {
                return Ok(Found::cut(items, wanted.limit));
            }
        }
    }
}

/// How many items to ask for: those that are missing, and one.
fn missing(limit: usize, have: usize) -> i32 {
    i32::try_from(limit + 1 - have).unwrap_or(i32::MAX)
}

impl Found {
    fn cut(mut items: Vec<Item>, limit: usize) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        Self { items, more }
    }
}
