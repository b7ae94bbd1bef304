//! Keys of levels, rules and alerts, and of where the index has them. Every partition begins `T#<tenant>#`.

use tidemark_domain::rule::Scope;
use tidemark_domain::{AlertId, Decimal, Group, InventoryName, LevelKey, RuleId, TenantId};

use super::Key;

/// What the sort keys of a tenant's rules begin with.
pub(crate) const RULE_PREFIX: &str = "RULE#";

/// Over how many partitions of the index an inventory's levels are spread.
///
/// A partition of an index takes 1,000 write units a second, and a level whose availability changes costs it two: the old entry is
/// deleted, the new one is put (AWS: partition limits, and global secondary indexes). An index that cannot keep up makes DynamoDB
/// throttle the writes of the table, which are commits of all tenants. One partition would take 500 changes a second of one
/// inventory, four take 2,000. There are not more because a list in this order costs one Query for each of them, and because the
/// rows themselves are in one partition of the table, which DynamoDB has to split before it takes as much.
///
/// The number is part of what is stored: with another one, [`level_order_partitions`] has to name the old partitions as well.
pub(crate) const LEVEL_ORDER_PARTITIONS: u8 = 4;

/// All levels of an inventory.
pub(crate) fn levels(tenant: &TenantId, inventory: &InventoryName) -> String {
    format!("T#{tenant}#I#{inventory}")
}

pub(crate) fn level(key: &LevelKey) -> Key {
    Key::new(levels(&key.tenant, &key.inventory), key.encoded())
}

/// What the sort keys of all locations of an item begin with.
pub(crate) fn item_prefix(item: &str) -> String {
    encoded(item) + "#"
}

/// The item and location of a level's sort key; `None` for a text that [`level`] never makes.
pub(crate) fn parse_level_sort_key(sk: &str) -> Option<(String, String)> {
    let (item, location) = sk.split_once('#')?;
    Some((decoded(item)?, decoded(location)?))
}

/// Where the index has a level, in the order of what is available.
pub(crate) fn level_order_partition(key: &LevelKey) -> String {
    let spread = crc32fast::hash(key.encoded().as_bytes()) % u32::from(LEVEL_ORDER_PARTITIONS);
    format!("{}#{spread}", levels(&key.tenant, &key.inventory))
}

/// All partitions of the index that may have levels of an inventory.
///
/// The last one has no number: binaries from before the spread wrote all entries there. A level leaves it when its row is written
/// again, and nothing writes the row of a level that does not change. So it has to be read until a release rewrites such rows.
pub(crate) fn level_order_partitions(tenant: &TenantId, inventory: &InventoryName) -> Vec<String> {
    let unnumbered = levels(tenant, inventory);
    let numbered = (0..LEVEL_ORDER_PARTITIONS).map(|number| format!("{unnumbered}#{number}"));
    numbered.chain([unnumbered.clone()]).collect()
}

/// A level's place in the index: `level::KEY_BYTES_MAX` sees to it that it is not too long.
pub(crate) fn level_order(available: &Decimal, sk: &str) -> String {
    format!("{}#{sk}", available.order_text())
}

/// Values of an item or location are spelled as groups are: no value holds a separator.
fn encoded(text: &str) -> String {
    Group::Text(text.to_owned()).encoded()
}

fn decoded(encoded: &str) -> Option<String> {
    match Group::decoded(encoded)? {
        Group::Text(text) => Some(text),
        Group::Null => None,
    }
}

pub(crate) fn rules(tenant: &TenantId) -> String {
    format!("T#{tenant}#RULES")
}

pub(crate) fn rule(tenant: &TenantId, id: &RuleId) -> Key {
    Key::new(rules(tenant), format!("{RULE_PREFIX}{id}"))
}

/// The item whose being there means that a scope is taken. Its parts are hashed, for they may be longer than a key.
pub(crate) fn rule_scope(tenant: &TenantId, scope: &Scope) -> Key {
    use sha2::{Digest, Sha256};
    // Any value is `*`; a given one is marked, for it may be a `*` itself.
    let part = |value: &Option<String>| value.as_ref().map_or_else(|| "*".to_owned(), |text| format!("={}", encoded(text)));
    let text = format!("{}#{}#{}", scope.inventory, part(&scope.item), part(&scope.location));
    Key::new(rules(tenant), format!("SCOPE#{}", hex::encode(Sha256::digest(text))))
}

pub(crate) fn rules_lane(tenant: &TenantId, lane: u8) -> Key {
    Key::new(rules(tenant), format!("LANE#{lane}"))
}

pub(crate) fn alerts(tenant: &TenantId) -> String {
    format!("T#{tenant}#ALERTS")
}

pub(crate) fn alert(tenant: &TenantId, id: &AlertId) -> Key {
    Key::new(alerts(tenant), id.as_str())
}

/// Where the index has a tenant's alerts while they fire, by id.
pub(crate) fn firing_alerts(tenant: &TenantId) -> String {
    format!("T#{tenant}#ALERTS#firing")
}

#[cfg(test)]
mod tests {
    use super::super::tests::ANY_TEXT;
    use super::*;
    use proptest::prelude::*;

    fn tenant() -> TenantId {
        TenantId::new("acme").expect("an id")
    }

    fn inventory() -> InventoryName {
        InventoryName::new("stock").expect("a name")
    }

    #[test]
    fn any_location_is_no_location_of_that_name() {
        let scope = |item: Option<&str>, location: Option<&str>| Scope {
            inventory: inventory(),
            item: item.map(str::to_owned),
            location: location.map(str::to_owned),
        };
        let all = [
            scope(None, None),
            scope(Some("*"), None),
            scope(None, Some("*")),
            scope(Some("*"), Some("*")),
            scope(Some(""), None),
        ];
        let keys: std::collections::BTreeSet<String> = all.iter().map(|scope| rule_scope(&tenant(), scope).sk).collect();
        assert_eq!(keys.len(), all.len());
    }

    #[test]
    fn levels_are_spread_evenly_over_partitions_that_a_list_reads() {
        let key = |item: u32| LevelKey {
            tenant: tenant(),
            inventory: inventory(),
            item: format!("sku_{item}"),
            location: "main".to_owned(),
        };
        let mut spread = std::collections::BTreeMap::<String, u32>::new();
        (0..1_000).for_each(|item| *spread.entry(level_order_partition(&key(item))).or_default() += 1);
        let read = level_order_partitions(&tenant(), &inventory());
        assert_eq!(spread.keys().cloned().chain(["T#acme#I#stock".to_owned()]).collect::<Vec<_>>(), read);
        assert!(spread.values().all(|levels| (200..300).contains(levels)), "{spread:?}");
    }

    proptest! {
        #[test]
        fn a_level_key_reads_back_as_what_it_was_made_from(item in ANY_TEXT, location in ANY_TEXT) {
            let key = LevelKey { tenant: tenant(), inventory: inventory(), item: item.clone(), location: location.clone() };
            prop_assert!(!level(&key).sk.contains(|c: char| c.is_ascii_control()), "{:?}", level(&key).sk);
            prop_assert_eq!(parse_level_sort_key(&level(&key).sk), Some((item, location)));
        }
    }
}
