//! Days are the tenant's own: of 23 and 25 hours, without a midnight, and beginning at a quarter past.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde_json::Value;
use tidemark_runtime::clock;

use super::Shop;
use super::orders::{Order, last_change};

const TENANTS: [(&str, &str); 3] = [("acme", "Europe/Berlin"), ("sur", "America/Santiago"), ("nepal", "Asia/Kathmandu")];

/// The day on which a zone's clock changed last.
fn day_of_change(zone: &str, forward: bool) -> Date {
    let tz = TimeZone::get(zone).unwrap();
    // A clock put back at midnight shows the old date again.
    let shown = if forward { SignedDuration::ZERO } else { SignedDuration::from_secs(1) };
    (last_change(zone, forward) - shown).to_zoned(tz).date()
}

/// An order of one piece in every hour of a day and of the days around it.
async fn sell_hourly(shop: &Shop, tenant: &'static str, zone: &str, day: Date) {
    let start = day.yesterday().unwrap().to_zoned(TimeZone::get(zone).unwrap()).unwrap().timestamp();
    let at = |hour: i64| start + SignedDuration::from_mins(hour * 60 + 50);
    let orders: Vec<Order> =
        (0..72).map(|hour| Order::new(tenant, &format!("{tenant}-{hour}")).at(at(hour)).of("tea", "1", "1", "EUR")).collect();
    shop.sell(&orders).await;
}

fn buckets(answer: &Value) -> Vec<(i64, &str)> {
    let instant = |value: &Value| value.as_str().unwrap().parse::<Timestamp>().unwrap();
    let minutes = |bucket: &Value| instant(&bucket["to"]).duration_since(instant(&bucket["from"])).as_mins();
    let buckets = answer["data"][0]["buckets"].as_array().unwrap();
    buckets.iter().map(|bucket| (minutes(bucket), bucket["values"]["units"].as_str().unwrap())).collect()
}

async fn series(shop: &Shop, tenant: &str, from: Date, days: i64, granularity: &str) -> Value {
    let (from, to) = (from.to_string(), (from + days.days()).to_string());
    let parameters = [("from", &*from), ("to", &*to), ("granularity", granularity), ("measures", "units")];
    shop.client(tenant).await.values("sales", &parameters).await
}

#[tokio::test]
async fn a_day_is_as_long_as_the_clocks_made_it() {
    let shop = Shop::open_with(&TENANTS).await;
    for (tenant, zone, forward, hours) in [("acme", "Europe/Berlin", true, 23), ("sur", "America/Santiago", false, 25)] {
        let day = day_of_change(zone, forward);
        sell_hourly(&shop, tenant, zone, day).await;
        let days = series(&shop, tenant, day, 1, "P1D").await;
        assert_eq!(buckets(&days), [(hours * 60, hours.to_string().as_str())], "{zone} on {day}");
        let by_hour = series(&shop, tenant, day, 1, "PT1H").await;
        assert_eq!(buckets(&by_hour), vec![(60, "1"); usize::try_from(hours).unwrap()], "{zone} on {day}");
        let around = series(&shop, tenant, day.yesterday().unwrap(), 3, "P1D").await;
        assert_eq!(buckets(&around)[..2], [(24 * 60, "24"), (hours * 60, hours.to_string().as_str())], "{zone} on {day}");
    }
    shop.close().await;
}

#[tokio::test]
async fn a_day_without_midnight_begins_where_its_clock_does() {
    let shop = Shop::open_with(&TENANTS).await;
    let zone = "America/Santiago";
    let day = day_of_change(zone, true);
    let begin = last_change(zone, true);
    let first = begin.to_zoned(TimeZone::get(zone).unwrap());
    assert_eq!((first.date(), first.hour(), first.minute()), (day, 1, 0), "the clocks of Santiago skip midnight itself");
    // The last second of the day before, the day's first, and the day by its date alone.
    let orders = [-1, 0].map(|second| Order::new("sur", &format!("s{second}")).at(begin + SignedDuration::from_secs(second)));
    shop.sell(&orders).await;
    let mut dated = Order::new("sur", "dated").image();
    dated["order_date"] = serde_json::json!({ "S": day.to_string() });
    shop.deployment.put(super::TABLE, dated).await;
    shop.deployment.expect_total("sur", ("sales", "units"), None, "3").await;
    let days = series(&shop, "sur", day.yesterday().unwrap(), 2, "P1D").await;
    assert_eq!(buckets(&days), [(24 * 60, "1"), (23 * 60, "2")]);
    assert_eq!(days["data"][0]["buckets"][1]["from"], begin.to_string());
    let hours = series(&shop, "sur", day, 1, "PT1H").await;
    assert_eq!((hours["from"].as_str(), buckets(&hours)[0]), (Some(&*begin.to_string()), (60, "2")));
    shop.close().await;
}

#[tokio::test]
async fn another_zone_than_the_tenants_cuts_its_own_days() {
    let shop = Shop::open_with(&TENANTS).await;
    let day = day_of_change("Europe/Berlin", true);
    sell_hourly(&shop, "nepal", "Asia/Kathmandu", day).await;
    let own = series(&shop, "nepal", day, 1, "PT1H").await;
    assert_eq!(own["from"], format!("{}T18:15:00Z", day.yesterday().unwrap()), "Nepal is 5:45 ahead");
    assert_eq!(buckets(&own), vec![(60, "1"); 24]);
    let (from, to) = (day.to_string(), day.tomorrow().unwrap().to_string());
    let parameters = [("from", &*from), ("to", &*to), ("granularity", "P1D"), ("time_zone", "Europe/Berlin")];
    let berlin = shop.client("nepal").await.values("sales", &parameters).await;
    assert_eq!(berlin["time_zone"], "Europe/Berlin");
    assert_eq!(buckets(&berlin), [(23 * 60, "23")]);
    // A bucket that the range cuts says so, however long ago it ended.
    let cut = [("from", &*from), ("to", &*to), ("granularity", "P1D"), ("time_zone", "UTC")];
    let cut = shop.client("nepal").await.values("sales", &cut).await;
    let complete =
        |answer: &Value| answer["data"][0]["buckets"].as_array().unwrap().iter().all(|bucket| bucket["complete"] == true);
    assert!(complete(&cut) && complete(&berlin), "{cut}");
    let half = format!("{day}T12:00:00Z");
    let cut = [("from", &*half), ("to", &*to), ("granularity", "P1D"), ("time_zone", "UTC")];
    let cut = shop.client("nepal").await.values("sales", &cut).await;
    assert!(!complete(&cut) && buckets(&cut) == [(12 * 60, "12")], "{cut}");
    shop.close().await;
}

#[tokio::test]
async fn today_of_the_tenants_zone_is_asked_for_by_default() {
    let shop = Shop::open_with(&TENANTS).await;
    // Should a day end meanwhile, the second order is in the new one.
    let now = clock::now();
    shop.sell(&[Order::new("nepal", "o1").at(now), Order::new("nepal", "o2").at(now + SignedDuration::from_hours(1))]).await;
    let client = shop.client("nepal").await;
    let answer = client.values("sales", &[]).await;
    let zone = TimeZone::get("Asia/Kathmandu").unwrap();
    let [from, to] = ["from", "to"].map(|end| answer[end].as_str().unwrap().parse::<Timestamp>().unwrap().to_zoned(zone.clone()));
    assert_eq!((from.hour(), from.minute(), to.hour(), to.minute()), (0, 0, 0, 0), "from midnight to midnight");
    assert_eq!(from.date().tomorrow().unwrap(), to.date());
    assert!(from.timestamp() <= clock::now() && now < to.timestamp(), "today is [{from}, {to})");
    assert_eq!(answer["granularity"], Value::Null);
    let buckets = answer["data"][0]["buckets"].as_array().unwrap();
    assert_eq!((buckets.len(), &buckets[0]["complete"]), (1, &Value::Bool(false)), "today is not over");
    shop.close().await;
}
