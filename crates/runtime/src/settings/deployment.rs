//! The settings that several of Tidemark's processes share.

use std::ops::RangeInclusive;

use super::{Reader, Setting, parse};

pub const DEFINITIONS: Setting = Setting::required("TIDEMARK_DEFINITIONS", "path of the definition file");
pub const TABLE: Setting = Setting::with_default("TIDEMARK_TABLE", "tidemark", "name of the data table");
pub const CONTROL_TABLE: Setting =
    Setting::with_default("TIDEMARK_CONTROL_TABLE", "tidemark-control", "name of the table of leases, positions and definitions");
pub const ADMIN_ADDR: Setting = Setting::with_default("TIDEMARK_ADMIN_ADDR", "0.0.0.0:9090", "address for probes and metrics");
pub const SECRET_KEY: Setting =
    Setting::required("TIDEMARK_SECRET_KEY", "32 random bytes in base64: encrypts webhook secrets, signs cursors");
pub const SECRET_KEY_PREVIOUS: Setting =
    Setting::optional("TIDEMARK_SECRET_KEY_PREVIOUS", "the previous key, still accepted while keys are changed");
pub const WEBHOOK_ALLOW_CIDRS: Setting =
    Setting::optional("TIDEMARK_WEBHOOK_ALLOW_CIDRS", "private networks that webhooks may be sent to, separated by commas");
pub const WEBHOOK_DENY_CIDRS: Setting =
    Setting::optional("TIDEMARK_WEBHOOK_DENY_CIDRS", "further networks that webhooks must never reach, separated by commas");

/// Shortest and longest name that DynamoDB gives to a table.
const TABLE_NAME_LENGTHS: RangeInclusive<usize> = 3..=255;

/// Reads the names of the data table and the control table, in this order. `None` stands for an error, kept until
/// [`Reader::finish`].
pub fn tables(reader: &mut Reader<'_>) -> Option<(String, String)> {
    let (data, control) = (reader.read(&TABLE, table_name), reader.read(&CONTROL_TABLE, table_name));
    let (data, control) = (data?, control?);
    if data == control {
        reader.fault(&CONTROL_TABLE, format_args!("`{control}` is {} as well, and they are two tables", TABLE.name));
        return None;
    }
    Some((data, control))
}

fn table_name(text: &str) -> Result<String, parse::Error> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.' | b'-');
    if TABLE_NAME_LENGTHS.contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    let (min, max) = (TABLE_NAME_LENGTHS.start(), TABLE_NAME_LENGTHS.end());
    Err(parse::Error::Other { text: text.to_owned(), reason: format!("a table's name is {min} to {max} of A-Z a-z 0-9 _ . -") })
}

/// This machine's name, as the kernel has it: what a pod is called.
pub fn host_name() -> String {
    let name = gethostname::gethostname().to_string_lossy().into_owned();
    if name.is_empty() { "worker".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::super::Vars;
    use super::*;

    fn read(data: &str, control: &str) -> Result<(String, String), String> {
        let vars = Vars::of([(TABLE.name, data), (CONTROL_TABLE.name, control)]);
        let mut reader = Reader::new(&vars);
        let tables = tables(&mut reader);
        reader.finish(|| tables).map_err(|invalid| invalid.to_string())
    }

    #[test]
    fn a_table_has_a_name_that_dynamodb_gives() {
        let longest = "a".repeat(255);
        for (data, control) in [("abc", "A-Z_0.9"), (longest.as_str(), "tidemark-control")] {
            assert_eq!(read(data, control), Ok((data.to_owned(), control.to_owned())));
        }
        let expected = "\
TIDEMARK_TABLE: `a b c` is not allowed: a table's name is 3 to 255 of A-Z a-z 0-9 _ . -
TIDEMARK_CONTROL_TABLE: `ab` is not allowed: a table's name is 3 to 255 of A-Z a-z 0-9 _ . -";
        assert_eq!(read("a b c", "ab"), Err(expected.to_owned()));
        assert!(read(&"a".repeat(256), "tidemark-control").is_err());
    }

    #[test]
    fn the_two_tables_are_two() {
        let expected = "TIDEMARK_CONTROL_TABLE: `tidemark` is TIDEMARK_TABLE as well, and they are two tables";
        assert_eq!(read("", "tidemark"), Err(expected.to_owned()));
    }
}
