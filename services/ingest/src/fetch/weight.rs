//! What a record takes in memory, about: more than DynamoDB counts, by how much depends on how many attributes it has. A note of
//! 100 KB is hardly larger; an item of a thousand flags is thirty times as large.
//!
//! The figures were measured, with the allocator of the C library, over maps, lists and sets of 1 to 200 entries; they are rather
//! too high than too low. For the smallest maps they are not exact, and need not be: a page has at most a thousand records.

use tidemark_domain::image::{Attribute, Image};
use tidemark_streams::Record;

/// A record without its images.
const RECORD: usize = 256;
/// A map without its entries: a node of the tree has room for eleven.
const MAP: usize = 650;
/// A map's entry without its text: its place in a node, and the allocations of its name and its value.
const MAP_ENTRY: usize = 140;
/// A list's entry without its text.
const LIST_ENTRY: usize = 48;
/// A set's entry without its text.
const SET_ENTRY: usize = 64;

/// Bytes of a record at rest.
pub(super) fn of_record(record: &Record) -> usize {
    let images = [&record.old, &record.new].into_iter().flatten();
    RECORD + images.map(of_image).sum::<usize>()
}

fn of_image(image: &Image) -> usize {
    MAP + image.iter().map(|(name, value)| MAP_ENTRY + name.len() + of_attribute(value)).sum::<usize>()
}

fn of_attribute(attribute: &Attribute) -> usize {
    match attribute {
        Attribute::Text(text) | Attribute::Number(text) | Attribute::Bytes(text) => text.len(),
        Attribute::Bool(_) | Attribute::Null(_) => 0,
        Attribute::TextSet(texts) | Attribute::NumberSet(texts) | Attribute::BytesSet(texts) => {
            texts.iter().map(|text| SET_ENTRY + text.len()).sum()
        }
        Attribute::List(values) => values.iter().map(|value| LIST_ENTRY + of_attribute(value)).sum(),
        Attribute::Map(image) => of_image(image),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The weight of an item's image, spelled in DynamoDB's JSON.
    fn weight(item: serde_json::Value) -> usize {
        of_image(&serde_json::from_value(item).expect("an image"))
    }

    #[test]
    fn text_weighs_its_length_and_small_attributes_weigh_what_surrounds_them() {
        assert_eq!(weight(json!({})), MAP);
        let note = weight(json!({ "note": { "S": "x".repeat(100_000) } }));
        assert!((100_000..101_000).contains(&note), "{note}");
        let flags: serde_json::Map<_, _> = (0..1000).map(|flag| (format!("f{flag}"), json!({ "BOOL": true }))).collect();
        let flags = weight(flags.into());
        assert!((130_000..160_000).contains(&flags), "{flags}");
    }

    #[test]
    fn what_is_nested_is_weighed() {
        let texts = ["x".repeat(1000), "y".repeat(1000)];
        for (nested, least) in [
            (json!({ "L": [{ "S": texts[0] }, { "M": { "a": { "B": texts[1] } } }] }), 2000 + 2 * LIST_ENTRY + MAP + MAP_ENTRY),
            (json!({ "SS": texts }), 2000 + 2 * SET_ENTRY),
            (json!({ "NS": ["1", "2"] }), 2 * SET_ENTRY),
            (json!({ "L": vec![json!({ "NULL": true }); 100] }), 100 * LIST_ENTRY),
        ] {
            let weighed = weight(json!({ "nested": nested }));
            assert!((least..least + 2 * (MAP + MAP_ENTRY)).contains(&weighed), "{weighed}, not {least}: {nested}");
        }
    }
}
