//! What a question costs its tenant: tokens of the bucket that its requests take one each from. Pure.

/// So many Queries cost as much as one request. Each is a consistent read: one read unit at least.
const QUERIES_PER_TOKEN: u64 = 4;
/// So many rows that are read do.
const ROWS_PER_TOKEN: u64 = 250;

/// What reading the answer takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    pub queries: u64,
    pub rows: u64,
}

impl Cost {
    /// Beyond the token that every request takes.
    pub(crate) fn tokens(self) -> u32 {
        let parts = self.queries * ROWS_PER_TOKEN + self.rows * QUERIES_PER_TOKEN;
        let tokens = parts.div_ceil(QUERIES_PER_TOKEN * ROWS_PER_TOKEN);
        u32::try_from(tokens.saturating_sub(1)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_question_costs_its_request_and_a_large_one_by_queries_and_rows() {
        let tokens = |queries, rows| Cost { queries, rows }.tokens() + 1;
        assert_eq!([tokens(0, 0), tokens(3, 0), tokens(4, 0), tokens(3, 62)], [1; 4]);
        assert_eq!([tokens(3, 63), tokens(4, 1), tokens(5, 0), tokens(0, 251)], [2; 4]);
        assert_eq!([tokens(1_000, 0), tokens(0, 100_000), tokens(1_000, 100_000)], [250, 400, 650]);
    }
}
