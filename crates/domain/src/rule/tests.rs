//! Which rules can be made, and which of them applies.

use serde_json::{Value, json};

use super::*;
use crate::decimal::Decimal;
use crate::level::Level;
use crate::tenant::TenantId;

fn thresholds(levels: &Value) -> Result<Thresholds, String> {
    let given: Vec<Threshold> = serde_json::from_value(levels.clone()).expect("thresholds");
    Thresholds::new(given).map_err(|error| {
        assert!(error.to_string().starts_with(&format!("`{}`", error.field())), "{error}");
        error.to_string()
    })
}

fn threshold(severity: &str, fires: &str, clears: &str) -> Value {
    json!({ "severity": severity, "fires_at_or_below": fires, "clears_above": clears })
}

#[test]
fn thresholds_may_be_zero_negative_fractional_and_equal() {
    for levels in [
        json!([threshold("warning", "0", "0")]),
        json!([threshold("critical", "-2.5", "-0.25")]),
        json!([threshold("warning", "10", "12"), threshold("critical", "10", "12")]),
        json!([threshold("warning", "0.1", "99999999999999999999999999999999999999")]),
    ] {
        assert!(thresholds(&levels).is_ok(), "{levels}");
    }
    let turned = thresholds(&json!([threshold("critical", "0", "2"), threshold("warning", "10", "12")])).expect("any order");
    assert_eq!(turned.iter().map(|threshold| threshold.severity).collect::<Vec<_>>(), [Severity::Warning, Severity::Critical]);
}

#[test]
fn thresholds_that_contradict_each_other_are_refused_by_field() {
    let (warning, critical) = (threshold("warning", "10", "12"), threshold("critical", "0", "2"));
    for (levels, expected) in [
        (json!([]), "`levels` must have 1 to 2 entries, not 0"),
        (json!([warning, critical, critical]), "`levels` must have 1 to 2 entries, not 3"),
        (json!([critical, critical]), "`levels[1].severity` is `critical` a second time; each severity may be given once"),
        (
            json!([warning, threshold("critical", "0", "-0.5")]),
            "`levels[1].clears_above` is -0.5; it must be at least `fires_at_or_below`, which is 0",
        ),
        (
            json!([warning, threshold("critical", "10.5", "11")]),
            "`levels[1].fires_at_or_below` is 10.5; a critical one must be at most the warning's, which is 10",
        ),
        (
            json!([threshold("critical", "0", "13"), warning]),
            "`levels[0].clears_above` is 13; a critical one must be at most the warning's, which is 12",
        ),
        (
            json!([threshold("warning", "1e38", "1e38")]),
            "`levels[0].fires_at_or_below` must be below 10^38, with at most 20 digits after the point and 38 in all",
        ),
        (
            json!([threshold("warning", "0", "0.000000000000000000001")]),
            "`levels[0].clears_above` must be below 10^38, with at most 20 digits after the point and 38 in all",
        ),
    ] {
        assert_eq!(thresholds(&levels), Err(expected.to_owned()), "{levels}");
        assert!(serde_json::from_value::<Thresholds>(levels.clone()).is_err(), "nor can they be read: {levels}");
    }
}

#[test]
fn a_reminder_comes_every_quarter_of_an_hour_at_most() {
    let read = |text: &str| serde_json::from_value::<RepeatEvery>(json!(text));
    assert_eq!(read("PT15M").expect("enough").duration(), REPEAT_EVERY_MIN);
    assert!(read("PT14M59.999S").is_err());
    let longest = RepeatEvery::new(SignedDuration::MAX).expect("no bound");
    assert_eq!(longest.after(Timestamp::UNIX_EPOCH), None, "beyond all calendars is never");
}

fn rule(number: u32, item: Option<&str>, location: Option<&str>) -> Rule {
    Rule {
        id: RuleId::from_ulid_text(&format!("{number:026}")).expect("a ULID"),
        name: None,
        scope: Scope {
            inventory: InventoryName::new("stock").expect("a name"),
            item: item.map(str::to_owned),
            location: location.map(str::to_owned),
        },
        thresholds: Thresholds::warning_at(Decimal::from(i64::from(number))),
        repeat_every: None,
        enabled: true,
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
        version: 1,
    }
}

#[test]
fn the_most_specific_enabled_rule_applies_and_the_rows_own_reorder_point_last() {
    let key = LevelKey {
        tenant: TenantId::new("acme").expect("an id"),
        inventory: InventoryName::new("stock").expect("a name"),
        item: "tea".to_owned(),
        location: "berlin".to_owned(),
    };
    let level = Level {
        on_hand: Decimal::zero(),
        committed: Decimal::zero(),
        incoming: Decimal::zero(),
        reorder_point: Some(Decimal::from(7)),
    };
    let mut rules = vec![
        rule(1, Some("tea"), Some("berlin")),
        rule(2, Some("tea"), None),
        rule(3, None, Some("berlin")),
        rule(4, None, None),
        rule(10, Some("coffee"), Some("berlin")),
        rule(11, Some("tea"), Some("paris")),
        rule(12, None, Some("paris")),
        Rule {
            scope: Scope { inventory: InventoryName::new("other").expect("a name"), ..rule(13, None, None).scope },
            ..rule(13, None, None)
        },
    ];
    rules.reverse();
    for number in 1..=4 {
        let book = RuleBook::new(rules.clone());
        let applied = book.applying(&key, &level).expect("a rule");
        assert_eq!(applied.rule, Some(rule(number, None, None).id));
        assert_eq!(applied.thresholds, rule(number, None, None).thresholds);
        for rule in &rules {
            let matches = [1, 2, 3, 4]
                .contains(&rule.thresholds.iter().next().and_then(|t| t.fires_at_or_below.floor_to_i64()).expect("a number"));
            assert_eq!(rule.scope.contains(&key), matches, "{:?}", rule.scope);
        }
        let it = rules.iter_mut().find(|rule| Some(&rule.id) == applied.rule.as_ref()).expect("it is one of them");
        it.enabled = false;
        assert!(RuleBook::new(rules.clone()).contains(&self::rule(number, None, None).id), "it is still there");
    }
    let book = RuleBook::new(rules);
    let applied = book.applying(&key, &level).expect("the reorder point");
    assert_eq!(applied, Applied { rule: None, thresholds: Thresholds::warning_at(Decimal::from(7)), repeat_every: None });
    assert_eq!(book.applying(&key, &Level { reorder_point: None, ..level }), None);
    assert!(!book.contains(&rule(99, None, None).id));
}
