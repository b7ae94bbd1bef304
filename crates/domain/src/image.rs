//! One image of a source item: its attributes, as the stream carried them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An item's attributes by name.
pub type Image = BTreeMap<String, Attribute>;

/// One attribute's value. Serialises as DynamoDB JSON (`{"S":"…"}`), the form people know from the console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attribute {
    #[serde(rename = "S")]
    Text(String),
    /// A number as DynamoDB spells it. It stays text until a definition asks for its value.
    #[serde(rename = "N")]
    Number(String),
    #[serde(rename = "BOOL")]
    Bool(bool),
    #[serde(rename = "NULL")]
    Null(bool),
    /// Bytes, in base64.
    #[serde(rename = "B")]
    Bytes(String),
    #[serde(rename = "SS")]
    TextSet(Vec<String>),
    #[serde(rename = "NS")]
    NumberSet(Vec<String>),
    #[serde(rename = "BS")]
    BytesSet(Vec<String>),
    #[serde(rename = "L")]
    List(Vec<Attribute>),
    #[serde(rename = "M")]
    Map(BTreeMap<String, Attribute>),
}

impl Attribute {
    /// The type as DynamoDB names it, for messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "S",
            Self::Number(_) => "N",
            Self::Bool(_) => "BOOL",
            Self::Null(_) => "NULL",
            Self::Bytes(_) => "B",
            Self::TextSet(_) => "SS",
            Self::NumberSet(_) => "NS",
            Self::BytesSet(_) => "BS",
            Self::List(_) => "L",
            Self::Map(_) => "M",
        }
    }
}
