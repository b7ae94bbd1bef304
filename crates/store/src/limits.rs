//! DynamoDB's limits on keys, items and expressions, checked before a call is sent (AWS: "Quotas in Amazon DynamoDB").
//!
//! DynamoDB checks them itself. Emulators are laxer, so without this a request that AWS refuses passes every test. An interceptor
//! checks each call of the data table's client in one place. An update's result is not known before it is made: what may grow by
//! updates is bounded where it is written.

use std::error::Error as StdError;

use aws_sdk_dynamodb::config::interceptors::BeforeSerializationInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::operation::batch_write_item::BatchWriteItemInput;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemInput;
use aws_sdk_dynamodb::operation::get_item::GetItemInput;
use aws_sdk_dynamodb::operation::put_item::PutItemInput;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsInput;
use aws_sdk_dynamodb::operation::update_item::UpdateItemInput;
use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};

use crate::item::Item;
use crate::key::{INDEX_PK, INDEX_SK, PK, SK};

/// Most bytes of an item: names and values together.
const ITEM_BYTES_MAX: usize = 400 * 1024;
/// Most bytes of a partition key, of the table and of an index.
const PARTITION_KEY_BYTES_MAX: usize = 2048;
/// Most bytes of a sort key, of the table and of an index; also of what a Query asks sort keys to begin with.
pub(crate) const SORT_KEY_BYTES_MAX: usize = 1024;
/// Most bytes of an expression.
const EXPRESSION_BYTES_MAX: usize = 4096;

/// A request that DynamoDB would refuse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LimitExceeded {
    #[error("an item has {bytes} bytes; DynamoDB stores at most {ITEM_BYTES_MAX}")]
    Item { bytes: usize },
    #[error("the key attribute `{name}` has {bytes} bytes; DynamoDB takes 1 to {max}")]
    Key { name: &'static str, bytes: usize, max: usize },
    #[error("an expression has {bytes} bytes; DynamoDB takes at most {EXPRESSION_BYTES_MAX}")]
    Expression { bytes: usize },
    #[error("item {index} of the transaction: {limit}")]
    Within { index: usize, limit: Box<LimitExceeded> },
}

impl LimitExceeded {
    /// The limit that made the SDK give up a call, if one did.
    pub(crate) fn of<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Self> {
        // Not `error.source()`, which would be the source of the reference.
        std::iter::successors(Some(error), |error| (*error).source()).find_map(|error| error.downcast_ref())
    }

    /// Which item of a transaction exceeds it.
    pub(crate) fn index(&self) -> Option<usize> {
        match self {
            Self::Within { index, .. } => Some(*index),
            _ => None,
        }
    }
}

/// Checks every call of a client.
#[derive(Debug)]
pub(crate) struct Limits;

impl Intercept for Limits {
    fn name(&self) -> &'static str {
        "Limits"
    }

    fn read_before_serialization(
        &self,
        context: &BeforeSerializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), Box<dyn StdError + Send + Sync>> {
        let input = context.input();
        if let Some(input) = input.downcast_ref::<TransactWriteItemsInput>() {
            for (index, item) in input.transact_items().iter().enumerate() {
                check_part(item).map_err(|limit| LimitExceeded::Within { index, limit: Box::new(limit) })?;
            }
        } else if let Some(input) = input.downcast_ref::<PutItemInput>() {
            check_put(input.item(), input.condition_expression())?;
        } else if let Some(input) = input.downcast_ref::<UpdateItemInput>() {
            check_key(input.key(), [input.update_expression(), input.condition_expression()])?;
        } else if let Some(input) = input.downcast_ref::<DeleteItemInput>() {
            check_key(input.key(), [input.condition_expression(), None])?;
        } else if let Some(input) = input.downcast_ref::<GetItemInput>() {
            check_key(input.key(), [None, None])?;
        } else if let Some(input) = input.downcast_ref::<BatchWriteItemInput>() {
            let requests = input.request_items().into_iter().flatten().flat_map(|(_, requests)| requests);
            for put in requests.filter_map(|request| request.put_request()) {
                check_put(Some(put.item()), None)?;
            }
        }
        Ok(())
    }
}

fn check_part(part: &TransactWriteItem) -> Result<(), LimitExceeded> {
    if let Some(put) = part.put() {
        check_put(Some(put.item()), put.condition_expression())?;
    }
    if let Some(update) = part.update() {
        check_key(Some(update.key()), [Some(update.update_expression()), update.condition_expression()])?;
    }
    if let Some(delete) = part.delete() {
        check_key(Some(delete.key()), [delete.condition_expression(), None])?;
    }
    if let Some(check) = part.condition_check() {
        check_key(Some(check.key()), [Some(check.condition_expression()), None])?;
    }
    Ok(())
}

fn check_put(item: Option<&Item>, condition: Option<&str>) -> Result<(), LimitExceeded> {
    let bytes = item.map_or(0, item_bytes);
    if bytes > ITEM_BYTES_MAX {
        return Err(LimitExceeded::Item { bytes });
    }
    check_key(item, [condition, None])
}

/// Checks the key attributes of an item, those of the index among them, and expressions.
fn check_key(item: Option<&Item>, expressions: [Option<&str>; 2]) -> Result<(), LimitExceeded> {
    let limits = [
        (PK, PARTITION_KEY_BYTES_MAX),
        (SK, SORT_KEY_BYTES_MAX),
        (INDEX_PK, PARTITION_KEY_BYTES_MAX),
        (INDEX_SK, SORT_KEY_BYTES_MAX),
    ];
    for (name, max) in limits {
        if let Some(AttributeValue::S(key)) = item.and_then(|item| item.get(name))
            && !(1..=max).contains(&key.len())
        {
            return Err(LimitExceeded::Key { name, bytes: key.len(), max });
        }
    }
    match expressions.into_iter().flatten().map(str::len).find(|bytes| *bytes > EXPRESSION_BYTES_MAX) {
        Some(bytes) => Err(LimitExceeded::Expression { bytes }),
        None => Ok(()),
    }
}

/// The bytes of an item as DynamoDB counts them (AWS: "DynamoDB item sizes and formats"); of numbers, which AWS gives
/// approximately, the most that they may take.
pub(crate) fn item_bytes(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + value_bytes(value)).sum()
}

fn value_bytes(value: &AttributeValue) -> usize {
    /// Of a list or a map; each of its elements takes one more byte.
    const CONTAINER: usize = 3;
    let number = |digits: &String| digits.len().div_ceil(2) + 1;
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(digits) => number(digits),
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::Ss(texts) => texts.iter().map(String::len).sum(),
        AttributeValue::Ns(numbers) => numbers.iter().map(number).sum(),
        AttributeValue::Bs(all) => all.iter().map(|bytes| bytes.as_ref().len()).sum(),
        AttributeValue::L(values) => CONTAINER + values.iter().map(|value| value_bytes(value) + 1).sum::<usize>(),
        AttributeValue::M(item) => CONTAINER + item.len() + item_bytes(item),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::s;

    fn item(sizes: [usize; 4]) -> Item {
        let names = [PK, SK, INDEX_PK, INDEX_SK];
        names.into_iter().zip(sizes).map(|(name, bytes)| (name.to_owned(), s("k".repeat(bytes)))).collect()
    }

    #[test]
    fn keys_of_the_table_and_the_index_have_one_byte_to_what_dynamodb_takes() {
        let longest = [PARTITION_KEY_BYTES_MAX, SORT_KEY_BYTES_MAX, PARTITION_KEY_BYTES_MAX, SORT_KEY_BYTES_MAX];
        assert_eq!(check_put(Some(&item(longest)), None), Ok(()));
        for (index, name) in [PK, SK, INDEX_PK, INDEX_SK].into_iter().enumerate() {
            for bytes in [0, longest[index] + 1] {
                let mut sizes = longest;
                sizes[index] = bytes;
                let refused = check_put(Some(&item(sizes)), None);
                assert_eq!(refused, Err(LimitExceeded::Key { name, bytes, max: longest[index] }));
            }
        }
    }

    #[test]
    fn an_item_has_at_most_400_kb_names_included() {
        let mut item = item([1, 1, 1, 1]);
        let rest = ITEM_BYTES_MAX - item_bytes(&item) - "note".len();
        item.insert("note".to_owned(), s("n".repeat(rest)));
        assert_eq!(check_put(Some(&item), None), Ok(()));
        item.insert("note".to_owned(), s("n".repeat(rest + 1)));
        assert_eq!(check_put(Some(&item), None), Err(LimitExceeded::Item { bytes: ITEM_BYTES_MAX + 1 }));
    }

    #[test]
    fn an_expression_has_at_most_4_kb() {
        let expression = |bytes| "e".repeat(bytes);
        assert_eq!(check_key(None, [Some(&expression(EXPRESSION_BYTES_MAX)), None]), Ok(()));
        let refused = check_key(None, [None, Some(&expression(EXPRESSION_BYTES_MAX + 1))]);
        assert_eq!(refused, Err(LimitExceeded::Expression { bytes: EXPRESSION_BYTES_MAX + 1 }));
    }
}
