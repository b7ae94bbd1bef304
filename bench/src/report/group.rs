//! The rows of a report by group, in the order in which the groups first appear.

use super::{Report, display};
use crate::row::{Endpoint, Row};

/// The rows whose ids begin with the same part.
pub(super) struct Group<'a> {
    name: &'a str,
    pub(super) rows: Vec<&'a Row>,
    /// The endpoint of all rows; `None` where they differ.
    shared: Option<Endpoint>,
}

impl<'a> Group<'a> {
    /// All groups of a report.
    pub(super) fn all(report: &'a Report) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for row in &report.rows {
            match groups.iter_mut().find(|group| group.name == row.group()) {
                Some(group) => {
                    group.shared = group.shared.filter(|endpoint| *endpoint == row.endpoint);
                    group.rows.push(row);
                }
                None => groups.push(Self { name: row.group(), rows: vec![row], shared: Some(row.endpoint) }),
            }
        }
        groups
    }

    /// The group's name, with the endpoint that all its rows use.
    pub(super) fn heading(&self) -> String {
        match self.shared.and_then(Endpoint::name) {
            Some(endpoint) => format!("{} · {endpoint}", self.name),
            None => self.name.to_owned(),
        }
    }

    /// The details of a row of this group; begins with its endpoint where the heading does not name it.
    pub(super) fn details(&self, row: &Row) -> Vec<String> {
        let endpoint = if self.shared.is_none() { row.endpoint.name() } else { None };
        endpoint.map(str::to_owned).into_iter().chain(row.details.iter().map(display::detail)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use crate::row::{Row, Unit};

    fn report(rows: &[(&str, Endpoint)]) -> Report {
        let row = |(id, endpoint): &(&str, Endpoint)| Row::new(*id, "what", *endpoint, Unit::Seconds, vec![1.0]);
        sample::report(rows.iter().map(row).collect())
    }

    #[test]
    fn rows_of_a_group_stand_together_where_its_first_row_stands() {
        let report = report(&[("b.1", Endpoint::None), ("a.1", Endpoint::None), ("b.2", Endpoint::None)]);
        let ids: Vec<Vec<&str>> =
            Group::all(&report).iter().map(|group| group.rows.iter().map(|row| row.id.as_str()).collect()).collect();
        assert_eq!(ids, [vec!["b.1", "b.2"], vec!["a.1"]]);
    }

    #[test]
    fn heading_names_an_endpoint_that_all_rows_share_and_else_the_row_does() {
        let report = report(&[
            ("a.1", Endpoint::Stub),
            ("a.2", Endpoint::Stub),
            ("b.1", Endpoint::Stub),
            ("b.2", Endpoint::None),
            ("b.3", Endpoint::Stub),
        ]);
        let groups = Group::all(&report);
        assert_eq!(groups[0].heading(), "a · in-memory stub");
        assert!(groups[0].details(groups[0].rows[0]).is_empty());
        assert_eq!(groups[1].heading(), "b");
        assert_eq!(groups[1].details(groups[1].rows[0]), ["in-memory stub"]);
        assert!(groups[1].details(groups[1].rows[1]).is_empty());
    }
}
