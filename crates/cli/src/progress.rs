//! Progress of work that takes a while: a spinner on a terminal, plain lines elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tidemark_runtime::process::Failure;

use crate::output::say;

const FRAME: Duration = Duration::from_millis(100);

/// Whether somebody wants to see it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Progress {
    Shown,
    Silent,
}

impl Progress {
    /// Waits for a table to be created. On AWS that takes 10 to 30 seconds.
    pub(crate) async fn of_table<T, E: Into<Failure>>(
        self,
        table: &str,
        creating: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        let spinner = match self {
            // Hides itself where standard error is no terminal.
            Self::Shown => ProgressBar::new_spinner().with_message(format!("table {table}: creating")),
            Self::Silent => ProgressBar::hidden(),
        };
        spinner.set_style(ProgressStyle::with_template("{spinner} {msg} ({elapsed})").expect("a valid template"));
        spinner.enable_steady_tick(FRAME);
        let created = creating.await;
        spinner.finish_and_clear();
        created.map_err(Into::into)
    }

    /// Counts rows that are read, for as long as it is there.
    pub(crate) fn of_rows(table: &str) -> ProgressBar {
        let spinner = ProgressBar::new_spinner().with_message(format!("table {table}"));
        spinner
            .set_style(ProgressStyle::with_template("{spinner} {msg}: {human_pos} rows ({elapsed})").expect("a valid template"));
        spinner.enable_steady_tick(FRAME);
        spinner
    }

    /// Tells what came of a table.
    pub(crate) fn table_is_there(self, table: &str, is_new: bool, warnings: &[String]) {
        self.say(&format!("table {table}: {}", if is_new { "created" } else { "exists already" }));
        self.warn(warnings);
    }

    /// Warns on standard error.
    pub(crate) fn warn(self, warnings: &[String]) {
        if let Self::Shown = self {
            for warning in warnings {
                eprintln!("warning: {warning}");
            }
        }
    }

    /// Prints a line.
    pub(crate) fn say(self, line: &str) {
        match self {
            Self::Shown => say!("{line}"),
            Self::Silent => tracing::debug!("{line}"),
        }
    }
}
