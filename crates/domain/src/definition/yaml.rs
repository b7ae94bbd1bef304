//! A YAML text as a tree whose nodes know their lines. It does not know what a definition file may say.
//!
//! Made from the parser's events, so that a number keeps its digits, a key given twice is still there to be named, and
//! depth and size are bounded before anything is built.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::problem::Problem;
use crate::decimal::Decimal;

/// Longest file that is read.
const BYTES_MAX: usize = 1 << 20;
/// Most nodes of the tree, those an alias repeats included: aliases of aliases would else grow without bound.
const NODES_MAX: usize = 20_000;
/// A definition file is seven levels deep; the tree is walked by recursion.
const DEPTH_MAX: usize = 32;
/// Longest key: keys become parts of paths in messages, and no name has more than 48.
const KEY_BYTES_MAX: usize = 128;

/// One node.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) data: Data,
}

#[derive(Debug, Clone)]
pub(super) enum Data {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file; a key may come twice.
    Map(Vec<Entry>),
}

/// What reads as a number without quotes.
#[derive(Debug, Clone)]
pub(super) struct Number {
    pub(super) written: String,
    /// `None`: too large or too small to be one of ours, or written in a way that only other readers of YAML take for a number.
    pub(super) value: Option<Decimal>,
}

/// One key of a map and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) line: usize,
    pub(super) key: String,
    pub(super) node: Node,
}

impl Data {
    /// What the node is, for "must be …, not …".
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "empty",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

impl Node {
    fn size(&self) -> usize {
        1 + match &self.data {
            Data::List(items) => items.iter().map(Node::size).sum(),
            Data::Map(entries) => entries.iter().map(|entry| entry.node.size()).sum(),
            _ => 0,
        }
    }
}

/// The one document of a text.
///
/// # Errors
/// The first thing that keeps the text from being a bounded YAML document: what follows it cannot be told.
pub(super) fn parse(text: &str) -> Result<Node, Problem> {
    if text.len() > BYTES_MAX {
        return Err(problem(1, format!("the file has {} bytes; at most {BYTES_MAX} are read", text.len())));
    }
    let mut tree = Tree::default();
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|error| problem(error.marker().line(), format!("this is not YAML: {}", error.info())))?;
        let line = span.start.line();
        tree.take(event, line).map_err(|message| problem(line, message))?;
    }
    tree.root.ok_or_else(|| problem(1, "the file is empty; it needs `sources`, and `metrics` or `inventory`".to_owned()))
}

fn problem(line: usize, message: String) -> Problem {
    Problem { line, path: String::new(), message }
}

/// The tree while it is built.
#[derive(Default)]
struct Tree {
    root: Option<Node>,
    /// The lists and maps not yet closed, outermost first.
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
}

struct Open {
    node: Node,
    anchor: usize,
    /// In a map: the key that waits for its value.
    key: Option<(usize, String)>,
}

impl Tree {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), String> {
        match event {
            Event::Scalar(_, _, _, Some(_)) | Event::SequenceStart(_, Some(_)) | Event::MappingStart(_, Some(_)) => {
                Err("a tag (`!…`) has no meaning here; to make a value a text, put it in quotes".to_owned())
            }
            Event::Scalar(text, _, _, None) if self.awaits_key() => self.key(line, &text),
            Event::Scalar(text, style, anchor, None) => {
                let data = if style == ScalarStyle::Plain { plain(&text) } else { Data::Text(text.into_owned()) };
                self.place(Node { line, data }, anchor)
            }
            Event::SequenceStart(anchor, None) => self.open(Node { line, data: Data::List(Vec::new()) }, anchor),
            Event::MappingStart(anchor, None) => self.open(Node { line, data: Data::Map(Vec::new()) }, anchor),
            Event::SequenceEnd | Event::MappingEnd => {
                let closed = self.open.pop().expect("the parser ends only what it started");
                self.place(closed.node, closed.anchor)
            }
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned().ok_or("an alias inside what it repeats")?;
                // The node itself is counted when it is placed.
                self.count(node.size() - 1)?;
                self.place(node, 0)
            }
            Event::DocumentStart(_) if self.root.is_some() => Err("a second document; a definition file is one".to_owned()),
            Event::DocumentStart(_) | Event::DocumentEnd | Event::StreamStart | Event::StreamEnd | Event::Nothing => Ok(()),
        }
    }

    fn awaits_key(&self) -> bool {
        self.open.last().is_some_and(|open| matches!(open.node.data, Data::Map(_)) && open.key.is_none())
    }

    fn key(&mut self, line: usize, text: &str) -> Result<(), String> {
        if text.len() > KEY_BYTES_MAX {
            return Err(format!("a key of {} bytes; at most {KEY_BYTES_MAX} are read", text.len()));
        }
        if let Some(open) = self.open.last_mut() {
            open.key = Some((line, text.to_owned()));
        }
        Ok(())
    }

    fn open(&mut self, node: Node, anchor: usize) -> Result<(), String> {
        if self.awaits_key() {
            return Err("a key must be a text".to_owned());
        }
        if self.open.len() == DEPTH_MAX {
            return Err(format!("more than {DEPTH_MAX} levels deep"));
        }
        self.open.push(Open { node, anchor, key: None });
        Ok(())
    }

    /// Puts a complete node where it belongs.
    fn place(&mut self, node: Node, anchor: usize) -> Result<(), String> {
        self.count(1)?;
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut parent.node.data {
            Data::Map(entries) => {
                let (line, key) = parent.key.take().ok_or("a key must be a text")?;
                entries.push(Entry { line, key, node });
            }
            Data::List(items) => items.push(node),
            _ => unreachable!("only lists and maps are opened"),
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize) -> Result<(), String> {
        self.nodes += nodes;
        if self.nodes > NODES_MAX {
            return Err(format!("more than {NODES_MAX} values, those that aliases repeat included"));
        }
        Ok(())
    }
}

/// A scalar without quotes, by YAML's core schema; but only decimal spellings are numbers with a value.
fn plain(text: &str) -> Data {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Data::Null,
        "true" | "True" | "TRUE" => Data::Bool(true),
        "false" | "False" | "FALSE" => Data::Bool(false),
        other if is_decimal(other) => Data::Number(Number { written: other.to_owned(), value: other.parse().ok() }),
        other if is_number_elsewhere(other) => Data::Number(Number { written: other.to_owned(), value: None }),
        other => Data::Text(other.to_owned()),
    }
}

/// `[-+]? ( [0-9]+ ( \. [0-9]* )? | \. [0-9]+ ) ( [eE] [-+]? [0-9]+ )?`, as the core schema has it.
fn is_decimal(text: &str) -> bool {
    let is_digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (mantissa, exponent) = (unsigned(mantissa), unsigned(exponent));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let has_digits = (!whole.is_empty() || !fraction.is_empty()) && !exponent.is_empty();
    has_digits && [whole, fraction, exponent].into_iter().all(is_digits)
}

/// Other bases and what is not finite, which the core schema has, and digits with `_` between them, which YAML 1.1 had.
fn is_number_elsewhere(text: &str) -> bool {
    let text = unsigned(text).to_ascii_lowercase();
    let is_of = |prefix, base| {
        text.strip_prefix(prefix).is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_digit(base)))
    };
    let is_grouped = text.starts_with(|c: char| c.is_ascii_digit()) && text.contains('_') && is_decimal(&text.replace('_', ""));
    is_of("0x", 16) || is_of("0o", 8) || is_of("0b", 2) || is_grouped || matches!(text.as_str(), ".inf" | ".nan")
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['+', '-']).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        parse(text).map_or_else(|problem| problem.to_string(), |node| format!("accepted: {node:?}"))
    }

    #[test]
    fn scalars_are_what_the_core_schema_says() {
        let shown = |text: &str| format!("{:?}", plain(text));
        for text in ["12", "-0.50", "+3", ".5", "-.5", "5.", "007", "1e3", "1E+3", "1.5e-3"] {
            assert!(shown(text).contains("value: Some"), "{text}: {}", shown(text));
        }
        for text in ["1e400", "-0x1F", "0o10", "0b1", "1_000", ".inf", "-.Inf", ".NaN", &"9".repeat(300)] {
            assert!(shown(text).contains("value: None"), "{text}: {}", shown(text));
        }
        for text in
            ["2026-01-01", "1.2.3", ".", "-", "+", "e5", "1e", "no", "0x", "0o8", "_1", "a_1", "+.e", "12:30", "1-2", "--1"]
        {
            assert!(shown(text).starts_with("Text"), "{text}");
        }
        assert_eq!((shown("~"), shown("true")), ("Null".to_owned(), "Bool(true)".to_owned()));
    }

    #[test]
    fn a_number_keeps_all_its_digits() {
        let node = parse("12345678901234567890.123456789012345678").expect("YAML");
        let Data::Number(Number { value: Some(value), .. }) = node.data else { panic!("{node:?}") };
        assert_eq!(value.to_string(), "12345678901234567890.123456789012345678");
    }

    #[test]
    fn what_is_no_bounded_document_is_one_problem_with_its_line() {
        for (text, expected) in [
            ("", "line 1: the file is empty"),
            ("# only a comment\n", "line 1: the file is empty"),
            ("a: 1\nb: [1, 2\nc: 3\n", "line 3: this is not YAML"),
            ("a:\n\tb: 2\n", "line 2: this is not YAML"),
            ("a: *none\n", "line 1: this is not YAML"),
            ("a: 1\n---\nb: 2\n", "line 2: a second document"),
            ("a:\n  - !!str 5\n", "line 2: a tag"),
            ("a: 1\n? [b]\n: 2\n", "line 2: a key must be a text"),
            ("a: &a [1, *a]\n", "line 1: an alias inside what it repeats"),
        ] {
            assert!(refused(text).starts_with(expected), "{text:?}: {}", refused(text));
        }
    }

    #[test]
    fn hostile_texts_are_refused_soon() {
        let bomb: String = (1..=30).map(|n| format!("l{n}: &l{n} [*l{0}, *l{0}, *l{0}]\n", n - 1)).collect();
        assert!(refused(&format!("l0: &l0 [1, 2, 3]\n{bomb}")).contains("more than 20000 values"));
        assert!(refused(&"[".repeat(200)).contains("more than 32 levels"));
        assert!(refused(&"- ".repeat(100_000)).contains("more than 32 levels"));
        assert!(refused(&"- 1\n".repeat(100_000)).contains("more than 20000 values"));
        assert!(refused(&format!("{}: 1", "k".repeat(500))).contains("a key of 500 bytes"));
        assert!(refused(&" ".repeat(BYTES_MAX + 1)).contains("at most 1048576"));
    }
}
