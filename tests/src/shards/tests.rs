//! Laws of the model, and its answers one by one.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;

use super::*;

const ARN: &str = "arn:aws:dynamodb:eu-west-1:123456789012:table/Orders";

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_760_000_000_000 + ms).unwrap()
}

fn change(key: u32, value: usize) -> Value {
    let second = at(0).as_second() + i64::try_from(value).unwrap();
    json!({
        "eventName": "MODIFY",
        "userIdentity": { "type": "Service", "principalId": "dynamodb.amazonaws.com" },
        "dynamodb": {
            "Keys": { "id": { "S": key.to_string() } }, "NewImage": { "value": { "N": value.to_string() } },
            "SequenceNumber": "the emulator's", "SizeBytes": 100, "ApproximateCreationDateTime": second,
        },
    })
}

fn table(shards: usize) -> TableStreams {
    TableStreams::new(ARN, "NEW_AND_OLD_IMAGES", shards, 7, at(0))
}

fn value_of(record: &Value) -> usize {
    record["dynamodb"]["NewImage"]["value"]["N"].as_str().unwrap().parse().unwrap()
}

fn number_of(record: &Value) -> String {
    record["dynamodb"]["SequenceNumber"].as_str().unwrap().to_owned()
}

/// Lists all shards with their parents, page by page.
fn lineage(table: &mut TableStreams, arn: &str) -> BTreeMap<String, Option<String>> {
    let mut lineage = BTreeMap::new();
    let mut after: Option<String> = None;
    loop {
        let answer = table.describe(arn, Listing { after: after.as_deref(), ..Listing::default() }, at(0)).unwrap();
        let description = &answer["StreamDescription"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let shards = description["Shards"].as_array().unwrap();
        lineage.extend(shards.iter().map(|shard| (text(&shard["ShardId"]).unwrap(), text(&shard["ParentShardId"]))));
        after = text(&description["LastEvaluatedShardId"]);
        if after.is_none() {
            return lineage;
        }
    }
}

/// A consumer that keeps to the rule: a shard is begun when its parent is at its end.
#[derive(Default)]
struct Consumer {
    records: Vec<Value>,
    iterators: BTreeMap<String, String>,
    finished: BTreeSet<String>,
}

impl Consumer {
    /// Reads one page of each shard that may be read. Whether it found anything.
    fn read(&mut self, table: &mut TableStreams, now: Timestamp) -> bool {
        let arn = table.arn().to_owned();
        let mut found = false;
        for (shard, parent) in lineage(table, &arn) {
            if self.finished.contains(&shard) || parent.is_some_and(|parent| !self.finished.contains(&parent)) {
                continue;
            }
            let begin = || table.iterator(&arn, &shard, StartAt::TrimHorizon, now).unwrap();
            let iterator = self.iterators.remove(&shard).unwrap_or_else(begin);
            let page = table.page(&iterator, None, now).unwrap();
            found |= !page.records.is_empty() || page.next.is_none();
            self.records.extend(page.records);
            match page.next {
                Some(next) => drop(self.iterators.insert(shard, next)),
                None => drop(self.finished.insert(shard)),
            }
        }
        found
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append(u32),
    Rotate(prop::sample::Index),
    Split(prop::sample::Index),
    RotateAll,
    Read,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..9_u32).prop_map(Step::Append),
        1 => any::<prop::sample::Index>().prop_map(Step::Rotate),
        1 => any::<prop::sample::Index>().prop_map(Step::Split),
        1 => Just(Step::RotateAll),
        2 => Just(Step::Read),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn reading_parents_before_children_gives_every_record_once_and_each_items_in_order(
        steps in prop::collection::vec(step(), 1..120),
        (shards, seed) in (1..5_usize, any::<u64>()),
        (records_max, listed_max, empty_pages) in (1..6_usize, 1..6_usize, 0..3_u32),
        late_listings in 0..3_u32,
    ) {
        let mut table = TableStreams::new(ARN, "NEW_AND_OLD_IMAGES", shards, seed, at(0));
        table.rules = Rules { records_max, listed_max, empty_pages, late_listings, ..Rules::default() };
        let (mut consumer, mut written) = (Consumer::default(), BTreeMap::<u32, Vec<usize>>::new());
        for (count, step) in steps.into_iter().enumerate() {
            let now = at(i64::try_from(count / 3).unwrap());
            let open = table.open_shards();
            match step {
                Step::Append(key) => {
                    table.append(&change(key, count));
                    written.entry(key).or_default().push(count);
                }
                Step::Rotate(index) => drop(table.rotate(index.get::<String>(&open), now)),
                Step::Split(index) => drop(table.split(index.get::<String>(&open), now)),
                Step::RotateAll => table.rotate_all(now),
                Step::Read => drop(consumer.read(&mut table, now)),
            }
        }
        let mut quiet = 0;
        while quiet < 10 {
            quiet = if consumer.read(&mut table, at(1000)) { 0 } else { quiet + 1 };
        }
        let mut read = BTreeMap::<u32, Vec<usize>>::new();
        for record in &consumer.records {
            let key = record["dynamodb"]["Keys"]["id"]["S"].as_str().unwrap().parse().unwrap();
            read.entry(key).or_default().push(value_of(record));
        }
        prop_assert_eq!(read, written);
        let numbers: BTreeSet<_> = consumer.records.iter().map(number_of).collect();
        prop_assert_eq!(numbers.len(), consumer.records.len(), "no number is given twice");
    }
}

#[test]
fn items_spread_over_the_shards_and_all_records_of_one_lie_in_one() {
    let mut table = table(4);
    (0..40).for_each(|key| table.append(&change(key, 0)));
    let records = |table: &TableStreams| table.shards().iter().map(|shard| table.records_of(shard)).collect::<Vec<_>>();
    assert!(records(&table).iter().all(|count| *count > 2), "{:?}", records(&table));
    let before = records(&table);
    (0..10).for_each(|value| table.append(&change(7, value)));
    let grown = records(&table).iter().zip(before).filter(|(after, before)| **after > *before).count();
    assert_eq!(grown, 1);
}

#[test]
fn numbers_of_a_shard_rise_by_value_and_not_as_text() {
    let mut table = table(1);
    for value in 0..500 {
        table.append(&change(0, value));
    }
    let numbers: Vec<_> = table.current().shards[0].records.iter().map(|record| record.number.clone()).collect();
    assert!(numbers.iter().all(|number| (21..=40).contains(&number.len())), "{numbers:?}");
    assert!(numbers.windows(2).all(|pair| (pair[0].len(), &pair[0]) < (pair[1].len(), &pair[1])), "{numbers:?}");
    assert!(numbers.windows(2).any(|pair| pair[0] > pair[1]), "as text some would be in the wrong order");
}

#[test]
fn a_records_images_and_identity_stay_and_its_number_is_a_new_one() {
    let mut table = table(1);
    table.append(&change(1, 2));
    let iterator = table.iterator(table.arn(), &table.shards()[0], StartAt::TrimHorizon, at(0)).unwrap();
    let mut record = table.page(&iterator, None, at(0)).unwrap().records.remove(0);
    assert_ne!(number_of(&record), "the emulator's");
    record["dynamodb"]["SequenceNumber"] = "the emulator's".into();
    assert_eq!(record, change(1, 2));
}

#[test]
fn shards_and_streams_are_named_as_aws_names_them() {
    let mut table = table(2);
    assert_eq!(table.arn(), format!("{ARN}/stream/2025-10-09T08:53:20.000"));
    let shard = table.shards()[0].clone();
    let [prefix, ms, hash] = shard.split('-').collect::<Vec<_>>()[..] else { panic!("{shard}") };
    assert_eq!((prefix, ms, hash.len()), ("shardId", "00000001760000000000", 8));
    let arn = table.new_arn(at(0));
    assert!(arn.ends_with("/stream/2025-10-09T08:53:20.001"), "a new stream never has an old one's name: {arn}");
}

#[test]
fn the_last_page_of_a_closed_shard_carries_records_and_no_iterator() {
    let mut table = table(1);
    let (arn, shard) = (table.arn().to_owned(), table.shards()[0].clone());
    table.append(&change(1, 1));
    let iterator = table.iterator(&arn, &shard, StartAt::TrimHorizon, at(0)).unwrap();
    assert!(table.page(&iterator, None, at(0)).unwrap().next.is_some(), "an open shard goes on");
    table.rotate(&shard, at(1));
    let page = table.page(&iterator, None, at(1)).unwrap();
    assert_eq!((page.records.len(), page.next), (1, None));
    table.rules.parents_look_open = true;
    assert!(table.page(&iterator, None, at(1)).unwrap().next.is_some(), "it looks open though its child is listed");
}

#[test]
fn iterators_begin_where_they_are_asked_to() {
    let mut table = table(1);
    let (arn, shard) = (table.arn().to_owned(), table.shards()[0].clone());
    (0..5).for_each(|value| table.append(&change(1, value)));
    let numbers: Vec<_> = table.current().shards[0].records.iter().map(|record| record.number.clone()).collect();
    let first = table.current().shards[0].first.clone();
    let now = at(60_000);
    let values = |start| {
        let iterator = table.iterator(&arn, &shard, start, now).unwrap();
        table.page(&iterator, None, now).unwrap().records.iter().map(value_of).collect::<Vec<_>>()
    };
    assert_eq!(values(StartAt::TrimHorizon), [0, 1, 2, 3, 4]);
    assert_eq!(values(StartAt::At(&numbers[3])), [3, 4]);
    assert_eq!(values(StartAt::After(&numbers[3])), [4]);
    assert_eq!(values(StartAt::At(&first)), [0, 1, 2, 3, 4]);
    assert!(values(StartAt::Latest).is_empty());
    assert_eq!(values(StartAt::Time(at(2000).as_duration().as_secs_f64())), [2, 3, 4]);
    let refused = |start| table.iterator(&arn, &shard, start, now).unwrap_err().code;
    assert_eq!(refused(StartAt::At("5")), "ValidationException");
    assert_eq!(refused(StartAt::Time(at(61_000).as_duration().as_secs_f64())), "ValidationException");
    table.rules.knows_at_timestamp = false;
    assert!(table.iterator(&arn, &shard, StartAt::Time(0.0), now).is_err());
}

#[test]
fn what_is_trimmed_is_refused_by_number_and_by_iterator_and_skipped_by_trim_horizon() {
    let mut table = table(1);
    let (arn, shard) = (table.arn().to_owned(), table.shards()[0].clone());
    (0..5).for_each(|value| table.append(&change(1, value)));
    let numbers: Vec<_> = table.current().shards[0].records.iter().map(|record| record.number.clone()).collect();
    let before = table.iterator(&arn, &shard, StartAt::TrimHorizon, at(0)).unwrap();
    table.trim(&shard, 2);
    assert_eq!(table.page(&before, None, at(0)).unwrap_err().code, "TrimmedDataAccessException");
    for start in [StartAt::At(&numbers[1]), StartAt::After(&numbers[0])] {
        assert_eq!(table.iterator(&arn, &shard, start, at(0)).unwrap_err().code, "TrimmedDataAccessException");
    }
    let iterator = table.iterator(&arn, &shard, StartAt::TrimHorizon, at(0)).unwrap();
    let page = table.page(&iterator, None, at(0)).unwrap();
    assert_eq!(page.records.iter().map(value_of).collect::<Vec<_>>(), [2, 3, 4]);
}

#[test]
fn iterators_expire_on_command_and_after_a_quarter_of_an_hour() {
    let mut table = table(1);
    let (arn, shard) = (table.arn().to_owned(), table.shards()[0].clone());
    let iterator = table.iterator(&arn, &shard, StartAt::TrimHorizon, at(0)).unwrap();
    assert!(table.page(&iterator, None, at(15 * 60_000)).is_ok());
    assert_eq!(table.page(&iterator, None, at(15 * 60_000 + 1)).unwrap_err().code, "ExpiredIteratorException");
    table.expire_iterators();
    assert_eq!(table.page(&iterator, None, at(0)).unwrap_err().code, "ExpiredIteratorException");
    assert_eq!(table.page("garbled", None, at(0)).unwrap_err().code, "ValidationException");
}

#[test]
fn a_vanished_shard_is_neither_listed_nor_read() {
    let mut table = table(2);
    let (arn, shard) = (table.arn().to_owned(), table.shards()[0].clone());
    let iterator = table.iterator(&arn, &shard, StartAt::TrimHorizon, at(0)).unwrap();
    table.vanish(&shard);
    assert!(!lineage(&mut table, &arn).contains_key(&shard));
    assert_eq!(table.page(&iterator, None, at(0)).unwrap_err().code, "ResourceNotFoundException");
    assert_eq!(table.iterator(&arn, &shard, StartAt::TrimHorizon, at(0)).unwrap_err().code, "ResourceNotFoundException");
}

#[test]
fn empty_pages_come_before_the_records() {
    let mut table = table(1);
    let (arn, shard) = (table.arn().to_owned(), table.shards()[0].clone());
    table.rules = Rules { empty_pages: 2, records_max: 1, ..Rules::default() };
    (0..2).for_each(|value| table.append(&change(1, value)));
    table.rotate(&shard, at(1));
    let mut iterator = table.iterator(&arn, &shard, StartAt::TrimHorizon, at(1)).ok();
    let mut lengths = Vec::new();
    while let Some(current) = iterator {
        let page = table.page(&current, None, at(1)).unwrap();
        lengths.push(page.records.len());
        iterator = page.next;
    }
    assert_eq!(lengths, [0, 0, 1, 0, 0, 1]);
}

#[test]
fn a_page_ends_at_a_thousand_records_or_a_megabyte() {
    let mut table = table(1);
    let (arn, shard) = (table.arn().to_owned(), table.shards()[0].clone());
    (0..1001).for_each(|value| table.append(&change(1, value)));
    let mut large = change(1, 7);
    large["dynamodb"]["SizeBytes"] = (600 * 1024).into();
    (0..3).for_each(|_| table.append(&large));
    let mut iterator = table.iterator(&arn, &shard, StartAt::TrimHorizon, at(0)).unwrap();
    for expected in [1000, 2, 1, 1, 0] {
        let page = table.page(&iterator, None, at(0)).unwrap();
        assert_eq!(page.records.len(), expected);
        iterator = page.next.unwrap();
    }
    assert_eq!(table.page(&iterator, Some(1001), at(0)).unwrap_err().code, "ValidationException");
}

#[test]
fn a_listing_has_pages_of_a_hundred_and_a_filter() {
    let mut table = table(150);
    let arn = table.arn().to_owned();
    let shard = table.open_shards()[3].clone();
    let children = BTreeSet::from(table.split(&shard, at(5)));
    assert_eq!(lineage(&mut table, &arn).len(), 152);
    let listed = |table: &mut TableStreams, listing| {
        let answer = table.describe(&arn, listing, at(0)).unwrap();
        let shards = answer["StreamDescription"]["Shards"].as_array().unwrap().clone();
        shards.iter().map(|shard| shard["ShardId"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    assert_eq!(listed(&mut table, Listing::default()).len(), 100);
    assert_eq!(listed(&mut table, Listing { limit: Some(7), ..Listing::default() }).len(), 7);
    let filter = Listing { children_of: Some(&shard), ..Listing::default() };
    assert_eq!(listed(&mut table, filter), children);
    table.rules.honours_child_filter = false;
    assert_eq!(listed(&mut table, filter).len(), 100);
}

#[test]
fn late_children_are_listed_only_after_some_listings() {
    let mut table = table(1);
    let (arn, shard) = (table.arn().to_owned(), table.shards()[0].clone());
    table.rules.late_listings = 2;
    table.rotate(&shard, at(1));
    let lengths: Vec<_> = (0..3).map(|_| lineage(&mut table, &arn).len()).collect();
    assert_eq!(lengths, [1, 1, 2]);
}

#[test]
fn an_eleventh_listing_within_a_second_is_refused() {
    let mut table = table(1);
    let arn = table.arn().to_owned();
    table.rules.limits_listings = true;
    let mut list = |ms| table.describe(&arn, Listing::default(), at(ms));
    assert!((0..10).all(|ms| list(ms).is_ok()));
    assert_eq!(list(500).unwrap_err().code, "LimitExceededException");
    assert!(list(1000).is_ok());
}

#[test]
fn a_new_stream_leaves_the_old_one_closed_and_readable() {
    let mut table = table(3);
    let (old, shard) = (table.arn().to_owned(), table.shards()[0].clone());
    (0..9).for_each(|key| table.append(&change(key, 0)));
    let new = table.new_arn(at(10));
    table.append(&change(1, 1));
    assert_eq!((table.arn(), table.open_shards().len()), (new.as_str(), 3));
    let description = table.describe(&old, Listing::default(), at(10)).unwrap()["StreamDescription"].clone();
    assert_eq!(description["StreamStatus"], "DISABLED");
    assert!(
        description["Shards"]
            .as_array()
            .unwrap()
            .iter()
            .all(|shard| shard["SequenceNumberRange"]["EndingSequenceNumber"].is_string())
    );
    let iterator = table.iterator(&old, &shard, StartAt::TrimHorizon, at(10)).unwrap();
    assert_eq!(table.page(&iterator, None, at(10)).unwrap().next, None);
    assert_eq!(table.list().len(), 2);
}

#[test]
fn records_are_shown_when_they_are_so_old_and_a_shard_ends_behind_them() {
    let mut table = table(1);
    table.rules.shown_after = SignedDuration::from_secs(12);
    let arn = table.arn().to_owned();
    let shard = table.open_shards().remove(0);
    // Of the seconds 0, 5 and 5.
    [0, 5, 5].into_iter().zip(0..).for_each(|(second, key)| table.append(&change(key, second)));
    table.rotate(&shard, at(6_000));
    let mut iterator = table.iterator(&arn, &shard, StartAt::TrimHorizon, at(6_000)).unwrap();
    let mut shown = Vec::new();
    for ms in [11_999, 12_000, 16_999, 17_000] {
        let page = table.page(&iterator, None, at(ms)).unwrap();
        shown.push((page.records.len(), page.next.is_some()));
        iterator = page.next.unwrap_or_default();
    }
    assert_eq!(shown, [(0, true), (1, true), (0, true), (2, false)]);
}
