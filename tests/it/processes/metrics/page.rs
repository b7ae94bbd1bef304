//! `/metrics` as it is scraped, and what queries ask of it.

use std::collections::{BTreeMap, BTreeSet};

/// How our metrics begin, and those of the conventions that we follow. Everything else in a query is Prometheus's own.
const OURS: [&str; 4] = ["tidemark_", "http_server_", "db_client_", "target_info"];
/// Labels that come from where a process is scraped, not from the process.
const OF_TARGET: [&str; 3] = ["namespace", "job", "instance"];

/// What some processes show: the label sets of each metric.
#[derive(Debug, Default)]
pub(super) struct Page(BTreeMap<String, Vec<BTreeMap<String, String>>>);

/// What a query selects by: `metric{label="value",other=~"…"}`.
#[derive(Debug, PartialEq, Eq)]
struct Selector {
    metric: String,
    /// With the value, where it has to be this one.
    labels: Vec<(String, Option<String>)>,
}

impl Page {
    /// Adds what one process shows, in Prometheus's text format.
    pub(super) fn add(&mut self, text: &str) {
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            // A label's value may have spaces and braces; the sample's has neither.
            let (series, _) = line.rsplit_once(' ').expect("a value");
            let (metric, labels) = match series.split_once('{') {
                Some((metric, labels)) => (metric, matchers(labels.strip_suffix('}').expect("an end")).0),
                None => (series, Vec::new()),
            };
            let labels = labels.into_iter().map(|(name, value)| (name, value.expect("one value"))).collect();
            self.0.entry(metric.to_owned()).or_default().push(labels);
        }
    }

    /// The names of all labels there are, of any process.
    pub(super) fn labels(&self) -> BTreeSet<&str> {
        self.0.values().flatten().flat_map(BTreeMap::keys).map(String::as_str).collect()
    }

    /// What a query asks for that is not there.
    pub(super) fn lacks(&self, query: &str) -> Vec<String> {
        let selectors = selectors(query);
        let mut lacking = Vec::new();
        for Selector { metric, labels } in &selectors {
            let Some(found) = self.0.get(metric) else {
                lacking.push(metric.clone());
                continue;
            };
            for (name, value) in labels.iter().filter(|(name, _)| !OF_TARGET.contains(&name.as_str())) {
                let fits = |labels: &BTreeMap<_, _>| {
                    labels.get(name).is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
                };
                if !found.iter().any(fits) {
                    lacking.push(format!("{metric}: {name} {}", value.as_deref().unwrap_or_default()));
                }
            }
        }
        let shown: BTreeSet<&String> =
            selectors.iter().filter_map(|one| self.0.get(&one.metric)).flatten().flat_map(BTreeMap::keys).collect();
        let is_there = |label: &String| OF_TARGET.contains(&label.as_str()) || shown.contains(label);
        lacking.extend(grouped(query).into_iter().filter(|label| !is_there(label)).map(|label| format!("by ({label})")));
        lacking
    }
}

/// Every selector of a query. One without braces would select other applications' metrics, too.
fn selectors(query: &str) -> Vec<Selector> {
    let mut selectors = Vec::new();
    let mut rest = query;
    while let Some(start) = next_name(rest) {
        let name = &rest[start..];
        let end = name.find(|c: char| !is_of_name(c)).unwrap_or(name.len());
        let (metric, after) = name.split_at(end);
        let after_labels = after.strip_prefix('{').map(matchers);
        let (labels, left) = after_labels.unwrap_or_else(|| panic!("{metric} is selected without labels: {query}"));
        selectors.push(Selector { metric: metric.to_owned(), labels });
        rest = left;
    }
    selectors
}

/// Where the next name of ours begins.
fn next_name(text: &str) -> Option<usize> {
    let starts = OURS.iter().flat_map(|ours| text.match_indices(ours));
    starts.map(|(at, _)| at).filter(|at| !text[..*at].ends_with(is_of_name)).min()
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The matchers up to the closing brace or the end, and what is left.
fn matchers(text: &str) -> (Vec<(String, Option<String>)>, &str) {
    let (mut labels, mut rest) = (Vec::new(), text);
    loop {
        rest = rest.trim_start_matches([',', ' ', '\n']);
        if let Some(left) = rest.strip_prefix('}') {
            return (labels, left);
        }
        let Some((name, after)) = rest.split_once('"') else { return (labels, rest) };
        let end = after.match_indices('"').map(|(at, _)| at).find(|at| !after[..*at].ends_with('\\')).expect("a closing quote");
        let value = &after[..end];
        let (name, operator) = name.split_at(name.find(|c: char| !is_of_name(c)).expect("an operator"));
        let must_be = (operator == "=").then(|| value.to_owned());
        labels.push((name.to_owned(), must_be));
        rest = &after[end + 1..];
    }
}

/// The labels that a query groups by.
fn grouped(query: &str) -> Vec<String> {
    let groups = query.split("by (").skip(1).filter_map(|group| group.split_once(')'));
    groups.flat_map(|(labels, _)| labels.split(',')).map(|label| label.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        let mut page = Page::default();
        page.add(concat!(
            "# HELP tidemark_x_total Things\n# TYPE tidemark_x_total counter\n",
            "tidemark_x_total{outcome=\"done\",http_route=\"/v1/a/{b}, c\"} 1\n",
            "tidemark_x_total{outcome=\"lost\"} 0\ntidemark_y 2.5\n",
        ));
        page
    }

    #[test]
    fn a_query_of_what_is_there_lacks_nothing() {
        let query = r#"sum by (outcome, namespace) (rate(tidemark_x_total{job="a",outcome="lost",http_route=~"/v1/.*"}[5m])) / tidemark_y{job="b"} > 1"#;
        assert_eq!(page().lacks(query), Vec::<String>::new());
        assert_eq!(page().lacks(r#"tidemark_x_total{http_route="/v1/a/{b}, c"}"#), Vec::<String>::new());
    }

    #[test]
    fn a_planted_name_label_or_value_is_found() {
        assert_eq!(page().lacks("rate(tidemark_z_total{job=\"a\"}[5m])"), ["tidemark_z_total"]);
        assert_eq!(
            page().lacks("tidemark_y{outcome=~\"a\"} or tidemark_x_total{outcome=\"won\"}"),
            ["tidemark_y: outcome ", "tidemark_x_total: outcome won"]
        );
        assert_eq!(page().lacks("max by (slot) (tidemark_y{job=\"a\"})"), ["by (slot)"]);
    }
}
