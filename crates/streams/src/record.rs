//! A stream record, free of SDK types.

use aws_sdk_dynamodb::primitives::DateTime;
use aws_sdk_dynamodbstreams::types::{AttributeValue, Identity, Record as SdkRecord};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use tidemark_domain::image::{Attribute, Image};

use crate::error::Error;
use crate::position::SequenceNumber;

/// One change of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub sequence_number: SequenceNumber,
    /// When the item was changed, about; AWS rounds down to the second.
    pub created_at: Timestamp,
    /// The item before the change; none when it was inserted.
    pub old: Option<Image>,
    /// The item after the change; none when it was deleted.
    pub new: Option<Image>,
    /// The item was deleted by DynamoDB because its time to live was over.
    pub ttl_delete: bool,
    /// The record's size as DynamoDB counts it.
    pub bytes: usize,
}

impl Record {
    pub(crate) fn of_sdk(record: SdkRecord) -> Result<Self, Error> {
        let incomplete = |what| Error::Incomplete { operation: "GetRecords", what };
        let change = record.dynamodb.ok_or_else(|| incomplete("a record's content"))?;
        let number = change.sequence_number.as_deref().map(SequenceNumber::new);
        let created_at = change.approximate_creation_date_time.as_ref().and_then(timestamp);
        Ok(Self {
            sequence_number: number.and_then(Result::ok).ok_or_else(|| incomplete("a record's sequence number"))?,
            created_at: created_at.ok_or_else(|| incomplete("a record's creation time"))?,
            old: change.old_image.map(image),
            new: change.new_image.map(image),
            ttl_delete: record.user_identity.as_ref().is_some_and(is_ttl),
            bytes: change.size_bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0),
        })
    }
}

/// An SDK time to the millisecond, which is all DynamoDB sends.
pub(crate) fn timestamp(time: &DateTime) -> Option<Timestamp> {
    time.to_millis().ok().and_then(|ms| Timestamp::from_millisecond(ms).ok())
}

fn is_ttl(identity: &Identity) -> bool {
    identity.r#type.as_deref() == Some("Service") && identity.principal_id.as_deref() == Some("dynamodb.amazonaws.com")
}

fn image(attributes: impl IntoIterator<Item = (String, AttributeValue)>) -> Image {
    attributes.into_iter().map(|(name, value)| (name, attribute(value))).collect()
}

fn attribute(value: AttributeValue) -> Attribute {
    match value {
        AttributeValue::S(text) => Attribute::Text(text),
        AttributeValue::N(number) => Attribute::Number(number),
        AttributeValue::Bool(flag) => Attribute::Bool(flag),
        AttributeValue::B(bytes) => Attribute::Bytes(STANDARD.encode(bytes)),
        AttributeValue::Ss(texts) => Attribute::TextSet(texts),
        AttributeValue::Ns(numbers) => Attribute::NumberSet(numbers),
        AttributeValue::Bs(blobs) => Attribute::BytesSet(blobs.into_iter().map(|bytes| STANDARD.encode(bytes)).collect()),
        AttributeValue::L(values) => Attribute::List(values.into_iter().map(attribute).collect()),
        AttributeValue::M(values) => Attribute::Map(image(values)),
        // A type this SDK does not know carries no value it could give us; as NULL it is at least seen to be there.
        _ => Attribute::Null(true),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use aws_sdk_dynamodb::primitives::Blob;
    use aws_sdk_dynamodbstreams::types::StreamRecord;

    use super::*;

    #[test]
    fn every_attribute_type_is_carried_over() {
        let value = AttributeValue::M(HashMap::from([
            ("s".to_owned(), AttributeValue::S("a".to_owned())),
            ("n".to_owned(), AttributeValue::N("1.50".to_owned())),
            ("b".to_owned(), AttributeValue::B(Blob::new([1, 2, 255]))),
            ("t".to_owned(), AttributeValue::Bool(true)),
            ("z".to_owned(), AttributeValue::Null(true)),
            ("ss".to_owned(), AttributeValue::Ss(vec!["x".to_owned()])),
            ("ns".to_owned(), AttributeValue::Ns(vec!["7".to_owned()])),
            ("bs".to_owned(), AttributeValue::Bs(vec![Blob::new([0])])),
            ("l".to_owned(), AttributeValue::L(vec![AttributeValue::N("2".to_owned())])),
        ]));
        let json = serde_json::to_value(attribute(value)).unwrap();
        let expected = serde_json::json!({"M": {
            "s": {"S": "a"}, "n": {"N": "1.50"}, "b": {"B": "AQL/"}, "t": {"BOOL": true}, "z": {"NULL": true},
            "ss": {"SS": ["x"]}, "ns": {"NS": ["7"]}, "bs": {"BS": ["AA=="]}, "l": {"L": [{"N": "2"}]},
        }});
        assert_eq!(json, expected);
    }

    #[test]
    fn only_dynamodbs_own_deletes_are_ttl_deletes() {
        let record = |kind: &str, principal: &str| {
            let change =
                StreamRecord::builder().sequence_number("7").approximate_creation_date_time(DateTime::from_secs(5)).build();
            let identity = Identity::builder().r#type(kind).principal_id(principal).build();
            Record::of_sdk(SdkRecord::builder().dynamodb(change).user_identity(identity).build()).unwrap()
        };
        assert!(record("Service", "dynamodb.amazonaws.com").ttl_delete);
        assert!(!record("Service", "replication.dynamodb.amazonaws.com").ttl_delete);
        assert!(!record("User", "dynamodb.amazonaws.com").ttl_delete);
    }

    #[test]
    fn a_record_without_a_sequence_number_is_refused() {
        let change = StreamRecord::builder().approximate_creation_date_time(DateTime::from_secs(5)).build();
        let error = Record::of_sdk(SdkRecord::builder().dynamodb(change).build()).unwrap_err();
        assert!(error.to_string().contains("sequence number"), "{error}");
    }
}
