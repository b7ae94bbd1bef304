//! Columns of wrapped text for a terminal. Knows nothing of reports.

/// The width that every text fits: a terminal of 120 columns.
pub(super) const WIDTH: usize = 120;
const GAP: usize = 2;
/// What a continued line of a cell begins with.
const HANGING: &str = "  ";

/// Whether a text for a terminal may have escape sequences. The caller knows where the text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    /// For files and pipes.
    Plain,
    /// Bold headings and dim details, for terminals.
    Ansi,
}

impl Ink {
    fn bold(self, text: &str) -> String {
        self.sequence("1", text)
    }

    fn dim(self, text: &str) -> String {
        self.sequence("2", text)
    }

    fn sequence(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Ansi => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }
}

/// Lines of a table, whose columns all share their widths.
pub(super) struct Grid<const N: usize> {
    columns: [&'static str; N],
    lines: Vec<Line<N>>,
}

enum Line<const N: usize> {
    Heading(String),
    Columns,
    /// Each cell is a list of paragraphs.
    Cells([Vec<String>; N]),
    /// Parts that are kept whole where a line is wrapped.
    Note(Vec<String>),
}

impl<const N: usize> Grid<N> {
    pub(super) fn new(columns: [&'static str; N]) -> Self {
        Self { columns, lines: Vec::new() }
    }

    /// A heading, an empty line above it.
    pub(super) fn heading(&mut self, text: String) {
        self.lines.push(Line::Heading(text));
    }

    /// The names of the columns.
    pub(super) fn columns(&mut self) {
        self.lines.push(Line::Columns);
    }

    pub(super) fn cells(&mut self, cells: [Vec<String>; N]) {
        self.lines.push(Line::Cells(cells));
    }

    /// An indented, dim line below the last row; nothing without parts.
    pub(super) fn note(&mut self, parts: Vec<String>) {
        if !parts.is_empty() {
            self.lines.push(Line::Note(parts));
        }
    }

    /// The text, its last line ended.
    pub(super) fn text(&self, ink: Ink) -> String {
        let widths = self.widths();
        let mut text = String::new();
        for line in &self.lines {
            match line {
                Line::Heading(heading) => {
                    let above = if text.is_empty() { "" } else { "\n" };
                    text += &format!("{above}{}\n", ink.bold(heading));
                }
                Line::Columns => {
                    let names = self.columns.map(|name| vec![name.to_owned()]);
                    text += &row(&names, &widths).iter().map(|line| format!("{HANGING}{}\n", ink.dim(line))).collect::<String>();
                }
                Line::Cells(cells) => {
                    text += &row(cells, &widths).iter().map(|line| format!("{HANGING}{line}\n")).collect::<String>();
                }
                Line::Note(parts) => {
                    let lines = joined(parts, WIDTH - 2 * HANGING.len());
                    text += &lines.iter().map(|line| format!("{HANGING}{HANGING}{}\n", ink.dim(line))).collect::<String>();
                }
            }
        }
        text
    }

    /// The width of each column: as wide as its text, as long as all fit; columns wider than an equal share of the rest are narrowed.
    fn widths(&self) -> [usize; N] {
        let mut natural: [usize; N] = self.columns.map(columns_of);
        for line in &self.lines {
            let Line::Cells(cells) = line else { continue };
            for (width, cell) in natural.iter_mut().zip(cells) {
                *width = cell.iter().map(|paragraph| columns_of(paragraph)).fold(*width, usize::max);
            }
        }
        let mut order: Vec<usize> = (0..N).collect();
        order.sort_by_key(|&column| natural[column]);
        let mut rest = WIDTH - HANGING.len() - GAP * N.saturating_sub(1);
        for (taken, column) in order.into_iter().enumerate() {
            natural[column] = natural[column].min(rest / (N - taken));
            rest -= natural[column];
        }
        natural
    }
}

/// The columns that a text takes: one per character, because no text here has wide or combining characters.
fn columns_of(text: &str) -> usize {
    text.chars().count()
}

/// The lines of one row.
fn row<const N: usize>(cells: &[Vec<String>; N], widths: &[usize; N]) -> Vec<String> {
    let wrapped: Vec<Vec<String>> = cells
        .iter()
        .zip(widths)
        .map(|(cell, &width)| cell.iter().flat_map(|paragraph| wrapped(paragraph, width)).collect())
        .collect();
    let height = wrapped.iter().map(Vec::len).max().unwrap_or(0);
    let gap = " ".repeat(GAP);
    let line = |index: usize| {
        let cells =
            wrapped.iter().zip(widths).map(|(cell, &width)| format!("{:width$}", cell.get(index).map_or("", String::as_str)));
        cells.collect::<Vec<_>>().join(&gap).trim_end().to_owned()
    };
    (0..height).map(line).collect()
}

/// A paragraph in lines of at most `width` columns. Continued lines hang; words wider than a line are cut.
fn wrapped(paragraph: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut is_empty = true;
    for word in words(paragraph) {
        if !is_empty && columns_of(&line) + 1 + columns_of(&word) > width {
            lines.push(std::mem::replace(&mut line, HANGING.to_owned()));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        for character in word.chars() {
            if columns_of(&line) == width {
                lines.push(std::mem::replace(&mut line, HANGING.to_owned()));
            }
            line.push(character);
        }
        is_empty = false;
    }
    lines.push(line);
    lines
}

/// The parts between which a line may end: words, but a number such as `1 000` is one of them.
fn words(paragraph: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in paragraph.split(' ') {
        match words.last_mut() {
            Some(last) if last.ends_with(|c: char| c.is_ascii_digit()) && word.starts_with(|c: char| c.is_ascii_digit()) => {
                *last += &format!(" {word}");
            }
            _ => words.push(word.to_owned()),
        }
    }
    words
}

/// Parts with a dot between them, in lines of at most `width` columns. Only a part that is longer than a line is divided.
fn joined(parts: &[String], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        match lines.last_mut() {
            Some(line) if columns_of(line) + 3 + columns_of(part) <= width => *line += &format!(" · {part}"),
            _ => lines.push(part.clone()),
        }
    }
    lines.iter().flat_map(|line| wrapped(line, width)).collect()
}

#[cfg(test)]
mod tests;
