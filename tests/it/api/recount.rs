//! The second opinion: what an answer must be, recounted naively from the orders.
//!
//! It shares no code with the API or the domain: no rows, no plan, no day buckets. Every quarter of an hour is given its local
//! label, neighbours with one label are one bucket, and every order is looked at again for every number.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use bigdecimal::{BigDecimal, RoundingMode, Zero};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde_json::{Value, json};

use super::orders::Order;

const QUARTER: SignedDuration = SignedDuration::from_mins(15);

/// A group: texts in their order, then null.
type Group = (bool, String);

/// A question, in the words of the API.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub from: Timestamp,
    pub to: Timestamp,
    pub granularity: Option<&'static str>,
    pub zone: String,
    pub measures: Vec<&'static str>,
    pub group_by: Vec<&'static str>,
    /// By dimension; `None` lets the null group in.
    pub filter: Vec<(&'static str, Vec<Option<String>>)>,
    /// A measure, and whether its largest value comes first.
    pub order: Option<(&'static str, bool)>,
    pub limit: usize,
    pub other: bool,
    pub fill: bool,
    /// The range compared with.
    pub compare: Option<(&'static str, Timestamp, Timestamp)>,
}

/// The orders of one row of the answer, in the range asked for and in the one it is compared with.
#[derive(Clone, Default)]
struct Row<'a> {
    /// `None`: the remainder.
    groups: Option<Vec<Group>>,
    orders: Vec<&'a Order>,
    before: Vec<&'a Order>,
}

/// One bucket.
struct Bucket {
    from: Timestamp,
    to: Timestamp,
    clipped: bool,
}

impl Question {
    /// The query string's parameters.
    pub(super) fn parameters(&self) -> Vec<(String, String)> {
        let mut parameters = vec![
            ("from".to_owned(), self.from.to_string()),
            ("to".to_owned(), self.to.to_string()),
            ("time_zone".to_owned(), self.zone.clone()),
            ("measures".to_owned(), self.measures.join(",")),
            ("group_by".to_owned(), self.group_by.join(",")),
            ("limit".to_owned(), self.limit.to_string()),
            ("other".to_owned(), self.other.to_string()),
            ("fill".to_owned(), if self.fill { "zero" } else { "none" }.to_owned()),
        ];
        parameters.extend(self.granularity.map(|granularity| ("granularity".to_owned(), granularity.to_owned())));
        let sign = |descending| if descending { "-" } else { "" };
        parameters.extend(self.order.map(|(measure, down)| ("order".to_owned(), format!("{}{measure}", sign(down)))));
        parameters.extend(self.compare.map(|(compare, ..)| ("compare".to_owned(), compare.to_owned())));
        for (dimension, groups) in &self.filter {
            let escaped = |group: &Option<String>| match group {
                None => "\\N".to_owned(),
                Some(text) => text.replace('\\', "\\\\").replace(',', "\\,"),
            };
            let groups: Vec<String> = groups.iter().map(escaped).collect();
            parameters.push((format!("filter[{dimension}]"), groups.join(",")));
        }
        parameters
    }

    /// `totals` and `data` of the answer.
    pub(super) fn answer(&self, orders: &[Order], watermark: Timestamp) -> (Value, Value) {
        let counted: Vec<&Order> = orders.iter().filter(|order| !order.cancelled && self.lets_in(order)).collect();
        let within = |from, to| counted.iter().copied().filter(move |order| (from..to).contains(&order.at));
        let now: Vec<&Order> = within(self.from, self.to).collect();
        let before: Vec<&Order> = self.compare.into_iter().flat_map(|(_, from, to)| within(from, to)).collect();
        let currency = |order: &&Order| order.currency.unwrap_or("USD");
        let currencies: BTreeSet<&str> = now.iter().chain(&before).map(currency).collect();
        let buckets = self.buckets();
        let (mut totals, mut data) = (Vec::new(), Vec::new());
        for code in currencies {
            let of_code = |orders: &[&'_ Order]| -> Vec<Order> {
                orders.iter().filter(|order| currency(order) == code).map(|order| (*order).clone()).collect()
            };
            let (now, before) = (of_code(&now), of_code(&before));
            let all = Row { groups: None, orders: now.iter().collect(), before: before.iter().collect() };
            totals.push(self.numbers(&all, code));
            let mut rows = self.rows(&all);
            let beyond = rows.split_off(self.limit.min(rows.len()));
            if self.other && !beyond.is_empty() {
                rows.push(merged(&beyond));
            }
            data.extend(rows.iter().map(|row| self.shown(row, code, &buckets, watermark)));
        }
        (totals.into(), data.into())
    }

    fn lets_in(&self, order: &Order) -> bool {
        self.filter.iter().all(|(dimension, groups)| {
            let group = group_of(order, dimension);
            groups.iter().any(|wanted| group == (wanted.is_none(), wanted.clone().unwrap_or_default()))
        })
    }

    /// The rows in the order asked for.
    fn rows<'a>(&self, all: &Row<'a>) -> Vec<Row<'a>> {
        let mut dimensions = self.group_by.clone();
        dimensions.sort_unstable();
        let groups_of = |order: &Order| dimensions.iter().map(|dimension| group_of(order, dimension)).collect::<Vec<_>>();
        let mut rows: BTreeMap<Vec<Group>, Row<'a>> = BTreeMap::new();
        for order in &all.orders {
            rows.entry(groups_of(order)).or_default().orders.push(order);
        }
        for order in &all.before {
            rows.entry(groups_of(order)).or_default().before.push(order);
        }
        let mut rows: Vec<_> = rows.into_iter().map(|(groups, row)| Row { groups: Some(groups), ..row }).collect();
        if let Some((name, descending)) = self.order {
            rows.sort_by_key(|row| {
                let value = measure(&row.orders, name).map(|value| if descending { -value } else { value });
                (value.is_none(), value)
            });
        }
        rows
    }

    fn shown(&self, row: &Row<'_>, currency: &str, buckets: &[Bucket], watermark: Timestamp) -> Value {
        let mut shown = self.numbers(row, currency);
        let mut dimensions = self.group_by.clone();
        dimensions.sort_unstable();
        match &row.groups {
            None => shown["other"] = true.into(),
            Some(groups) if groups.is_empty() => {}
            Some(groups) => {
                let named = dimensions.iter().zip(groups);
                let shown_group = |(null, text): &Group| if *null { Value::Null } else { json!(text) };
                shown["dimensions"] = named.map(|(name, group)| ((*name).to_owned(), shown_group(group))).collect();
            }
        }
        let bucket = |bucket: &Bucket| {
            let orders = row.orders.iter().copied().filter(|order| (bucket.from..bucket.to).contains(&order.at));
            let orders: Vec<&Order> = orders.collect();
            (self.fill || !orders.is_empty()).then(|| {
                let complete = bucket.to <= watermark && !bucket.clipped;
                json!({
                    "from": bucket.from.to_string(), "to": bucket.to.to_string(), "values": self.values(&orders),
                    "complete": complete,
                })
            })
        };
        shown["buckets"] = buckets.iter().filter_map(bucket).collect();
        shown
    }

    fn numbers(&self, row: &Row<'_>, currency: &str) -> Value {
        let mut numbers = json!({ "currency": currency, "values": self.values(&row.orders) });
        if self.compare.is_some() {
            let change = |name: &&str| {
                let change = measure(&row.orders, name).zip(measure(&row.before, name)).map(|(now, before)| now - before);
                ((*name).to_owned(), text(change))
            };
            numbers["previous"] = self.values(&row.before);
            numbers["change"] = self.measures.iter().map(change).collect();
        }
        numbers
    }

    fn values(&self, orders: &[&Order]) -> Value {
        self.measures.iter().map(|name| ((*name).to_owned(), text(measure(orders, name)))).collect()
    }

    fn buckets(&self) -> Vec<Bucket> {
        let Some(granularity) = self.granularity else {
            return vec![Bucket { from: self.from, to: self.to, clipped: false }];
        };
        let zone = TimeZone::get(&self.zone).unwrap();
        let label = |at: Timestamp| {
            let local = at.to_zoned(zone.clone());
            let monday = local.date() - i64::from(local.weekday().to_monday_zero_offset()).days();
            match granularity {
                "PT15M" => at.to_string(),
                "PT1H" => local.strftime("%F %H %z").to_string(),
                "P1D" => local.date().to_string(),
                "P1W" => monday.to_string(),
                "P1M" => local.strftime("%Y %m").to_string(),
                other => panic!("{other}"),
            }
        };
        let mut buckets: Vec<(String, Bucket)> = Vec::new();
        let mut at = self.from;
        while at < self.to {
            let name = label(at);
            match buckets.last_mut().filter(|(last, _)| *last == name) {
                Some((_, bucket)) => bucket.to = at + QUARTER,
                None => buckets.push((name, Bucket { from: at, to: at + QUARTER, clipped: false })),
            }
            at += QUARTER;
        }
        if let Some((name, first)) = buckets.first_mut() {
            first.clipped |= label(self.from - QUARTER) == *name;
        }
        if let Some((name, last)) = buckets.last_mut() {
            last.clipped |= label(self.to) == *name;
        }
        buckets.into_iter().map(|(_, bucket)| bucket).collect()
    }
}

fn merged<'a>(rows: &[Row<'a>]) -> Row<'a> {
    let orders = rows.iter().flat_map(|row| row.orders.iter().copied()).collect();
    Row { groups: None, orders, before: rows.iter().flat_map(|row| row.before.iter().copied()).collect() }
}

fn group_of(order: &Order, dimension: &str) -> Group {
    let text = match dimension {
        "item" => &order.item,
        "region" => &order.region,
        other => panic!("{other}"),
    };
    (text.is_none(), text.clone().unwrap_or_default())
}

/// A measure of some orders; a ratio over zero is `None`.
fn measure(orders: &[&Order], name: &str) -> Option<BigDecimal> {
    let decimal = |text: &str| BigDecimal::from_str(text).unwrap();
    let sum = |of: &dyn Fn(&Order) -> BigDecimal| orders.iter().fold(BigDecimal::zero(), |sum, order| sum + of(order));
    let units = || sum(&|order| decimal(&order.quantity));
    let revenue = || sum(&|order| decimal(&order.quantity) * decimal(&order.unit_price));
    let count = || BigDecimal::from(orders.len() as u64);
    // A hundred digits, of which twelve places are kept: far from where rounding twice could show.
    let over = |a: BigDecimal, b: BigDecimal| (!b.is_zero()).then(|| (a / b).with_scale_round(12, RoundingMode::HalfEven));
    match name {
        "units" => Some(units()),
        "revenue" => Some(revenue()),
        "orders" => Some(count()),
        "average_order" => over(revenue(), count()),
        "unit_price" => over(revenue(), units()),
        other => panic!("{other}"),
    }
}

fn text(value: Option<BigDecimal>) -> Value {
    value.map_or(Value::Null, |value| if value.is_zero() { "0".into() } else { value.normalized().to_plain_string().into() })
}
