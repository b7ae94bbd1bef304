//! IAM, as far as the policies of `deploy/iam` use it: statements that allow, resources with wildcards, conditions on leading keys.
//!
//! A document that says anything else is refused, so nothing in it is overlooked. `access.rs` says what a call asks for;
//! who calls, and what becomes of a call that nothing allows, is the front's.

mod access;

use std::fmt;

use serde::Deserialize;

pub use access::Access;

/// A policy, with its placeholders: `REGION`, `ACCOUNT`, and `SOURCE_TABLE` for any table that is not Tidemark's own.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Policy {
    #[serde(rename = "Version")]
    _version: Version,
    statement: Vec<Statement>,
}

/// Something that a statement says, and without which it allows less.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    sid: String,
    kind: Kind,
    /// As the document has it.
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Action,
    Resource,
    LeadingKey,
}

#[derive(Debug, Clone, Deserialize)]
enum Version {
    #[serde(rename = "2012-10-17")]
    Current,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Statement {
    sid: String,
    #[serde(rename = "Effect")]
    _effect: Effect,
    action: Texts,
    resource: Texts,
    condition: Option<Condition>,
}

#[derive(Debug, Clone, Deserialize)]
enum Effect {
    Allow,
}

/// The one condition there is: the call has leading keys, and each is like one of these. Without `Null`, a call that has none
/// would be let through, for `ForAllValues` holds for no values at all.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    #[serde(rename = "ForAllValues:StringLike")]
    each_like: OfLeadingKeys<Texts>,
    #[serde(rename = "Null")]
    _none: OfLeadingKeys<No>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfLeadingKeys<T> {
    #[serde(rename = "dynamodb:LeadingKeys")]
    value: T,
}

#[derive(Debug, Clone, Deserialize)]
enum No {
    #[serde(rename = "false")]
    False,
}

/// One text or a list of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "OneOrMany")]
struct Texts(Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Policy {
    /// Reads a document.
    ///
    /// # Panics
    /// When it is none, or says what this does not know.
    pub fn parse(document: &str) -> Self {
        serde_json::from_str(document).unwrap_or_else(|error| panic!("{error}: {document}"))
    }

    /// What of a statement allows it: one statement alone, for IAM puts no two together. `None`: it is refused.
    pub fn grounds(&self, access: &Access) -> Option<Vec<Part>> {
        self.statement.iter().find_map(|statement| statement.grounds(access))
    }

    /// Everything its statements say.
    pub fn parts(&self) -> Vec<Part> {
        self.statement.iter().flat_map(Statement::parts).collect()
    }

    /// Every action of a statement with every leading key or, where there is none, every resource that it goes with.
    pub fn pairs(&self) -> Vec<[Part; 2]> {
        let of_statement = |statement: &Statement| {
            let parts = statement.parts();
            let with = if statement.condition.is_some() { Kind::LeadingKey } else { Kind::Resource };
            let objects: Vec<Part> = parts.iter().filter(|part| part.kind == with).cloned().collect();
            let actions = parts.into_iter().filter(Part::is_action);
            actions.flat_map(|action| objects.iter().map(|object| [action.clone(), object.clone()]).collect::<Vec<_>>()).collect()
        };
        self.statement.iter().flat_map::<Vec<_>, _>(of_statement).collect()
    }

    /// The policy without something that it says.
    #[must_use]
    pub fn without(&self, part: &Part) -> Self {
        let mut less = self.clone();
        for statement in less.statement.iter_mut().filter(|statement| statement.sid == part.sid) {
            let texts = match part.kind {
                Kind::Action => Some(&mut statement.action),
                Kind::Resource => Some(&mut statement.resource),
                Kind::LeadingKey => statement.condition.as_mut().map(|condition| &mut condition.each_like.value),
            };
            texts.into_iter().for_each(|texts| texts.0.retain(|text| *text != part.text));
        }
        less
    }
}

impl Statement {
    fn grounds(&self, access: &Access) -> Option<Vec<Part>> {
        let keys = access.leading_keys();
        let (action, resource) = (access.action(), access.resource());
        if !self.action.0.iter().any(|allowed| allowed == action) {
            return None;
        }
        let is_ground = |part: &Part| match part.kind {
            // No action has a wildcard, by test.
            Kind::Action => part.text == action,
            Kind::Resource => is_like(&part.text, &resource),
            Kind::LeadingKey => keys.iter().any(|key| is_like(&part.text, key)),
        };
        let grounds: Vec<Part> = self.parts().into_iter().filter(is_ground).collect();
        let fits_resource = grounds.iter().any(|part| part.kind == Kind::Resource);
        let keys_fit = |condition: &Condition| {
            !keys.is_empty() && keys.iter().all(|key| condition.each_like.value.0.iter().any(|pattern| is_like(pattern, key)))
        };
        let is_allowed = fits_resource && self.condition.as_ref().is_none_or(keys_fit);
        is_allowed.then_some(grounds)
    }

    fn parts(&self) -> Vec<Part> {
        let of = |kind, texts: &Texts| -> Vec<Part> {
            texts.0.iter().map(|text| Part { sid: self.sid.clone(), kind, text: text.clone() }).collect()
        };
        let mut parts = of(Kind::Action, &self.action);
        parts.extend(of(Kind::Resource, &self.resource));
        parts.extend(self.condition.iter().flat_map(|condition| of(Kind::LeadingKey, &condition.each_like.value)));
        parts
    }
}

impl Part {
    /// An action that a statement allows.
    pub fn action(sid: &str, action: &str) -> Self {
        Self { sid: sid.to_owned(), kind: Kind::Action, text: action.to_owned() }
    }

    pub fn is_action(&self) -> bool {
        self.kind == Kind::Action
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.sid, self.text)
    }
}

impl From<OneOrMany> for Texts {
    fn from(texts: OneOrMany) -> Self {
        match texts {
            OneOrMany::One(text) => Self(vec![text]),
            OneOrMany::Many(texts) => Self(texts),
        }
    }
}

/// `StringLike`: `*` stands for any text, also none. The policies have no `?`.
fn is_like(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(start) else { return false };
    text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| is_like(rest, &text[at..]))
}
