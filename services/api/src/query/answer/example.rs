//! The example of an answer in the OpenAPI document: API.md's own, in full.

use serde_json::{Value, json};

/// One item and the remainder, sold in euros over two days, one of them of 23 hours.
pub(crate) fn example() -> Value {
    json!({
        "metric": "sales", "version": "3f9c2a",
        "from": "2026-03-27T23:00:00Z", "to": "2026-03-29T22:00:00Z", "granularity": "P1D", "time_zone": "Europe/Berlin",
        "freshness": {"watermark": "2026-03-30T09:14:07.412Z", "lag_ms": 1800, "status": "live", "exact": true, "reasons": []},
        "compared_with": {"from": "2026-03-25T23:00:00Z", "to": "2026-03-27T23:00:00Z"},
        "totals": [{
            "currency": "EUR", "values": {"revenue": "18230.4", "units": "911"},
            "previous": {"revenue": "17110", "units": "900"}, "change": {"revenue": "1120.4", "units": "11"}
        }],
        "data": [
            {
                "dimensions": {"item": "sku_42"}, "currency": "EUR", "values": {"revenue": "3000", "units": "100"},
                "previous": {"revenue": "2900", "units": "90"}, "change": {"revenue": "100", "units": "10"},
                "buckets": [
                    {"from": "2026-03-27T23:00:00Z", "to": "2026-03-28T23:00:00Z",
                     "values": {"revenue": "3000", "units": "100"}, "complete": true},
                    {"from": "2026-03-28T23:00:00Z", "to": "2026-03-29T22:00:00Z",
                     "values": {"revenue": "0", "units": "0"}, "complete": true}
                ]
            },
            {
                "other": true, "currency": "EUR", "values": {"revenue": "15230.4", "units": "811"},
                "previous": {"revenue": "14210", "units": "810"}, "change": {"revenue": "1020.4", "units": "1"},
                "buckets": [
                    {"from": "2026-03-27T23:00:00Z", "to": "2026-03-28T23:00:00Z",
                     "values": {"revenue": "15000", "units": "800"}, "complete": true},
                    {"from": "2026-03-28T23:00:00Z", "to": "2026-03-29T22:00:00Z",
                     "values": {"revenue": "230.4", "units": "11"}, "complete": true}
                ]
            }
        ]
    })
}
