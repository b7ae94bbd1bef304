//! The UTC offsets that days of a zone were last counted by: one item for each zone in use, whichever tenants are in it.
//!
//! Zones are compiled in. A binary with a newer time-zone database does not have the rules of the older one, so what was counted by is
//! stored. When the two differ in the past, days have moved, and the item says since when that is known.

use jiff::Timestamp;
use tidemark_domain::Zone;
use tidemark_domain::zone::Offsets;

use crate::Store;
use crate::edit::Edit;
use crate::error::Error;
use crate::item::{Item, Stored, n, s};
use crate::key::{self, SK, ZONES};
use crate::read::{Order, Stretch};

const TZDB: &str = "tzdb";
const OFFSETS: &str = "offsets";
const UNTIL: &str = "until";
const MOVED_AT: &str = "moved_at";

/// Most zones that are listed; a time-zone database has some 600 names.
const LISTED_MAX: usize = 2_000;

/// What is stored of a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredZone {
    /// The version of the time-zone database that has these offsets, such as `2026a`. Versions order as text.
    pub tzdb: String,
    pub offsets: Offsets,
    /// When a newer database was last found to move days. It is never removed.
    pub moved_at: Option<Timestamp>,
}

impl StoredZone {
    fn read(item: &Item) -> Result<Self, Error> {
        let stored = Stored(item);
        let until = stored.instant(UNTIL)?.ok_or_else(|| stored.corrupt(UNTIL, "is missing"))?;
        let offsets = Offsets::parse(&stored.text(OFFSETS)?, until);
        Ok(Self {
            tzdb: stored.text(TZDB)?,
            offsets: offsets.map_err(|error| stored.corrupt(OFFSETS, &error.to_string()))?,
            moved_at: stored.optional_moment(MOVED_AT)?,
        })
    }

    /// As an update of the zone's item. A zone that has not moved leaves an earlier `moved_at` as it is.
    fn edit(&self, zone: &Zone) -> Edit {
        let edit = Edit::of(&key::zone(zone)).set(TZDB, s(&self.tzdb)).set(OFFSETS, s(self.offsets.to_string()));
        let edit = edit.set(UNTIL, n(self.offsets.until().as_second()));
        match self.moved_at {
            Some(moved_at) => edit.set(MOVED_AT, s(moved_at.to_string())),
            None => edit,
        }
    }
}

impl Store {
    /// What is stored of a zone; `None` before a worker used it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn stored_zone(&self, zone: &Zone) -> Result<Option<StoredZone>, Error> {
        let item = self.get(&key::zone(zone)).await?;
        item.as_ref().map(StoredZone::read).transpose()
    }

    /// Stores offsets in place of those of the database `seen`; `None`: where none are stored. A `moved_at` of `None` leaves what stands.
    ///
    /// # Errors
    /// [`Error::ConditionFailed`] when another database's are stored meanwhile; and when DynamoDB does not take it.
    pub async fn put_zone(&self, zone: &Zone, stored: &StoredZone, seen: Option<&str>) -> Result<(), Error> {
        self.edit(stored.edit(zone).only_if_still(TZDB, seen.map(s))).await.map(drop)
    }

    /// Notes that days of a zone have moved, if that is not known. For a binary whose database is older than what is stored.
    ///
    /// # Errors
    /// When DynamoDB does not take it.
    pub async fn mark_zone_moved(&self, zone: &Zone, moved_at: Timestamp) -> Result<(), Error> {
        let mark = Edit::of(&key::zone(zone)).set_if_absent(MOVED_AT, s(moved_at.to_string()));
        self.edit(mark.only_if_there()).await.map(drop)
    }

    /// When days of a zone last moved, by one read; `None`: never, as far as a worker knows.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn zone_moved_at(&self, zone: &Zone) -> Result<Option<Timestamp>, Error> {
        let item = self.get(&key::zone(zone)).await?;
        item.as_ref().map_or(Ok(None), |item| Stored(item).optional_moment(MOVED_AT))
    }

    /// The zones whose days have moved, by name, each with when they last did. For operators.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn moved_zones(&self) -> Result<Vec<(String, Timestamp)>, Error> {
        let wanted = Stretch { pk: ZONES, prefix: "", after: None, order: Order::Rising, limit: LISTED_MAX };
        let found = self.stretch(&wanted).await?;
        let mut moved = Vec::new();
        for stored in found.items.iter().map(Stored) {
            if let Some(moved_at) = stored.optional_moment(MOVED_AT)? {
                moved.push((stored.text(SK)?, moved_at));
            }
        }
        Ok(moved)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::item::item_of;

    fn berlin() -> Zone {
        Zone::named("Europe/Berlin").expect("a zone")
    }

    /// The item that an update leaves where none was.
    fn made(edit: Edit) -> Item {
        edit.item_set()
    }

    proptest! {
        #[test]
        fn what_is_stored_is_what_is_read(
            tzdb in "20[0-9]{2}[a-z]",
            days in 1..12_000_i64,
            moved_ms in proptest::option::of(0..4_000_000_000_000_i64),
        ) {
            let from = Timestamp::from_second(946_684_800).expect("an instant");
            let until = Timestamp::from_second(946_684_800 + days * 86_400).expect("an instant");
            let moved_at = moved_ms.map(|ms| Timestamp::from_millisecond(ms).expect("an instant"));
            let zone = StoredZone { tzdb, offsets: Offsets::of(&berlin(), from, until), moved_at };
            prop_assert_eq!(StoredZone::read(&made(zone.edit(&berlin()))).expect("readable"), zone);
        }
    }

    /// Items of every release must be read, and be found where they are.
    #[test]
    fn a_golden_item_is_read_and_written_as_it_is() {
        let key = key::zone(&berlin());
        assert_eq!((key.pk.as_str(), key.sk.as_str()), ("ZONES", "Europe/Berlin"));
        let golden = item_of(
            &key,
            [
                ("tzdb", s("2026a")),
                ("offsets", s("946684800:3600 954032400:7200 972781200:3600")),
                ("until", n(978_307_200)),
                ("moved_at", s("2026-11-30T12:34:56.789Z")),
            ],
        );
        let read = StoredZone::read(&golden).expect("readable");
        let until = "2001-01-01T00:00:00Z".parse().expect("an instant");
        let offsets = Offsets::of(&berlin(), "2000-01-01T00:00:00Z".parse().expect("an instant"), until);
        let moved_at = Some("2026-11-30T12:34:56.789Z".parse().expect("an instant"));
        assert_eq!(read, StoredZone { tzdb: "2026a".to_owned(), offsets, moved_at });
        assert_eq!(made(read.edit(&berlin())), golden);
    }

    #[test]
    fn what_is_none_is_corrupt() {
        let with = |offsets: &str| {
            item_of(&key::zone(&berlin()), [("tzdb", s("2026a")), ("offsets", s(offsets)), ("until", n(978_307_200))])
        };
        assert!(StoredZone::read(&with("0:3600")).is_ok());
        let read = StoredZone::read(&with("0:3600 0:0"));
        assert!(matches!(&read, Err(Error::Corrupt { key, .. }) if key == "ZONES / Europe/Berlin"), "{read:?}");
    }
}
