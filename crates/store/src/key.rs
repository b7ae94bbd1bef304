//! Every key of the data table, and of the running definitions in the control table. DESIGN §5.

use jiff::Timestamp;
use jiff::civil::Date;
use tidemark_domain::bucket::Width;
use tidemark_domain::delta::RowKey;
use tidemark_domain::{Bucket, Currency, DimensionName, Group, MetricName, SourceName, TenantId, Zone};

mod alerting;
mod webhook;

pub(crate) use alerting::*;
pub(crate) use webhook::*;

pub(crate) const PK: &str = "pk";
pub(crate) const SK: &str = "sk";
/// The one index of the table, sparse: an item is in it while it has both of the next two attributes.
pub(crate) const BY_INDEX: &str = "by_index";
pub(crate) const INDEX_PK: &str = "index_pk";
pub(crate) const INDEX_SK: &str = "index_sk";
pub(crate) const EXPIRES_AT: &str = "expires_at";

/// A partition and a sort key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) pk: String,
    pub(crate) sk: String,
}

impl Key {
    fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self { pk: pk.into(), sk: sk.into() }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} / {}", self.pk, self.sk)
    }
}

/// The rows of one metric, set and generation.
pub(crate) struct Family<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) metric: &'a MetricName,
    pub(crate) set: &'a str,
    pub(crate) generation: u32,
}

impl Family<'_> {
    /// One item collection: a UTC day of quarter rows, or a month of day rows.
    pub(crate) fn partition(&self, width: Width, chunk: &str, lane: u16) -> String {
        let Self { tenant, metric, set, generation } = self;
        let width = match width {
            Width::Quarter => 'q',
            Width::Day => 'd',
        };
        format!("T#{tenant}#M#{metric}.{set}#g{generation}#{width}{chunk}#L{lane}")
    }
}

/// The chunk that holds a bucket.
pub(crate) fn chunk(bucket: Bucket) -> String {
    match bucket {
        Bucket::Quarter { start } => day_chunk(utc_date(start)),
        Bucket::Day { date } => month_chunk(date),
    }
}

pub(crate) fn day_chunk(date: Date) -> String {
    date.strftime("%Y%m%d").to_string()
}

pub(crate) fn month_chunk(date: Date) -> String {
    date.strftime("%Y%m").to_string()
}

pub(crate) fn utc_date(instant: Timestamp) -> Date {
    instant.to_zoned(jiff::tz::TimeZone::UTC).date()
}

pub(crate) fn aggregate(row: &RowKey, lane: u16) -> Key {
    let family = Family { tenant: &row.tenant, metric: &row.metric, set: &row.set, generation: row.generation };
    let mut sk = group_prefix(&row.groups);
    sk.push_str(row.currency.as_ref().map_or("", Currency::as_str));
    sk.push('#');
    sk.push_str(&bucket_text(row.bucket));
    Key::new(family.partition(row.bucket.width(), &chunk(row.bucket), lane), sk)
}

/// What the sort keys of all rows with these leading groups begin with.
pub(crate) fn group_prefix(groups: &[Group]) -> String {
    groups.iter().map(|group| group.encoded() + "#").collect()
}

fn bucket_text(bucket: Bucket) -> String {
    match bucket {
        Bucket::Quarter { start } => start.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y%m%dT%H%M").to_string(),
        Bucket::Day { date } => day_chunk(date),
    }
}

/// The parts of an aggregate's sort key; `None` for a text that [`aggregate`] never makes.
pub(crate) fn parse_aggregate_sort_key(sk: &str) -> Option<(Vec<Group>, Option<Currency>, Bucket)> {
    let mut parts: Vec<&str> = sk.split('#').collect();
    let bucket = parse_bucket(parts.pop()?)?;
    let currency = match parts.pop()? {
        "" => None,
        code => Some(Currency::new(code).ok()?),
    };
    let groups = parts.into_iter().map(Group::decoded).collect::<Option<Vec<_>>>()?;
    Some((groups, currency, bucket))
}

fn parse_bucket(text: &str) -> Option<Bucket> {
    if let Some((date, time)) = text.split_once('T') {
        let date = Date::strptime("%Y%m%d", date).ok()?;
        let (hour, minute) = time.split_at_checked(2)?;
        let start = date.at(hour.parse().ok()?, minute.parse().ok()?, 0, 0).to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        return Some(Bucket::Quarter { start: start.timestamp() });
    }
    Date::strptime("%Y%m%d", text).ok().map(|date| Bucket::Day { date })
}

pub(crate) fn tenant_settings(tenant: &TenantId) -> Key {
    Key::new(format!("T#{tenant}#CFG"), "TENANT")
}

pub(crate) fn tenant_zone(tenant: &TenantId) -> Key {
    Key::new(format!("T#{tenant}#ZONE"), "ZONE")
}

/// The zones in use. They are few, and each process reads one now and then, so one partition has them all and they can be listed.
pub(crate) const ZONES: &str = "ZONES";

/// What days of a zone were last counted by, of all tenants that are in it.
pub(crate) fn zone(zone: &Zone) -> Key {
    Key::new(ZONES, zone.name())
}

/// The list of tenants that somebody created.
pub(crate) const TENANTS: &str = "TENANTS";

pub(crate) fn tenant_listing(tenant: &TenantId) -> Key {
    Key::new(TENANTS, tenant.as_str())
}

pub(crate) fn api_key(id: &str) -> Key {
    Key::new(format!("KEY#{id}"), "KEY")
}

/// What the sort keys of a holder's list of keys begin with.
pub(crate) const API_KEY_PREFIX: &str = "KEY#";

/// Where a holder's keys are listed; `None`: the operators'.
pub(crate) fn api_key_listing(tenant: Option<&TenantId>, id: &str) -> Key {
    Key::new(tenant.map_or_else(|| "OPERATORS".to_owned(), |tenant| format!("T#{tenant}#CFG")), format!("{API_KEY_PREFIX}{id}"))
}

/// Raised with every key that is made for a holder.
pub(crate) fn api_keys_version(tenant: Option<&TenantId>) -> Key {
    Key { sk: "KEYS".to_owned(), ..api_key_listing(tenant, "") }
}

/// What was asked for with an `Idempotency-Key`, by the key's digest; `None`: by an operator.
pub(crate) fn once(tenant: Option<&TenantId>, digest: &str) -> Key {
    let whose = tenant.map_or_else(|| "OPERATORS".to_owned(), |tenant| format!("T#{tenant}"));
    Key::new(format!("{whose}#ONCE#{digest}"), "ONCE")
}

pub(crate) fn known_value(tenant: &TenantId, metric: &MetricName, dimension: &DimensionName, group: &Group) -> Key {
    Key::new(known_values(tenant, metric, dimension), KNOWN_VALUE_PREFIX.to_owned() + &group.encoded())
}

/// All known values of a dimension.
pub(crate) fn known_values(tenant: &TenantId, metric: &MetricName, dimension: &DimensionName) -> String {
    format!("T#{tenant}#V#{metric}.{dimension}")
}

/// What the sort keys of known values begin with: a sort key must not be empty, and a value may be.
pub(crate) const KNOWN_VALUE_PREFIX: &str = "=";

/// The quarantine of a tenant, or of a source's records whose tenant cannot be read, on one UTC day.
pub(crate) fn quarantine_partition(whose: &crate::Whose, date: Date) -> String {
    match whose {
        crate::Whose::Tenant(tenant) => format!("T#{tenant}#Q#{}", day_chunk(date)),
        crate::Whose::Source(source) => format!("Q#{source}#{}", day_chunk(date)),
    }
}

pub(crate) fn quarantine_sort_key(source: &SourceName, sequence: &str) -> String {
    format!("{source}#{sequence}")
}

/// The tenants that quarantined records of a source are of. No day can be meant: a source's name has no `#`.
pub(crate) fn quarantine_tenants(source: &SourceName) -> String {
    format!("Q#{source}")
}

/// How many records a tenant, or each source, has had quarantined; `None`: whosesoever they are.
pub(crate) fn quarantine_counts(tenant: Option<&TenantId>) -> String {
    tenant.map_or_else(|| "QN".to_owned(), |tenant| format!("T#{tenant}#QN"))
}

/// One of several counters of a source's records, to be added up.
pub(crate) fn quarantine_count(whose: &crate::Whose, source: &SourceName, lane: u32) -> Key {
    let tenant = match whose {
        crate::Whose::Tenant(tenant) => Some(tenant),
        crate::Whose::Source(_) => None,
    };
    Key::new(quarantine_counts(tenant), format!("{source}#{lane}"))
}

/// In the control table.
pub(crate) fn definitions() -> Key {
    Key::new("DEFS", "RUNNING")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One character in three is special to a key. `any::<String>()` has no control characters.
    pub(super) const ANY_TEXT: &str = r"([\x00-\x1F\x7F#%]|[0-9A-FN]|[\x00-\u{10FFFF}]){0,12}";

    fn group() -> impl Strategy<Value = Group> {
        prop_oneof![1 => Just(Group::Null), 3 => ANY_TEXT.prop_map(Group::Text)]
    }

    proptest! {
        #[test]
        fn an_aggregate_key_reads_back_as_what_it_was_made_from(
            groups in proptest::collection::vec(group(), 0..4),
            currency in proptest::option::of("[A-Za-z0-9_-]{1,16}"),
            quarter in any::<bool>(),
            seconds in -60_000_000_000_i64..250_000_000_000,
        ) {
            let instant = Timestamp::from_second(seconds).expect("in range");
            let bucket = if quarter { Bucket::quarter_of(instant) } else { Bucket::day_of(instant, &tidemark_domain::Zone::utc()) };
            let currency = currency.map(|code| Currency::new(&code).expect("a code"));
            let row = RowKey {
                tenant: TenantId::new("acme").expect("an id"),
                metric: MetricName::new("sales").expect("a name"),
                set: "item".into(),
                generation: 1,
                groups: groups.clone(),
                currency: currency.clone(),
                bucket,
            };
            let key = aggregate(&row, 0);
            prop_assert!(!key.sk.contains(|c: char| c.is_ascii_control()), "{:?}", key.sk);
            prop_assert_eq!(parse_aggregate_sort_key(&key.sk), Some((groups, currency, bucket)));
        }
    }
}
