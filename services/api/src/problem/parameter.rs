//! One wrong parameter: which, why, and what would be allowed.

use axum::http::StatusCode;

use super::ParameterProblem;

/// A parameter that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParameterError {
    pub parameter: String,
    pub code: Code,
    pub detail: String,
    /// Empty where the detail says it better.
    pub allowed: Vec<String>,
}

/// Why a parameter or a field is refused. The first six are about its form (400), the others about its meaning (422).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    UnknownParameter,
    DuplicateParameter,
    InvalidValue,
    InvalidCursor,
    UnknownField,
    MissingField,
    UnknownTimeZone,
    UnknownMeasure,
    UnknownDimension,
    EmptyRange,
    UnalignedRange,
    RangeUnavailable,
    GroupingNotStored,
    QueryTooLarge,
    UnknownInventory,
    InvalidScope,
    InvalidThreshold,
    RepeatTooOften,
    UnfitInstant,
    UnfitDuration,
    UrlRefused,
    HeaderRefused,
}

impl Code {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::UnknownParameter => "unknown_parameter",
            Self::DuplicateParameter => "duplicate_parameter",
            Self::InvalidValue => "invalid_value",
            Self::InvalidCursor => "invalid_cursor",
            Self::UnknownField => "unknown_field",
            Self::MissingField => "missing_field",
            Self::UnknownTimeZone => "unknown_time_zone",
            Self::UnknownMeasure => "unknown_measure",
            Self::UnknownDimension => "unknown_dimension",
            Self::EmptyRange => "empty_range",
            Self::UnalignedRange => "unaligned_range",
            Self::RangeUnavailable => "range_unavailable",
            Self::GroupingNotStored => "grouping_not_stored",
            Self::QueryTooLarge => "query_too_large",
            Self::UnknownInventory => "unknown_inventory",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidThreshold => "invalid_threshold",
            Self::RepeatTooOften => "repeat_too_often",
            Self::UnfitInstant => "unfit_instant",
            Self::UnfitDuration => "unfit_duration",
            Self::UrlRefused => "url_refused",
            Self::HeaderRefused => "header_refused",
        }
    }

    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::UnknownParameter
            | Self::DuplicateParameter
            | Self::InvalidValue
            | Self::InvalidCursor
            | Self::UnknownField
            | Self::MissingField => StatusCode::BAD_REQUEST,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

impl ParameterError {
    pub(crate) fn new(parameter: impl Into<String>, code: Code, detail: impl Into<String>) -> Self {
        Self { parameter: parameter.into(), code, detail: detail.into(), allowed: Vec::new() }
    }

    /// Names what would be allowed.
    pub(crate) fn allowing(mut self, allowed: impl IntoIterator<Item: Into<String>>) -> Self {
        self.allowed = allowed.into_iter().map(Into::into).collect();
        self
    }
}

impl From<ParameterError> for ParameterProblem {
    fn from(error: ParameterError) -> Self {
        let ParameterError { parameter, code, detail, allowed } = error;
        Self { parameter, code: code.as_str().to_owned(), detail, allowed }
    }
}
