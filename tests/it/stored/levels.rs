//! Levels are listed in the order asked for, and changed by one at a time.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use tidemark_domain::LevelKey;
use tidemark_store::{CommitError, LevelCursor, LevelPage, LevelQuery, LevelRow, LevelWrite, LevelsBy};
use tidemark_tests::deployment::tables;

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

/// Where the index has each level, by its item: partition and sort key.
async fn index_entries(shelf: &Shelf) -> BTreeMap<String, (String, String)> {
    let query = shelf.world.dynamodb().query().table_name(tables().data).key_condition_expression("pk = :pk");
    let query = query.expression_attribute_values(":pk", AttributeValue::S("T#acme#I#stock".to_owned()));
    let rows = query.send().await.unwrap();
    let text = |row: &HashMap<String, AttributeValue>, name: &str| row[name].as_s().unwrap().clone();
    let entry = |row| {
        let sk = text(row, "sk");
        (sk.trim_end_matches("#main").to_owned(), (text(row, "index_pk"), text(row, "index_sk")))
    };
    rows.items().iter().map(entry).collect()
}

#[tokio::test]
async fn entries_from_before_the_spread_are_in_one_list_with_the_others() {
    let shelf = Shelf::new().await;
    for item in 0..40 {
        // Some pairs are equal.
        shelf.commit(&format!("i{item:02}"), &((item * 7 % 40) / 2).to_string()).await;
    }
    let new = index_entries(&shelf).await;
    let partitions: BTreeSet<&String> = new.values().map(|(pk, _)| pk).collect();
    assert!(partitions.iter().map(|pk| pk.as_str()).eq(["0", "1", "2", "3"].map(|of| "T#acme#I#stock#".to_owned() + of)));
    let mut expected: Vec<&String> = new.values().map(|(_, sk)| sk).collect();
    expected.sort();
    // None, some, and all of the levels as binaries before the spread wrote them.
    for old in [0, 13, 40] {
        for item in new.keys().take(old) {
            shelf.index_as_before(item).await;
        }
        for limit in [1, 3, 10, 39, 40, 100] {
            let places = places(&shelf, limit).await;
            assert!(places.iter().eq(expected.iter().copied()), "{old} old entries, pages of {limit}: {places:?}");
        }
    }
    let before = index_entries(&shelf).await;
    assert_eq!(before["i07"].0, "T#acme#I#stock");
    shelf.commit("i07", "1000").await;
    assert_eq!(index_entries(&shelf).await["i07"].0, new["i07"].0, "a level that is written again leaves the old partition");
    let rows = all(&shelf, LevelsBy::Available, 7).await;
    assert_eq!((rows.len(), &rows[39].0), (40, &level_key("i07")));
}

/// The places of all levels in the order of what is available. Each is the text of a cursor after it, as it always was: the entry's
/// sort key.
async fn places(shelf: &Shelf, limit: usize) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    loop {
        let after = found.last().map(|place| LevelCursor::of_text(place));
        let query = LevelQuery { by: LevelsBy::Available, after, limit };
        let page = shelf.store.levels(&shelf.tenant, &inventory(), &query).await.unwrap();
        found.extend(page.places.iter().map(|place| place.as_str().to_owned()));
        if page.next.is_none() {
            return found;
        }
        assert_eq!(page.places.len(), limit);
    }
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
