//! The values of a filter: `a,b`, with `\,` and `\\` for the characters themselves and `\N` for the null group.

use std::collections::BTreeSet;

use tidemark_domain::Group;

/// Most groups one filter lets in.
pub(crate) const GROUPS_MAX: usize = 100;

/// Why a text is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("`\\` stands only in `\\,`, `\\\\`, and the null group `\\N`")]
    Escape,
    #[error("more than {GROUPS_MAX} values")]
    TooMany,
    #[error("the null group `\\N` is not among these")]
    Null,
}

/// The groups a filter lets in. An empty part is the empty text, which a source attribute can be.
///
/// # Errors
/// For an escape there is not, and for too many values.
pub(crate) fn groups(text: &str) -> Result<BTreeSet<Group>, Error> {
    let mut groups = BTreeSet::new();
    let mut rest = text;
    loop {
        let (group, after) = first_group(rest)?;
        groups.insert(group);
        if groups.len() > GROUPS_MAX {
            return Err(Error::TooMany);
        }
        match after {
            Some(after) => rest = after,
            None => return Ok(groups),
        }
    }
}

/// The texts a filter lets in, where there is no null group.
///
/// # Errors
/// As [`groups`], and for the null group.
pub(crate) fn texts(text: &str) -> Result<BTreeSet<String>, Error> {
    let text_of = |group| match group {
        Group::Text(text) => Ok(text),
        Group::Null => Err(Error::Null),
    };
    groups(text)?.into_iter().map(text_of).collect()
}

/// The group before the first separator, and what follows that separator.
fn first_group(text: &str) -> Result<(Group, Option<&str>), Error> {
    if let Some(after) = text.strip_prefix("\\N") {
        return match after.strip_prefix(',') {
            Some(after) => Ok((Group::Null, Some(after))),
            None if after.is_empty() => Ok((Group::Null, None)),
            None => Err(Error::Escape),
        };
    }
    let mut group = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next() {
            None => return Ok((Group::Text(group), None)),
            Some(',') => return Ok((Group::Text(group), Some(chars.as_str()))),
            Some('\\') => match chars.next() {
                Some(literal @ (',' | '\\')) => group.push(literal),
                _ => return Err(Error::Escape),
            },
            Some(other) => group.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(group: &Group) -> String {
        match group {
            Group::Null => "\\N".to_owned(),
            Group::Text(text) => text.replace('\\', "\\\\").replace(',', "\\,"),
        }
    }

    #[test]
    fn null_and_separators_can_be_written() {
        let text = |text: &str| Group::Text(text.to_owned());
        assert_eq!(groups(r"a,b\,c,\N,\\N"), Ok(BTreeSet::from([text("a"), text("b,c"), Group::Null, text("\\N")])));
        assert_eq!(groups(""), Ok(BTreeSet::from([text("")])));
        assert_eq!(groups("a,"), Ok(BTreeSet::from([text("a"), text("")])));
        for bad in [r"\", r"a\", r"\n", r"\Nx", r"a\N"] {
            assert_eq!(groups(bad), Err(Error::Escape), "{bad}");
        }
        assert_eq!(texts(r"a,b\,c"), Ok(BTreeSet::from(["a".to_owned(), "b,c".to_owned()])));
        assert_eq!(texts(r"a,\N"), Err(Error::Null));
        let many: Vec<String> = (0..=GROUPS_MAX).map(|n| n.to_string()).collect();
        assert_eq!(groups(&many.join(",")), Err(Error::TooMany));
    }

    proptest! {
        #[test]
        fn any_group_can_be_asked_for(asked in prop::collection::btree_set(
            prop_oneof![Just(Group::Null), r"[a,\\N]{0,4}".prop_map(Group::Text)], 1..5,
        )) {
            let text: Vec<String> = asked.iter().map(escaped).collect();
            prop_assert_eq!(groups(&text.join(",")), Ok(asked));
        }
    }
}
