//! Names of streams, shards and workers, as they appear in keys of the control table.

use std::sync::Arc;

/// The character that separates the parts of a control key. No id may hold it.
const SEPARATOR: char = '#';

/// The text is not what its type needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {wanted}")]
pub struct Error {
    text: String,
    wanted: &'static str,
}

impl Error {
    fn new(text: &str, wanted: &'static str) -> Self {
        Self { text: text.chars().take(120).collect(), wanted }
    }
}

/// Printable, without the separator, and short enough to be a part of a key.
fn is_plain(text: &str, length_max: usize) -> bool {
    (1..=length_max).contains(&text.len()) && !text.contains(|c: char| c == SEPARATOR || c.is_control())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                Self::new(text)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// A stream's ARN: `arn:…:table/<table>/stream/<label>`.
    StreamArn
);
id!(
    /// A stream within one account and Region: `<table>/<label>`. A table whose stream is disabled and enabled again
    /// has a new one.
    StreamId
);
id!(
    /// One shard of a stream, as AWS names it.
    ShardId
);
id!(
    /// One process that reads streams: `<name>.<incarnation>`. The incarnation is random, so that a process restarted
    /// under its old name never takes its predecessor's lease for its own.
    WorkerId
);

impl StreamArn {
    /// # Errors
    /// When the text does not end in `table/<table>/stream/<label>`.
    pub fn new(text: &str) -> Result<Self, Error> {
        let arn = Self(text.into());
        if is_plain(text, 1024) && arn.parts().is_some() { Ok(arn) } else { Err(Error::new(text, "the ARN of a stream")) }
    }

    /// The stream's id within its account and Region.
    pub fn id(&self) -> StreamId {
        let (table, label) = self.parts().expect("checked by the constructor");
        StreamId(format!("{table}/{label}").into())
    }

    fn parts(&self) -> Option<(&str, &str)> {
        let (_, resource) = self.0.split_once(":table/")?;
        resource.split_once("/stream/").filter(|(table, label)| !table.is_empty() && !label.is_empty())
    }
}

impl StreamId {
    /// # Errors
    /// When the text is not `<table>/<label>`.
    pub fn new(text: &str) -> Result<Self, Error> {
        let has_both = text.split_once('/').is_some_and(|(table, label)| !table.is_empty() && !label.is_empty());
        if is_plain(text, 512) && has_both {
            Ok(Self(text.into()))
        } else {
            Err(Error::new(text, "a stream's `<table>/<label>`"))
        }
    }

    /// The table whose stream this is.
    pub fn table(&self) -> &str {
        self.0.split_once('/').expect("checked by the constructor").0
    }
}

impl ShardId {
    /// # Errors
    /// When the text is empty, longer than 300 bytes, or holds `#` or a control character.
    pub fn new(text: &str) -> Result<Self, Error> {
        // AWS allows 65 bytes; an emulator puts the table's name (up to 255) into it.
        if is_plain(text, 300) { Ok(Self(text.into())) } else { Err(Error::new(text, "a shard's id")) }
    }

    /// When the shard was created, in epoch milliseconds, where its id tells it as AWS's ids do
    /// (`shardId-<20 digits>-<hash>`).
    pub fn created_ms(&self) -> Option<i64> {
        let digits = self.0.strip_prefix("shardId-")?.split('-').next()?;
        let ms: i64 = digits.parse().ok()?;
        // DynamoDB Streams opened in 2014; an emulator's counter is no time.
        (digits.len() == 20 && ms >= 1_400_000_000_000).then_some(ms)
    }
}

impl WorkerId {
    /// # Errors
    /// When the text is not `<name>.<incarnation>` of at most 255 printable bytes without `#`.
    pub fn new(text: &str) -> Result<Self, Error> {
        let has_both = text.rsplit_once('.').is_some_and(|(name, incarnation)| !name.is_empty() && !incarnation.is_empty());
        if is_plain(text, 255) && has_both {
            Ok(Self(text.into()))
        } else {
            Err(Error::new(text, "a worker's `<name>.<incarnation>`"))
        }
    }

    /// A new incarnation of the worker `name`.
    ///
    /// # Errors
    /// When the name is empty, too long, or holds `#` or a control character.
    pub fn incarnate(name: &str) -> Result<Self, Error> {
        Self::new(&format!("{name}.{:016x}", fastrand::u64(..)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streams_id_is_its_table_and_label() {
        let arn = StreamArn::new("arn:aws:dynamodb:eu-west-1:123456789012:table/Orders/stream/2026-01-02T03:04:05.678").unwrap();
        assert_eq!(arn.id().as_str(), "Orders/2026-01-02T03:04:05.678");
        assert_eq!(arn.id().table(), "Orders");
        for bad in
            ["", "arn:aws:dynamodb:eu-west-1:1:table/Orders", "arn:aws:dynamodb:e:1:table//stream/x", "a:table/b#/stream/c"]
        {
            assert!(StreamArn::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_shards_age_is_told_by_aws_ids_only() {
        let created = |text: &str| ShardId::new(text).unwrap().created_ms();
        assert_eq!(created("shardId-00000001414562045508-2bac9cd2"), Some(1_414_562_045_508));
        assert_eq!(created("shardId-00000001-Orders"), None);
        assert_eq!(created("shardId-00000000000000000001-Orders"), None);
        assert_eq!(created("shard"), None);
    }

    #[test]
    fn two_incarnations_of_one_name_differ() {
        let id = || WorkerId::incarnate("host-1").unwrap();
        assert_ne!(id(), id());
        assert!(id().as_str().starts_with("host-1."));
        assert!(WorkerId::incarnate("").is_err());
        assert!(WorkerId::incarnate("a#b").is_err());
    }
}
