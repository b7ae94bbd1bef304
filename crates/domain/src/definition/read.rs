//! read
use super::Definitions;
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {}
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {}
pub(super) fn definitions(_text: &str) -> Result<Definitions, Invalid> {
    Err(Invalid {})
}
