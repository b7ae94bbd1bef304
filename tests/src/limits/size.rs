//! Sizes of items and attributes, as DynamoDB counts them.

use serde_json::Value;

/// What a list or a map has beside its elements, and what each element has beside itself, in bytes.
const COLLECTION_BYTES: usize = 3;
const ELEMENT_BYTES: usize = 1;

/// The size of an item, or of any map of attributes by name.
pub(super) fn of_item(item: &Value) -> usize {
    item.as_object().into_iter().flatten().map(|(name, value)| name.len() + of_attribute(value)).sum()
}

/// What is known of the size of the item that a part of a transaction writes. Of an update that is its key and its values: less than the
/// item may have.
pub(super) fn of_request(request: &Value) -> usize {
    ["Item", "Key", "ExpressionAttributeValues"].into_iter().map(|name| of_item(&request[name])).sum()
}

/// The size of one attribute's value, in DynamoDB's JSON.
fn of_attribute(attribute: &Value) -> usize {
    let Some((kind, value)) = attribute.as_object().and_then(|attribute| attribute.iter().next()) else { return 0 };
    let elements = || value.as_array().into_iter().flatten();
    match kind.as_str() {
        "S" => of_text(value),
        "N" => of_number(value),
        "B" => of_binary(value),
        "SS" => elements().map(of_text).sum(),
        "NS" => elements().map(of_number).sum(),
        "BS" => elements().map(of_binary).sum(),
        "L" => COLLECTION_BYTES + elements().map(|element| ELEMENT_BYTES + of_attribute(element)).sum::<usize>(),
        "M" => COLLECTION_BYTES + value.as_object().map_or(0, serde_json::Map::len) * ELEMENT_BYTES + of_item(value),
        // BOOL and NULL.
        _ => 1,
    }
}

fn of_text(text: &Value) -> usize {
    text.as_str().map_or(0, str::len)
}

/// One byte for two significant digits, and one more; a sign is another. AWS calls this approximate.
fn of_number(number: &Value) -> usize {
    let number = number.as_str().unwrap_or_default();
    let coefficient = number.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = coefficient.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_matches('0').len();
    digits.div_ceil(2) + 1 + usize::from(number.starts_with('-'))
}

/// Base64 has four characters for three bytes.
pub(super) fn of_binary(binary: &Value) -> usize {
    let characters = binary.as_str().unwrap_or_default().trim_end_matches('=').len();
    characters * 3 / 4
}
