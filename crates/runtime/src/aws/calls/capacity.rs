//! Consumed capacity: how each operation is asked to tell it, and where it does.

use aws_sdk_dynamodb::operation::batch_get_item::{BatchGetItemInput, BatchGetItemOutput};
use aws_sdk_dynamodb::operation::batch_write_item::{BatchWriteItemInput, BatchWriteItemOutput};
use aws_sdk_dynamodb::operation::delete_item::{DeleteItemInput, DeleteItemOutput};
use aws_sdk_dynamodb::operation::get_item::{GetItemInput, GetItemOutput};
use aws_sdk_dynamodb::operation::put_item::{PutItemInput, PutItemOutput};
use aws_sdk_dynamodb::operation::query::{QueryInput, QueryOutput};
use aws_sdk_dynamodb::operation::transact_write_items::{TransactWriteItemsInput, TransactWriteItemsOutput};
use aws_sdk_dynamodb::operation::update_item::{UpdateItemInput, UpdateItemOutput};
use aws_sdk_dynamodb::types::{ConsumedCapacity, ReturnConsumedCapacity};
use aws_smithy_runtime_api::client::interceptors::context::{Input, Output};

/// What capacity is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// Asks for the capacity of an operation on items, and gives the table if it is one: of a transaction it is not, which writes
/// to the data table and the control table.
pub(super) fn ask(input: &mut Input) -> Option<String> {
    macro_rules! ask {
        ($($operation:ty: |$input:ident| $table:expr),+ $(,)?) => {$(
            if let Some($input) = input.downcast_mut::<$operation>() {
                $input.return_consumed_capacity.get_or_insert(ReturnConsumedCapacity::Total);
                return $table;
            }
        )+};
    }
    ask! {
        GetItemInput: |input| input.table_name.clone(),
        QueryInput: |input| input.table_name.clone(),
        TransactWriteItemsInput: |_input| None,
        UpdateItemInput: |input| input.table_name.clone(),
        PutItemInput: |input| input.table_name.clone(),
        DeleteItemInput: |input| input.table_name.clone(),
        BatchGetItemInput: |input| only(input.request_items.as_ref()?.keys()),
        BatchWriteItemInput: |input| only(input.request_items.as_ref()?.keys()),
    }
    None
}

/// The units that an operation on items consumed, by table.
pub(super) fn of(output: &Output) -> impl Iterator<Item = (&str, Kind, f64)> {
    macro_rules! told {
        ($($operation:ty: $kind:ident),+ $(,)?) => {
            $(if let Some(output) = output.downcast_ref::<$operation>() {
                (Kind::$kind, output.consumed_capacity().into_iter().collect())
            } else)+ {
                (Kind::Read, Vec::new())
            }
        };
    }
    let (kind, told): (Kind, Vec<&ConsumedCapacity>) = told! {
        GetItemOutput: Read,
        QueryOutput: Read,
        TransactWriteItemsOutput: Write,
        UpdateItemOutput: Write,
        PutItemOutput: Write,
        DeleteItemOutput: Write,
        BatchGetItemOutput: Read,
        BatchWriteItemOutput: Write,
    };
    told.into_iter().filter_map(move |told| Some((told.table_name()?, kind, told.capacity_units()?)))
}

fn only<'a>(mut tables: impl Iterator<Item = &'a String>) -> Option<String> {
    let table = tables.next()?;
    tables.next().is_none().then(|| table.clone())
}
