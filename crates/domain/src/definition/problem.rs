//! What is wrong with a definition file, and where.

use std::fmt;

/// Most problems told at once; a file with more is another kind of file.
const PROBLEMS_MAX: usize = 100;

/// One thing wrong with a definition file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Counted from 1.
    pub line: usize,
    /// The way to the place from the top of the file, such as `metrics.sales.where[0]`; empty at the top itself.
    pub path: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// The text is no valid definition file: all its problems, in the order of their lines. Shown one a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Invalid(Vec<Problem>);

impl Invalid {
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.line);
        if problems.len() > PROBLEMS_MAX {
            let line = problems[PROBLEMS_MAX].line;
            let message = format!("{} more problems follow", problems.len() - PROBLEMS_MAX);
            problems.truncate(PROBLEMS_MAX);
            problems.push(Problem { line, path: String::new(), message });
        }
        Self(problems)
    }

    /// At least one.
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}
