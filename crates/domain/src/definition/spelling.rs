//! Lists of what is allowed, and the name that was probably meant.

/// Most names a message lists.
const LISTED_MAX: usize = 16;

/// Names as a message lists them, followed by the one nearest to what was written, when one is near.
pub(super) fn allowed<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().collect();
    if names.is_empty() {
        return "none".to_owned();
    }
    let mut text = names.iter().take(LISTED_MAX).copied().collect::<Vec<_>>().join(", ");
    if names.len() > LISTED_MAX {
        text.push_str(", …");
    }
    if let Some(nearest) = nearest(written, &names) {
        text.push_str(&format!("; did you mean `{nearest}`?"));
    }
    text
}

/// The name that about a third of its letters, at most two, keep from what was written.
fn nearest<'a>(written: &str, names: &[&'a str]) -> Option<&'a str> {
    names
        .iter()
        .map(|&name| (distance(written, name), name))
        .filter(|(distance, name)| *distance <= ((name.len() + 1) / 3).clamp(1, 2))
        .min()
        .map(|(_, name)| name)
}

/// How many letters must be put in, left out or exchanged to make one text the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let exchanged = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = exchanged.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_offered_and_a_far_one_is_not() {
        assert_eq!(allowed("meassures", ["source", "measures"]), "source, measures; did you mean `measures`?");
        assert_eq!(allowed("wheer", ["where"]), "where; did you mean `where`?", "two letters exchanged");
        assert_eq!(allowed("colour", ["source", "measures"]), "source, measures");
        assert_eq!(allowed("on", ["in"]), "in; did you mean `in`?");
        assert_eq!(allowed("x", []), "none");
    }
}
