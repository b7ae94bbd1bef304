//! Names that people give to tenants and keys. Whoever takes one from outside checks it here.

/// Most characters of a tenant's or a key's name.
pub const NAME_LENGTH_MAX: usize = 200;

/// The text is empty, or too long to be shown as a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("has 1 to {NAME_LENGTH_MAX} characters")]
pub struct InvalidName(());

/// A name of a tenant or a key: any text of 1 to [`NAME_LENGTH_MAX`] characters.
///
/// # Errors
/// When it has fewer or more.
pub fn checked_name(text: &str) -> Result<String, InvalidName> {
    if (1..=NAME_LENGTH_MAX).contains(&text.chars().count()) { Ok(text.to_owned()) } else { Err(InvalidName(())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_counted_in_characters() {
        let longest = "ß".repeat(NAME_LENGTH_MAX);
        assert_eq!(checked_name(&longest), Ok(longest.clone()));
        for bad in ["", &(longest + "ß")] {
            assert_eq!(checked_name(bad).map_err(|error| error.to_string()), Err("has 1 to 200 characters".to_owned()));
        }
    }
}
