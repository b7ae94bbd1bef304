//! Which of the forms of an answer the client prefers, by its `Accept` header (RFC 9110 §12.5.1).

use axum::http::{HeaderMap, header};

/// A form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Csv,
    Ndjson,
}

impl Format {
    /// In the order we prefer them in.
    const TYPES: [(Self, &'static str); 3] =
        [(Self::Json, "application/json"), (Self::Csv, "text/csv"), (Self::Ndjson, "application/x-ndjson")];

    /// The form with the highest weight. JSON when nothing we have is accepted: a readable answer helps more than a 406.
    pub(crate) fn accepted(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let ranges: Vec<(&str, u16)> = values.flat_map(|value| value.split(',')).filter_map(range).collect();
        let weights = Self::TYPES.map(|(format, kind)| (format, weight(kind, &ranges)));
        let heaviest = weights.into_iter().rev().max_by_key(|(_, weight)| *weight);
        heaviest.map_or(Self::Json, |(format, _)| format)
    }
}

/// A media range and its weight in thousandths.
fn range(text: &str) -> Option<(&str, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().filter(|range| !range.is_empty())?;
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    let weight = weight.map_or(Some(1.0), |weight| weight.parse::<f32>().ok())?;
    Some((range, (weight.clamp(0.0, 1.0) * 1000.0) as u16))
}

/// The weight of a media type: that of the most specific range that holds it, 0 when none does.
fn weight(kind: &str, ranges: &[(&str, u16)]) -> u16 {
    let class = kind.split_once('/').map_or(kind, |(class, _)| class);
    let specificity = |range: &str| match range.split_once('/') {
        _ if range.eq_ignore_ascii_case(kind) => Some(2),
        Some((of, "*")) if of.eq_ignore_ascii_case(class) => Some(1),
        Some(("*", "*")) => Some(0),
        _ => None,
    };
    let fitting = ranges.iter().filter_map(|(range, weight)| Some((specificity(range)?, *weight)));
    fitting.max_by_key(|(specificity, _)| *specificity).map_or(0, |(_, weight)| weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_form_wins_and_json_otherwise() {
        let format = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().expect("a header"));
            Format::accepted(&headers)
        };
        assert_eq!(Format::accepted(&HeaderMap::new()), Format::Json);
        for (accept, expected) in [
            ("*/*", Format::Json),
            ("text/csv", Format::Csv),
            ("Text/*", Format::Csv),
            ("application/x-ndjson, application/json;q=0.5", Format::Ndjson),
            ("text/csv;q=0.5, */*;q=0.1", Format::Csv),
            ("application/json;q=0, */*", Format::Csv),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format::Json),
            ("image/png", Format::Json),
            ("text/csv;q=x", Format::Json),
            ("", Format::Json),
        ] {
            assert_eq!(format(accept), expected, "{accept}");
        }
    }
}
