//! Levels are listed in the order asked for, and changed by one at a time.

use tidemark_domain::LevelKey;
use tidemark_store::{CommitError, LevelCursor, LevelPage, LevelQuery, LevelRow, LevelWrite, LevelsBy};

use super::{Shelf, at, inventory, level, level_key, tenant};

async fn all(shelf: &Shelf, by: LevelsBy, limit: usize) -> Vec<(LevelKey, LevelRow)> {
    let (mut rows, mut after): (Vec<_>, Option<LevelCursor>) = (Vec::new(), None);
    loop {
        let query = LevelQuery { by: by.clone(), after, limit };
        let LevelPage { rows: page, next, places } = shelf.store.levels(&shelf.tenant, &inventory(), &query).await.unwrap();
        assert!(!page.is_empty() && page.len() <= limit);
        assert_eq!(places.len(), page.len());
        rows.extend(page);
        // A client sees the text alone.
        after = match next {
            Some(cursor) => Some(LevelCursor::of_text(cursor.as_str())),
            None => return rows,
        };
    }
}

#[tokio::test]
async fn levels_are_in_the_order_of_what_is_available() {
    let shelf = Shelf::new().await;
    let rising = [
        "-1000000000000000000000000000",
        "-12",
        "-2",
        "-1.5",
        "-1.49",
        "0",
        "0.00000000000000000001",
        "0.5",
        "3",
        "3",
        "20",
        "100",
    ];
    // Written in another order: items are named so that their keys fall as the levels rise.
    for (index, available) in rising.iter().enumerate().rev() {
        shelf.commit(&format!("item-{:02}", 99 - index), available).await;
    }
    for limit in [1, 5, 12, 100] {
        let rows = all(&shelf, LevelsBy::Available, limit).await;
        let available: Vec<String> = rows.iter().map(|(_, row)| row.level.available().to_string()).collect();
        assert_eq!(available, rising, "pages of {limit}");
    }
    shelf.commit("item-99", "50").await;
    let rows = all(&shelf, LevelsBy::Available, 100).await;
    assert_eq!(rows[10].0, level_key("item-99"), "a level that changes moves");
}

#[tokio::test]
async fn an_item_has_its_own_locations_only() {
    let shelf = Shelf::new().await;
    let mut decisions = tidemark_store::Decisions::default();
    for (item, location) in [("a", "x"), ("a", "y#z"), ("a#x", "x"), ("ab", "x"), ("", "x")] {
        let key = LevelKey { item: item.to_owned(), location: location.to_owned(), ..level_key("") };
        let row = LevelRow { level: level("1"), standing: Default::default(), updated_at: at(0), version: 1 };
        decisions.levels.push(LevelWrite { key, seen: None, row: Some(row) });
    }
    shelf.send(decisions.clone()).await.unwrap();
    let locations = async |item: &str| {
        let rows = all(&shelf, LevelsBy::Item(item.to_owned()), 1).await;
        rows.into_iter().map(|(key, _)| (key.item, key.location)).collect::<Vec<_>>()
    };
    let pair = |item: &str, location: &str| (item.to_owned(), location.to_owned());
    assert_eq!(locations("a").await, [pair("a", "x"), pair("a", "y#z")]);
    assert_eq!(locations("").await, [pair("", "x")]);
    assert_eq!(all(&shelf, LevelsBy::Key, 2).await.len(), 5);

    let keys: Vec<LevelKey> = decisions.levels.iter().map(|write| write.key.clone()).chain([level_key("none")]).collect();
    let rows = shelf.store.level_rows(&keys).await.unwrap();
    assert_eq!(rows.len(), 5);
    let query = LevelQuery { by: LevelsBy::Item("x".repeat(2000)), after: None, limit: 10 };
    assert!(shelf.store.levels(&shelf.tenant, &inventory(), &query).await.unwrap().rows.is_empty(), "no key is that long");
    assert_eq!(shelf.store.level(&tenant("rival"), &keys[0]).await.unwrap(), None);
}

#[tokio::test]
async fn a_row_is_changed_only_as_it_was_read() {
    let shelf = Shelf::new().await;
    let (first, _) = shelf.decided("tea", "5").await;
    shelf.send(first.clone()).await.unwrap();
    let again = shelf.send(first).await;
    assert!(matches!(again, Err(CommitError::DecisionsStale(_))), "a row that was not there is: {again:?}");

    let (stale, _) = shelf.decided("tea", "4").await;
    let (row, _) = shelf.commit("tea", "3").await;
    assert!(matches!(shelf.send(stale).await, Err(CommitError::DecisionsStale(_))));
    let gone = LevelWrite { key: level_key("tea"), seen: Some(row.version - 1), row: None };
    let delete = |write: LevelWrite| tidemark_store::Decisions { levels: vec![write], ..Default::default() };
    assert!(matches!(shelf.send(delete(gone.clone())).await, Err(CommitError::DecisionsStale(_))));
    shelf.send(delete(LevelWrite { seen: Some(row.version), ..gone })).await.unwrap();
    assert_eq!(shelf.store.level(&shelf.tenant, &level_key("tea")).await.unwrap(), None);
    let (row, _) = shelf.commit("tea", "3").await;
    assert_eq!(shelf.store.level(&shelf.tenant, &level_key("tea")).await.unwrap(), Some(row));
}
