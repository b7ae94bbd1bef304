//! Images inside a quarantined record: compressed DynamoDB JSON, cut where it would not fit.

use std::io::{Read, Write};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use tidemark_domain::Image;

use crate::error::Error;
use crate::item::{Item, Stored, n, s};

/// Most compressed bytes kept of one image: two of them and the reason stay below an item's 400 KB.
const COMPRESSED_BYTES_MAX: usize = 150_000;
/// Most bytes an image's JSON may unpack to: an item has at most 400 KB, its JSON a few times that.
const JSON_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// An image as it is stored.
#[derive(Debug, Clone)]
pub(super) struct CompressedImage {
    gzip: Vec<u8>,
    bytes: usize,
    sha256: String,
    truncated: bool,
}

/// An image as it was quarantined.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredImage {
    /// DynamoDB JSON; `None` when it was too large to be kept whole.
    pub json: Option<serde_json::Value>,
    pub truncated: bool,
    /// The size of the whole JSON.
    pub bytes: u64,
    /// Of the whole JSON, in hexadecimal.
    pub sha256: String,
}

impl CompressedImage {
    pub(super) fn of(image: &Image) -> Self {
        let json = serde_json::to_vec(image).expect("an image is plain data with text keys");
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&json).expect("writing to memory does not fail");
        let mut gzip = encoder.finish().expect("writing to memory does not fail");
        let truncated = gzip.len() > COMPRESSED_BYTES_MAX;
        gzip.truncate(COMPRESSED_BYTES_MAX);
        Self { gzip, bytes: json.len(), sha256: hex::encode(Sha256::digest(&json)), truncated }
    }

    pub(super) fn bytes(&self) -> usize {
        self.gzip.len()
    }

    pub(super) fn write(&self, name: &str, item: &mut Item) {
        item.insert(name.to_owned(), AttributeValue::B(Blob::new(self.gzip.clone())));
        item.insert(format!("{name}_bytes"), n(self.bytes));
        item.insert(format!("{name}_sha256"), s(&self.sha256));
        item.insert(format!("{name}_truncated"), AttributeValue::Bool(self.truncated));
    }
}

impl StoredImage {
    pub(super) fn read(name: &str, stored: &Stored<'_>) -> Result<Option<Self>, Error> {
        let Some(gzip) = stored.bytes(name) else { return Ok(None) };
        let truncated = stored.flag(&format!("{name}_truncated"));
        let json = if truncated {
            None
        } else {
            let json = serde_json::from_reader(GzDecoder::new(gzip).take(JSON_BYTES_MAX));
            Some(json.map_err(|error| stored.corrupt(name, &error.to_string()))?)
        };
        Ok(Some(Self {
            json,
            truncated,
            bytes: stored.number(&format!("{name}_bytes"))?.unwrap_or_default(),
            sha256: stored.text(&format!("{name}_sha256"))?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemark_domain::Attribute;

    fn round_trip(image: &Image) -> StoredImage {
        let mut item = Item::new();
        CompressedImage::of(image).write("new", &mut item);
        StoredImage::read("new", &Stored(&item)).expect("readable").expect("there")
    }

    #[test]
    fn an_image_comes_back_whole_or_says_that_it_was_cut() {
        let small = Image::from([("a".to_owned(), Attribute::Text("x".repeat(300_000)))]);
        let stored = round_trip(&small);
        assert!(!stored.truncated);
        assert_eq!(stored.json, serde_json::to_value(&small).ok());

        // Text that does not compress: a walk over a linear congruential generator.
        let mut state = 1_u64;
        let noise: String = (0..400_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                char::from(b'!' + u8::try_from(state >> 58).expect("six bits"))
            })
            .collect();
        let large = Image::from([("a".to_owned(), Attribute::Text(noise))]);
        let stored = round_trip(&large);
        assert!(stored.truncated && stored.json.is_none());
        assert_eq!(stored.sha256.len(), 64);
        assert!(stored.bytes > 400_000);
    }
}
