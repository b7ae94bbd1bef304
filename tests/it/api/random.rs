//! Random questions, compared with a recount of the orders: the proof of `values` as a whole.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tidemark_runtime::clock;
use tidemark_tests::Deployment;

use super::orders::{Order, last_change, one_of};
use super::recount::Question;
use super::{SHOP, TABLE};

const TENANTS: [(&str, &str); 3] = [("acme", "Europe/Berlin"), ("sur", "America/Santiago"), ("nepal", "Asia/Kathmandu")];
const ZONES: [&str; 5] = ["Europe/Berlin", "America/Santiago", "Asia/Kathmandu", "UTC", "Australia/Lord_Howe"];
/// Of each tenant.
const ORDERS: usize = 90;
const QUESTIONS: usize = 60;
const SEED: u64 = 20_260_330;

fn is_midnight(at: Timestamp, zone: &TimeZone) -> bool {
    at.to_zoned(zone.clone()).start_of_day().unwrap().timestamp() == at
}

fn midnight(date: Date, zone: &TimeZone) -> Timestamp {
    // Where the clock skips midnight, the day begins with what follows.
    zone.to_ambiguous_zoned(date.to_datetime(jiff::civil::Time::midnight())).compatible().unwrap().timestamp()
}

/// A range of about so many days: between midnights of the zone, or between any quarters of an hour.
fn range(random: &mut StdRng, zone: &TimeZone, near: &[Timestamp], days: i64) -> (Timestamp, Timestamp) {
    let middle = near[random.random_range(0..near.len())];
    // Quarters of an hour are kept for 400 days, and the last change of a clock may be a year ago.
    let oldest = clock::now() - SignedDuration::from_hours(388 * 24);
    let start = oldest.max(middle - SignedDuration::from_secs(random.random_range(0..=days * 86_400)));
    let length = random.random_range(1..=days);
    if random.random_range(0..3) > 0 {
        let first = start.to_zoned(zone.clone()).date();
        return (midnight(first, zone), midnight(first + length.days(), zone));
    }
    let quarter = |at: Timestamp| Timestamp::from_second(at.as_second() / 900 * 900).unwrap();
    let from = quarter(start);
    (from, quarter(from + SignedDuration::from_secs(random.random_range(900..=days * 86_400))))
}

/// The range before of the same length: months, days, or the exact time.
fn period_before(from: Timestamp, to: Timestamp, zone: &TimeZone) -> Timestamp {
    if !is_midnight(from, zone) || !is_midnight(to, zone) {
        return from - to.duration_since(from);
    }
    let date = |at: Timestamp| at.to_zoned(zone.clone()).date();
    let (first, end) = (date(from), date(to));
    let months = i32::from(end.year() - first.year()) * 12 + i32::from(end.month()) - i32::from(first.month());
    let back = if first.day() == 1 && end.day() == 1 { months.months() } else { (end - first).get_days().days() };
    midnight(first - back, zone)
}

fn question(random: &mut StdRng, tenant_zone: &str, near: &[Timestamp]) -> Question {
    let granularity = one_of(random, &[None, Some("PT15M"), Some("PT1H"), Some("P1D"), Some("P1W"), Some("P1M")]);
    let zone = if random.random_range(0..3) == 0 { one_of(random, &ZONES) } else { tenant_zone };
    let tz = TimeZone::get(zone).unwrap();
    // Few enough buckets that no answer is too large.
    let days = match granularity {
        Some("PT15M") => 1,
        Some("PT1H") => 4,
        Some("P1D") => 40,
        _ => 120,
    };
    let (from, to) = range(random, &tz, near, days);
    let kept = clock::now() - SignedDuration::from_hours(395 * 24);
    let before = period_before(from, to, &tz);
    let by_days = zone == tenant_zone && is_midnight(from, &tz) && is_midnight(to, &tz);
    let compare = match random.random_range(0..3) {
        0 if by_days || before > kept => Some(("previous_period", before, from)),
        1 if by_days => {
            let date = |at: Timestamp| at.to_zoned(tz.clone()).date();
            let last = date(to).yesterday().unwrap();
            let year_before = |date: Date| date - 1.year();
            Some(("previous_year", midnight(year_before(date(from)), &tz), midnight(year_before(last).tomorrow().unwrap(), &tz)))
        }
        _ => None,
    };
    let text = |text: &str| Some(text.to_owned());
    let filters = [
        vec![],
        vec![("item", vec![text("tea"), text("a,b"), None])],
        vec![("region", vec![text("south")])],
        vec![("item", vec![text("ä\\N"), text("")]), ("region", vec![None, text("north")])],
        vec![("item", vec![text("nothing like it")])],
    ];
    let measures = [vec!["units"], vec!["average_order"], vec!["orders", "revenue", "unit_price"]];
    Question {
        from,
        to,
        granularity,
        zone: zone.to_owned(),
        measures: measures[random.random_range(0..measures.len())].clone(),
        group_by: [vec![], vec!["item"], vec!["region"], vec!["region", "item"]][random.random_range(0..4)].clone(),
        filter: filters[random.random_range(0..filters.len())].clone(),
        order: one_of(random, &[None, Some(("units", true)), Some(("revenue", false)), Some(("unit_price", true))]),
        limit: one_of(random, &[1000, 3, 1]),
        other: random.random(),
        fill: random.random(),
        compare,
    }
}

/// Writes orders, edits some of them and deletes some, and returns those that are there.
async fn history(random: &mut StdRng, deployment: &Deployment, near: &[Timestamp]) -> Vec<Order> {
    let mut orders = Vec::new();
    for (tenant, _) in TENANTS {
        for index in 0..ORDERS {
            let id = format!("{tenant}-{index}");
            let order = Order::any(random, &id, tenant, near);
            order.put(deployment).await;
            match random.random_range(0..8) {
                0 => deployment.delete(TABLE, json!({ "id": {"S": id} })).await,
                1 => {
                    // An edit moves whatever it changes: tenant, date, item, currency.
                    let (tenant, _) = one_of(random, &TENANTS);
                    let edited = Order::any(random, &id, tenant, near);
                    edited.put(deployment).await;
                    orders.push(edited);
                }
                _ => orders.push(order),
            }
        }
    }
    orders
}

#[tokio::test]
async fn every_answer_equals_a_recount_of_the_orders() {
    let deployment = Deployment::start(SHOP).await;
    for (tenant, zone) in TENANTS {
        deployment.create_tenant(tenant, zone).await;
    }
    let mut near = vec![clock::now() - SignedDuration::from_hours(30)];
    for zone in ["Europe/Berlin", "America/Santiago"] {
        near.extend([last_change(zone, true), last_change(zone, false)]);
    }
    let mut random = StdRng::seed_from_u64(SEED);
    let ingest = deployment.start_ingest().await;
    let orders = history(&mut random, &deployment, &near).await;
    deployment.settled("orders").await;
    let api = deployment.start_api().await;
    let mut rows = 0;
    for (tenant, zone) in TENANTS {
        let orders: Vec<Order> = orders.iter().filter(|order| order.tenant == tenant).cloned().collect();
        let client = api.client(deployment.key_of(tenant).await);
        for number in 0..QUESTIONS {
            let question = question(&mut random, zone, &near);
            let parameters = question.parameters();
            let parameters: Vec<(&str, &str)> = parameters.iter().map(|(name, value)| (&**name, &**value)).collect();
            let answer = client.values("sales", &parameters).await;
            let watermark = answer["freshness"]["watermark"].as_str().unwrap().parse().unwrap();
            let (totals, data) = question.answer(&orders, watermark);
            assert_eq!(answer["totals"], totals, "totals of {tenant}'s question {number}: {question:#?}");
            assert_eq!(answer["data"], data, "data of {tenant}'s question {number}: {question:#?}");
            let compared = question.compare.map(|(_, from, to)| json!({ "from": from.to_string(), "to": to.to_string() }));
            assert_eq!(answer["compared_with"], json!(compared), "{tenant}'s question {number}: {question:#?}");
            rows += data.as_array().unwrap().len();
        }
    }
    assert!(rows > 3 * QUESTIONS, "questions about nothing prove nothing: {rows} rows");
    api.stop().await;
    ingest.stop().await;
}
