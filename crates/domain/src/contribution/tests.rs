//! Which images count where, and why others do not.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::definition::Definitions;
use crate::delta::Deltas;

const FILE: &str = "
sources:
  orders: { table: Orders, tenant: { attribute: tenant } }
metrics:
  sales:
    source: orders
    time: at
    where:
      - { attribute: status, not_in: [cancelled, 7, true], or_missing: true }
      - { attribute: kind, in: [order] }
      - { attribute: size, at_least: 1 }
    measures: { units: { sum: [quantity, pack] }, orders: { count: true } }
    dimensions: { item: item, gift: gift }
    group_by: [[], [item], [item, gift]]
";

fn running(file: &str) -> Running {
    Running::first(&Definitions::parse(file).unwrap_or_else(|invalid| panic!("{invalid}")))
}

fn image(changes: Value) -> Image {
    let mut item = json!({
        "tenant": {"S": "acme"}, "at": {"S": "2026-03-28T10:20:00Z"}, "kind": {"S": "order"}, "size": {"N": "1"},
        "quantity": {"N": "3"}, "pack": {"N": "0.5"}, "item": {"S": "tea"}, "gift": {"BOOL": true},
    });
    for (name, value) in changes.as_object().expect("an object") {
        item[name] = value.clone();
    }
    item.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
    serde_json::from_value(item).expect("DynamoDB JSON")
}

fn read(image: &Image) -> Contribution {
    let tenant = TenantId::new("acme").expect("an id");
    of_image(&running(FILE), &SourceName::new("orders").expect("a name"), image, &tenant, &Zone::utc())
}

#[test]
fn an_image_counts_once_in_every_set_and_both_buckets() {
    let contribution = read(&image(json!({})));
    assert_eq!(contribution.unreadable, []);
    let rows: Vec<String> = contribution
        .rows
        .iter()
        .map(|(key, measures)| {
            let groups: Vec<String> = key.groups.iter().map(Group::encoded).collect();
            let measures: Vec<String> = measures.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{} [{}] {:?} {}", key.set, groups.join(","), key.bucket.width(), measures.join(" "))
        })
        .collect();
    let each = "orders=1 units=1.5";
    let expected = [("*", ""), ("gift+item", "true,tea"), ("item", "tea")]
        .into_iter()
        .flat_map(|(set, groups)| ["Quarter", "Day"].map(|width| format!("{set} [{groups}] {width} {each}")));
    let mut expected: Vec<String> = expected.collect();
    let mut rows = rows;
    rows.sort();
    expected.sort();
    assert_eq!(rows, expected);
}

#[test]
fn conditions_come_before_readability() {
    for excluded in [
        json!({ "status": {"S": "cancelled"} }),
        json!({ "status": {"N": "7.0"} }),
        json!({ "status": {"BOOL": true} }),
        json!({ "kind": null }),
        json!({ "kind": {"S": "Order"} }),
        json!({ "size": {"N": "0.99"} }),
        json!({ "size": {"S": "big"} }),
        json!({ "size": null }),
    ] {
        let mut changes = excluded.clone();
        changes["quantity"] = json!({ "S": "no number" });
        assert_eq!(read(&image(changes)), Contribution::default(), "{excluded}");
    }
    for included in [json!({ "status": {"NULL": true} }), json!({ "status": {"S": "open"} }), json!({ "size": {"N": "1.00"} })] {
        assert_eq!(read(&image(included.clone())).rows.len(), 6, "{included}");
    }
}

#[test]
fn a_later_measure_or_set_that_cannot_be_read_changes_nothing_for_the_earlier() {
    let now: jiff::Timestamp = "2026-06-01T00:00:00Z".parse().expect("an instant");
    let next = FILE
        .replace("orders: { count: true } }", "orders: { count: true }, weight: { sum: weight } }")
        .replace("gift: gift }", "gift: gift, tags: tags }")
        .replace("[item, gift]]", "[item, gift], [tags]]");
    let proposal = running(FILE).propose(&Definitions::parse(&next).expect("good"), now).expect("only additions");
    let running = proposal.next.expect("something is new");
    let tenant = TenantId::new("acme").expect("an id");
    let image = image(json!({ "tags": {"L": []} }));
    let after = of_image(&running, &SourceName::new("orders").expect("a name"), &image, &tenant, &Zone::utc());
    assert_eq!(after.rows, read(&image).rows);
    let codes: Vec<&str> = after.unreadable.iter().map(Unreadable::code).collect();
    assert_eq!(codes, ["measure", "dimension"]);
}

#[test]
fn a_tenant_is_a_text_of_the_allowed_letters_and_nothing_is_guessed() {
    let rule = TenantRule::Attribute { attribute: "tenant".to_owned(), default: None };
    let tenant = |changes| tenant_of(&rule, &image(changes)).map_err(|unreadable| unreadable.to_string());
    assert_eq!(tenant(json!({})).expect("a tenant").as_str(), "acme");
    for (changes, part) in [
        (json!({ "tenant": null }), "is missing"),
        (json!({ "tenant": {"N": "7"} }), "is of type N"),
        (json!({ "tenant": {"S": "a b"} }), "A-Z a-z 0-9 _ -"),
    ] {
        let error = tenant(changes.clone()).expect_err("no tenant");
        assert!(error.contains(part), "{changes}: {error}");
    }
    let with_default = TenantRule::Attribute { attribute: "tenant".to_owned(), default: TenantId::new("demo").ok() };
    assert_eq!(tenant_of(&with_default, &image(json!({ "tenant": null }))).expect("the default").as_str(), "demo");
    assert!(tenant_of(&with_default, &image(json!({ "tenant": {"S": ""} }))).is_err(), "a bad id is not a missing one");
}

fn version() -> impl Strategy<Value = Image> {
    let quantity = prop::sample::select(vec![json!({"N": "3"}), json!({"N": "-0.25"}), json!({"S": "x"}), json!(null)]);
    let at = prop::sample::select(vec![json!({"S": "2026-03-28"}), json!({"N": "1774000000"}), json!({"S": "never"})]);
    let item = prop::sample::select(vec![json!({"S": "tea"}), json!({"N": "5.0"}), json!({"L": []}), json!(null)]);
    (quantity, at, item).prop_map(|(quantity, at, item)| image(json!({ "quantity": quantity, "at": at, "item": item })))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_history_telescopes_to_its_last_image(history in prop::collection::vec(prop::option::of(version()), 1..8)) {
        let mut deltas = Deltas::default();
        let mut before: Option<&Image> = None;
        for after in &history {
            for (key, measures) in before.map(read).unwrap_or_default().rows {
                deltas.subtract(&key, &measures);
            }
            for (key, measures) in after.as_ref().map(read).unwrap_or_default().rows {
                deltas.add(&key, &measures);
            }
            before = after.as_ref();
        }
        let mut last = Deltas::default();
        for (key, measures) in before.map(read).unwrap_or_default().rows {
            last.add(&key, &measures);
        }
        prop_assert_eq!(deltas, last);
    }
}
