//! One update of one item and its condition, spelled once for single calls and for transactions.
//!
//! Attributes of ours are plain lower-case words, so each is its own placeholder: `#state` and `:state`.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeValue, Delete, Put, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
};

use crate::Store;
use crate::error::Error;
use crate::item::{Item, key_item};
use crate::key::{Key, PK};

/// That an item is there. Every item has a partition key.
const IS_THERE: &str = "attribute_exists(#pk)";
const IS_NOT_THERE: &str = "attribute_not_exists(#pk)";

/// How often an edit is sent that meets others' transactions.
const MEETINGS_MAX: u32 = 8;
/// Ceiling of the full jitter before the second attempt, as a transaction is over within some 20 ms; it grows by as much with each.
const MEETING_PAUSE: Duration = Duration::from_millis(25);

/// An update under construction.
#[derive(Debug, Clone)]
pub(crate) struct Edit {
    key: Item,
    sets: Vec<String>,
    removes: Vec<String>,
    adds: Vec<String>,
    conditions: Vec<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Edit {
    pub(crate) fn of(key: &Key) -> Self {
        Self {
            key: key_item(key),
            sets: Vec::new(),
            removes: Vec::new(),
            adds: Vec::new(),
            conditions: Vec::new(),
            names: HashMap::new(),
            values: HashMap::new(),
        }
    }

    pub(crate) fn set(mut self, name: &str, value: AttributeValue) -> Self {
        let set = format!("{} = :{name}", self.named(name));
        self.sets.push(set);
        self.valued(name, value)
    }

    /// Sets the attribute if the item has none of this name; one that it has stays as it is.
    pub(crate) fn set_if_absent(mut self, name: &str, value: AttributeValue) -> Self {
        let attribute = self.named(name);
        self.sets.push(format!("{attribute} = if_not_exists({attribute}, :{name})"));
        self.valued(name, value)
    }

    /// Sets the attribute, or removes it.
    pub(crate) fn set_or_remove(self, name: &str, value: Option<AttributeValue>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self.remove(name),
        }
    }

    pub(crate) fn remove(mut self, name: &str) -> Self {
        let name = self.named(name);
        self.removes.push(name);
        self
    }

    /// Adds to a number or a set.
    pub(crate) fn add(mut self, name: &str, value: AttributeValue) -> Self {
        let add = format!("{} :{name}", self.named(name));
        self.adds.push(add);
        self.valued(name, value)
    }

    /// Only if the attribute has this value.
    pub(crate) fn only_if(mut self, name: &str, value: AttributeValue) -> Self {
        let condition = format!("{} = :if_{name}", self.named(name));
        self.conditions.push(condition);
        self.valued(&format!("if_{name}"), value)
    }

    /// Only if the attribute has one of two values.
    pub(crate) fn only_if_either(mut self, name: &str, [one, other]: [AttributeValue; 2]) -> Self {
        let condition = format!("{} IN (:if_{name}, :or_{name})", self.named(name));
        self.conditions.push(condition);
        self.valued(&format!("if_{name}"), one).valued(&format!("or_{name}"), other)
    }

    /// Only if the number is smaller, or not there.
    pub(crate) fn only_if_below(mut self, name: &str, value: AttributeValue) -> Self {
        let attribute = self.named(name);
        self.conditions.push(format!("(attribute_not_exists({attribute}) OR {attribute} < :if_{name})"));
        self.valued(&format!("if_{name}"), value)
    }

    /// Only if the attribute is as it was read; `None`: only if it is not there.
    pub(crate) fn only_if_still(mut self, name: &str, seen: Option<AttributeValue>) -> Self {
        let Some(seen) = seen else {
            let attribute = self.named(name);
            self.conditions.push(format!("attribute_not_exists({attribute})"));
            return self;
        };
        self.only_if(name, seen)
    }

    pub(crate) fn only_if_there(mut self) -> Self {
        self.named(PK);
        self.conditions.push(IS_THERE.to_owned());
        self
    }

    /// The item that an edit of plain sets leaves where none was.
    #[cfg(test)]
    pub(crate) fn item_set(self) -> Item {
        let values = self.values.into_iter().map(|(name, value)| (name.trim_start_matches(':').to_owned(), value));
        self.key.into_iter().chain(values).collect()
    }

    fn named(&mut self, name: &str) -> String {
        let placeholder = format!("#{name}");
        self.names.insert(placeholder.clone(), name.to_owned());
        placeholder
    }

    fn valued(mut self, name: &str, value: AttributeValue) -> Self {
        self.values.insert(format!(":{name}"), value);
        self
    }

    fn expression(&self) -> String {
        let clauses = [("SET", &self.sets), ("REMOVE", &self.removes), ("ADD", &self.adds)];
        let clauses = clauses.into_iter().filter(|(_, parts)| !parts.is_empty());
        clauses.map(|(word, parts)| format!("{word} {}", parts.join(", "))).collect::<Vec<_>>().join(" ")
    }

    fn condition(&self) -> Option<String> {
        (!self.conditions.is_empty()).then(|| self.conditions.join(" AND "))
    }

    /// The update as a part of a transaction. A failed condition is answered with the item that stands.
    pub(crate) fn within(self, table: &str) -> TransactWriteItem {
        let update = Update::builder()
            .table_name(table)
            .update_expression(self.expression())
            .set_condition_expression(self.condition())
            .set_expression_attribute_names(Some(self.names))
            .set_expression_attribute_values((!self.values.is_empty()).then_some(self.values))
            .set_key(Some(self.key))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        TransactWriteItem::builder().update(update.build().expect("table, key and expression are set")).build()
    }
}

impl Store {
    /// Makes an update by itself, and gives the item as it stands after it.
    ///
    /// # Errors
    /// [`Error::ConditionFailed`], and when DynamoDB does not take it.
    pub(crate) async fn edit(&self, edit: Edit) -> Result<Item, Error> {
        let request = self
            .client
            .update_item()
            .table_name(&self.tables.data)
            .update_expression(edit.expression())
            .set_condition_expression(edit.condition())
            .set_expression_attribute_names(Some(edit.names))
            .set_expression_attribute_values((!edit.values.is_empty()).then_some(edit.values))
            .set_key(Some(edit.key))
            .return_values(ReturnValue::AllNew);
        let output = request.send().await.map_err(|error| Error::from_sdk(&self.tables.data, error))?;
        Ok(output.attributes.unwrap_or_default())
    }

    /// The same, made again a few times if the item is in another's transaction at the moment, or DynamoDB throttles it: nothing was
    /// written then.
    ///
    /// # Errors
    /// As [`edit`](Self::edit).
    pub(crate) async fn edit_among_others(&self, edit: Edit) -> Result<Item, Error> {
        for attempt in 1..MEETINGS_MAX {
            match self.edit(edit.clone()).await {
                Err(Error::Throttled(_)) => tokio::time::sleep((MEETING_PAUSE * attempt).mul_f64(fastrand::f64())).await,
                ended => return ended,
            }
        }
        self.edit(edit).await
    }

    /// Puts an item, whatever is there.
    pub(crate) fn put(&self, item: Item) -> TransactWriteItem {
        let put = Put::builder().table_name(&self.tables.data).set_item(Some(item)).build();
        TransactWriteItem::builder().put(put.expect("table and item are set")).build()
    }

    /// Puts an item where none is.
    pub(crate) fn put_new(&self, item: Item) -> TransactWriteItem {
        let put = Put::builder().table_name(&self.tables.data).set_item(Some(item));
        let put = put.condition_expression(IS_NOT_THERE).expression_attribute_names("#pk", PK);
        TransactWriteItem::builder().put(put.build().expect("table and item are set")).build()
    }

    /// Replaces an item whose number `name` is `seen`.
    pub(crate) fn put_over(&self, item: Item, name: &str, seen: AttributeValue) -> TransactWriteItem {
        let put = Put::builder().table_name(&self.tables.data).set_item(Some(item)).condition_expression("#seen = :seen");
        let put = put.expression_attribute_names("#seen", name).expression_attribute_values(":seen", seen);
        TransactWriteItem::builder().put(put.build().expect("table and item are set")).build()
    }

    /// Deletes an item, if there is one.
    pub(crate) fn delete_any(&self, key: &Key) -> TransactWriteItem {
        let delete = Delete::builder().table_name(&self.tables.data).set_key(Some(key_item(key)));
        TransactWriteItem::builder().delete(delete.build().expect("table and key are set")).build()
    }

    /// Deletes an item, if there is one, as long as it has no attribute `name`.
    pub(crate) fn delete_unless(&self, key: &Key, name: &str) -> TransactWriteItem {
        let delete = Delete::builder().table_name(&self.tables.data).set_key(Some(key_item(key)));
        let delete = delete.condition_expression("attribute_not_exists(#name)").expression_attribute_names("#name", name);
        TransactWriteItem::builder().delete(delete.build().expect("table and key are set")).build()
    }

    /// Deletes an item whose number `name` is `seen`.
    pub(crate) fn delete(&self, key: &Key, name: &str, seen: AttributeValue) -> TransactWriteItem {
        let delete = Delete::builder().table_name(&self.tables.data).set_key(Some(key_item(key)));
        let delete = delete.condition_expression("#seen = :seen").expression_attribute_names("#seen", name);
        let delete = delete.expression_attribute_values(":seen", seen).build().expect("table and key are set");
        TransactWriteItem::builder().delete(delete).build()
    }
}
