//! A cursor over a definition file's tree: each place knows its path and line, says what it must be, and reports what it
//! is not, so that reading goes on and every problem of the file is found.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;

use super::problem::Problem;
use super::spelling;
use super::yaml::{Data, Entry, Node, Number};
use crate::decimal::Decimal;

/// What has been found out about a file so far.
#[derive(Default)]
pub(super) struct Report {
    problems: RefCell<Vec<Problem>>,
    /// The line of each path that was visited.
    lines: RefCell<BTreeMap<String, usize>>,
}

impl Report {
    /// Reports what is wrong at a path, on the line of the nearest visited place above it.
    pub(super) fn add(&self, path: &str, message: String) {
        let lines = self.lines.borrow();
        let mut place = path;
        while !place.is_empty() && !lines.contains_key(place) {
            place = place.rfind(['.', '[']).map_or("", |end| &place[..end]);
        }
        let line = lines.get(place).copied().unwrap_or(1);
        self.problems.borrow_mut().push(Problem { line, path: path.to_owned(), message });
    }

    /// Whether something at or below the path is wrong.
    pub(super) fn is_spoiled(&self, path: &str) -> bool {
        self.problems
            .borrow()
            .iter()
            .filter_map(|problem| problem.path.strip_prefix(path))
            .any(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
}

/// One place of the file.
///
/// Every reading method returns `None` after reporting why; the caller goes on with the other places.
pub(super) struct Spot<'a> {
    report: &'a Report,
    node: &'a Node,
    path: String,
    line: usize,
}

impl<'a> Spot<'a> {
    pub(super) fn root(report: &'a Report, node: &'a Node) -> Self {
        Self::visited(report, node, String::new(), node.line)
    }

    fn visited(report: &'a Report, node: &'a Node, path: String, line: usize) -> Self {
        report.lines.borrow_mut().insert(path.clone(), line);
        Self { report, node, path, line }
    }

    fn below(&self, entry: &'a Entry) -> Self {
        let path = if self.path.is_empty() { entry.key.clone() } else { format!("{}.{}", self.path, entry.key) };
        Self::visited(self.report, &entry.node, path, entry.line)
    }

    /// Reports a problem here.
    pub(super) fn problem(&self, message: impl Into<String>) {
        self.problem_on(self.line, message);
    }

    fn problem_on(&self, line: usize, message: impl Into<String>) {
        let problem = Problem { line, path: self.path.clone(), message: message.into() };
        self.report.problems.borrow_mut().push(problem);
    }

    /// Reports that the place is of another type, unless it is what `wanted` says.
    fn expected<T>(&self, wanted: &str, found: Option<T>) -> Option<T> {
        if found.is_none() {
            self.problem(format!("must be {wanted}; this is {}", self.node.data.kind()));
        }
        found
    }

    /// The entries of a map, each key once.
    fn entries(&self, wanted: &str) -> Option<Vec<&'a Entry>> {
        let Data::Map(entries) = &self.node.data else { return self.expected(wanted, None) };
        let mut first: BTreeMap<&str, usize> = BTreeMap::new();
        let mut once = Vec::new();
        for entry in entries {
            match first.get(entry.key.as_str()) {
                Some(line) => {
                    self.problem_on(entry.line, format!("`{}` is given twice, first in line {line}", entry.key));
                }
                None => {
                    first.insert(&entry.key, entry.line);
                    once.push(entry);
                }
            }
        }
        Some(once)
    }

    /// A map with these fields and no others.
    pub(super) fn fields(&self, allowed: &[&'static str]) -> Option<Fields<'a>> {
        let mut fields = Fields { report: self.report, path: self.path.clone(), found: BTreeMap::new() };
        for entry in self.entries(&format!("a map with the fields {}", allowed.join(", ")))? {
            if allowed.contains(&entry.key.as_str()) {
                fields.found.insert(&entry.key, self.below(entry));
            } else {
                let allowed = spelling::allowed(&entry.key, allowed.iter().copied());
                self.problem_on(entry.line, format!("unknown field `{}`; allowed: {allowed}", entry.key));
            }
        }
        Some(fields)
    }

    /// A map from names of the user's choice, such as `metrics`.
    pub(super) fn named<K: Ord, V, E: Display>(
        &self,
        name: impl Fn(&str) -> Result<K, E>,
        value: impl Fn(&Spot<'a>) -> Option<V>,
    ) -> Option<BTreeMap<K, V>> {
        let mut map = BTreeMap::new();
        for entry in self.entries("a map from names")? {
            let spot = self.below(entry);
            let value = value(&spot);
            match (name(&entry.key), value) {
                (Err(error), _) => spot.problem(error.to_string()),
                (Ok(_), None) => {}
                (Ok(name), Some(value)) => {
                    map.insert(name, value);
                }
            }
        }
        Some(map)
    }

    /// The keys of a map, also of entries whose values cannot be read.
    pub(super) fn keys(&self) -> Vec<&'a str> {
        match &self.node.data {
            Data::Map(entries) => entries.iter().map(|entry| entry.key.as_str()).collect(),
            _ => Vec::new(),
        }
    }

    /// The items of a list.
    pub(super) fn items(&self) -> Option<Vec<Spot<'a>>> {
        let items = match &self.node.data {
            Data::List(items) => Some(items),
            _ => None,
        };
        let spot =
            |(index, node): (usize, &'a Node)| Self::visited(self.report, node, format!("{}[{index}]", self.path), node.line);
        Some(self.expected("a list", items)?.iter().enumerate().map(spot).collect())
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.node.data, Data::List(_))
    }

    pub(super) fn is_map(&self) -> bool {
        matches!(self.node.data, Data::Map(_))
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        match &self.node.data {
            Data::Text(text) => Some(text),
            Data::Number(_) | Data::Bool(_) => self.expected("a text (put it in quotes)", None),
            _ => self.expected("a text", None),
        }
    }

    /// A text that `parse` accepts.
    pub(super) fn parsed<T, E: Display>(&self, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        parse(self.text()?).map_err(|error| self.problem(error.to_string())).ok()
    }

    pub(super) fn number(&self) -> Option<Decimal> {
        let Data::Number(Number { written, value }) = &self.node.data else { return self.expected("a number", None) };
        if value.is_none() {
            self.problem(format!(
                "must be a decimal number below 10^126 with at most 130 digits after the point, as DynamoDB's are; this is `{written}`"
            ));
        }
        value.clone()
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        let value = match &self.node.data {
            Data::Bool(value) => Some(*value),
            _ => None,
        };
        self.expected("true or false", value)
    }

    /// A text, number or boolean by its canonical text, as [`crate::Group::of`] makes it from an attribute. A number that is written
    /// otherwise (`007`) may be meant as the text that it is, and is refused.
    pub(super) fn canonical(&self) -> Option<String> {
        let text = match &self.node.data {
            Data::Text(text) => Some(text.clone()),
            Data::Number(number) => return self.unambiguous(number),
            Data::Bool(value) => Some(value.to_string()),
            Data::Null | Data::List(_) | Data::Map(_) => None,
        };
        self.expected("a text, number or boolean", text)
    }

    fn unambiguous(&self, Number { written, value }: &Number) -> Option<String> {
        let canonical = value.as_ref().map(Decimal::to_string);
        if canonical.as_ref() == Some(written) {
            return canonical;
        }
        let number = canonical.map(|number| format!(" for the number write {number};")).unwrap_or_default();
        self.problem(format!("`{written}` may be a number or a text:{number} for the text put it in quotes: '{written}'"));
        None
    }
}

/// The fields of a map; none is unknown or given twice.
pub(super) struct Fields<'a> {
    report: &'a Report,
    path: String,
    found: BTreeMap<&'a str, Spot<'a>>,
}

impl<'a> Fields<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&Spot<'a>> {
        self.found.get(name)
    }

    /// The field's value; its absence is a problem.
    pub(super) fn required<T>(&self, name: &str, read: impl FnOnce(&Spot<'a>) -> Option<T>) -> Option<T> {
        if !self.found.contains_key(name) {
            self.problem_at(name, "is missing");
        }
        self.optional(name, read)
    }

    /// The field's value; `None` when it is absent, or reported as unreadable.
    pub(super) fn optional<T>(&self, name: &str, read: impl FnOnce(&Spot<'a>) -> Option<T>) -> Option<T> {
        self.found.get(name).and_then(read)
    }

    /// Which of these fields is there; anything but exactly one is a problem.
    pub(super) fn exactly_one(&self, names: &[&'static str]) -> Option<(&'static str, &Spot<'a>)> {
        let mut found = names.iter().filter_map(|name| self.found.get(name).map(|spot| (*name, spot)));
        match (found.next(), found.next()) {
            (Some(one), None) => Some(one),
            _ => {
                self.problem(format!("needs exactly one of {}", names.join(", ")));
                None
            }
        }
    }

    /// Reports a problem of the map as a whole.
    pub(super) fn problem(&self, message: impl Into<String>) {
        self.report.add(&self.path, message.into());
    }

    /// Reports a problem of a field, there or not.
    pub(super) fn problem_at(&self, name: &str, message: impl Into<String>) {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        self.report.add(&path, message.into());
    }
}
