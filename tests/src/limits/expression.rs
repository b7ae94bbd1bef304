//! Limits of expressions.

use serde_json::Value;

use super::{Exceeded, refused, text};

/// Longest expression, as it is written, in bytes.
const EXPRESSION_BYTES_MAX: usize = 4096;
/// Most operators and functions of an expression. AWS states it for updates and holds every expression to it.
const OPERATORS_MAX: usize = 300;

const EXPRESSIONS: [&str; 5] =
    ["ConditionExpression", "UpdateExpression", "KeyConditionExpression", "FilterExpression", "ProjectionExpression"];

/// Checks every expression of a request.
pub(super) fn check(request: &Value) -> Result<(), Exceeded> {
    for name in EXPRESSIONS {
        let expression = text(&request[name]);
        if expression.len() > EXPRESSION_BYTES_MAX {
            return refused(format!(
                "Invalid {name}: Expression size has exceeded the maximum allowed size; expression size: {}",
                expression.len()
            ));
        }
        let operators = operators(name, expression);
        if operators > OPERATORS_MAX {
            return refused(format!("Invalid {name}: The expression contains too many operators; operator count: {operators}"));
        }
    }
    Ok(())
}

/// The words of an expression: names and placeholders, each parenthesis, each comma, and each operator.
pub(super) fn tokens(expression: &str) -> Vec<&str> {
    let (mut tokens, mut rest) = (Vec::new(), expression.trim_start());
    while let Some(first) = rest.chars().next() {
        let class = Class::of(first);
        let end = rest.find(|next| class == Class::Alone || Class::of(next) != class).unwrap_or(rest.len());
        let (token, after) = rest.split_at(end.max(first.len_utf8()));
        tokens.push(token);
        rest = after.trim_start();
    }
    tokens
}

/// How many operators and functions an expression has, about as AWS counts them. An assignment of an update is none: AWS's own example has
/// `SET a = :val1 + :val2 + :val3` contain two.
fn operators(name: &str, expression: &str) -> usize {
    let tokens = tokens(expression);
    let is_function = |at: usize| {
        tokens.get(at + 1) == Some(&"(") && tokens[at].chars().all(|letter| letter == '_' || letter.is_ascii_lowercase())
    };
    let is_operator = |token: &str| match token {
        "=" => name != "UpdateExpression",
        "<" | "<=" | ">" | ">=" | "<>" | "+" | "-" => true,
        word => ["AND", "OR", "NOT", "BETWEEN", "IN"].iter().any(|operator| word.eq_ignore_ascii_case(operator)),
    };
    (0..tokens.len()).filter(|at| is_operator(tokens[*at]) || is_function(*at)).count()
}

#[derive(Debug, PartialEq, Eq)]
enum Class {
    Word,
    Comparison,
    Space,
    /// A token of one character.
    Alone,
}

impl Class {
    fn of(character: char) -> Self {
        match character {
            '=' | '<' | '>' => Self::Comparison,
            '(' | ')' | ',' | '+' | '-' => Self::Alone,
            character if character.is_whitespace() => Self::Space,
            _ => Self::Word,
        }
    }
}
