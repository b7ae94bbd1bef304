//! Keys of levels, rules and alerts, and of where the index has them. Every partition begins `T#<tenant>#`.

use tidemark_domain::rule::Scope;
use tidemark_domain::{AlertId, Decimal, Group, InventoryName, LevelKey, RuleId, TenantId};

use super::Key;

/// What the sort keys of a tenant's rules begin with.
pub(crate) const RULE_PREFIX: &str = "RULE#";

/// All levels of an inventory; in the index the same, in the order of what is available.
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

    proptest! {
        #[test]
        fn a_level_key_reads_back_as_what_it_was_made_from(item in any::<String>(), location in any::<String>()) {
            let key = LevelKey { tenant: tenant(), inventory: inventory(), item: item.clone(), location: location.clone() };
            prop_assert_eq!(parse_level_sort_key(&level(&key).sk), Some((item, location)));
        }
    }
}
