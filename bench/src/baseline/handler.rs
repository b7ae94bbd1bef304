//! An HTTP handler that adds up the rows of one Query as floating-point numbers, and nothing else: no key, no zone, no watermark.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_types::SdkConfig;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tidemark_tests::deployment::tables;

use super::Handler;

/// Which partition is read, and how its rows are added up. The sort key of a row is its groups, its currency and its day, with `#` between
/// them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) pk: String,
    /// Rows are added up by this part of their sort keys, counted from 0.
    pub(crate) by: usize,
    /// Lets in the rows whose second part is one of these, separated by commas; all rows where it is empty.
    pub(crate) second: String,
    /// The answer has so many groups, those of the largest revenue; where it is 0, all of them by name.
    pub(crate) top: usize,
}

/// What the rows of one group add up to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Sums {
    pub(crate) group: String,
    pub(crate) units: f64,
    pub(crate) revenue: f64,
    pub(crate) orders: f64,
}

impl Handler {
    pub(super) async fn run(&self, config: &SdkConfig) -> anyhow::Result<()> {
        let router = Router::new().route("/", get(answer)).route("/readyz", get(async || "ready"));
        let listener = tokio::net::TcpListener::bind(self.address).await?;
        Ok(axum::serve(listener, router.with_state(Arc::new(Client::new(config)))).await?)
    }
}

async fn answer(
    State(client): State<Arc<Client>>,
    Query(request): Query<Request>,
) -> Result<Json<Vec<Sums>>, (StatusCode, String)> {
    let query = client.query().table_name(tables().data).consistent_read(true).key_condition_expression("pk = :pk");
    let query = query.expression_attribute_values(":pk", AttributeValue::S(request.pk.clone()));
    let mut pages = query.into_paginator().send();
    let mut groups = BTreeMap::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| (StatusCode::BAD_GATEWAY, error.to_string()))?;
        page.items().iter().for_each(|row| request.add(row, &mut groups));
    }
    let mut groups: Vec<Sums> = groups.into_values().collect();
    if request.top > 0 {
        groups.sort_by(|a, b| b.revenue.total_cmp(&a.revenue));
        groups.truncate(request.top);
    }
    Ok(Json(groups))
}

impl Request {
    fn add(&self, row: &HashMap<String, AttributeValue>, groups: &mut BTreeMap<String, Sums>) {
        let Some(Ok(sk)) = row.get("sk").map(AttributeValue::as_s) else { return };
        let is_wanted = |second: &str| self.second.split(',').any(|wanted| wanted == second);
        if !self.second.is_empty() && !sk.split('#').nth(1).is_some_and(is_wanted) {
            return;
        }
        let group = sk.split('#').nth(self.by).unwrap_or_default();
        if !groups.contains_key(group) {
            groups.insert(group.to_owned(), Sums { group: group.to_owned(), ..Sums::default() });
        }
        let Some(sums) = groups.get_mut(group) else { return };
        for (name, sum) in [("m_units", &mut sums.units), ("m_revenue", &mut sums.revenue), ("m_orders", &mut sums.orders)] {
            let number = row.get(name).and_then(|value| value.as_n().ok()).and_then(|text| text.parse::<f64>().ok());
            *sum += number.unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_added_up_by_a_part_of_their_keys() {
        let row = |sk: &str, units: &str| {
            let numbers = [("m_units", units), ("m_revenue", "1.5"), ("m_orders", "1")];
            let numbers = numbers.map(|(name, number)| (name.to_owned(), AttributeValue::N(number.to_owned())));
            HashMap::from_iter(numbers.into_iter().chain([("sk".to_owned(), AttributeValue::S(sk.to_owned()))]))
        };
        let rows = [row("a#eu#USD#20261001", "2"), row("a#us#USD#20261002", "3"), row("b#ap#USD#20261002", "4")];
        let sums = |by, second: &str| {
            let request = Request { pk: String::new(), by, second: second.to_owned(), top: 0 };
            let mut groups = BTreeMap::new();
            rows.iter().for_each(|row| request.add(row, &mut groups));
            groups.into_values().map(|sums| (sums.group, sums.units, sums.revenue, sums.orders)).collect::<Vec<_>>()
        };
        assert_eq!(sums(0, ""), [("a".to_owned(), 5.0, 3.0, 2.0), ("b".to_owned(), 4.0, 1.5, 1.0)]);
        assert_eq!(sums(0, "us,ap"), [("a".to_owned(), 3.0, 1.5, 1.0), ("b".to_owned(), 4.0, 1.5, 1.0)]);
        assert_eq!(sums(3, "eu"), [("20261001".to_owned(), 2.0, 1.5, 1.0)]);
    }
}
