//! What people and the clock do to an alert, what it looks like stored, and whose times it keeps.

use serde_json::{Value, json};

use super::*;
use crate::level::Status;
use crate::rule::{Severity, Threshold};

const EVERY: SignedDuration = SignedDuration::from_mins(30);

/// A row with an alert that is repeated every half hour.
fn firing() -> Row {
    let threshold =
        |severity, fires: &str| Threshold { severity, fires_at_or_below: decimal(fires), clears_above: decimal(fires) };
    let thresholds = Thresholds::new(vec![threshold(Severity::Warning, "10"), threshold(Severity::Critical, "0")]);
    let mut row = Row::new();
    row.put_rule(rule("A", (None, None), thresholds.expect("thresholds"), Some(EVERY)));
    row.level = Some(level("5", None));
    assert_eq!(row.step().len(), 1);
    row
}

fn alert(row: &Row) -> &Alert {
    row.last.as_ref().expect("it fired")
}

fn acknowledge() -> Act {
    Act::Acknowledge { by: "key_1".to_owned(), note: Some(Note::new("on it").expect("short")) }
}

fn resolve() -> Act {
    Act::Resolve { by: "key_1".to_owned(), note: None }
}

fn unmute() -> Act {
    Act::Unmute { by: "key_2".to_owned(), note: Some(Note::new("counted").expect("short")) }
}

#[test]
fn an_alert_is_repeated_after_its_last_event_until_somebody_takes_notice() {
    let mut row = firing();
    let start = row.now;
    let due = |minutes| Some(start + SignedDuration::from_mins(minutes));
    assert_eq!(alert(&row).repeat_at(), due(30));
    row.now = start + EVERY - SignedDuration::from_nanos(1);
    assert_eq!(row.act(&Act::Repeat), Ok(None), "too early");

    row.now = start + SignedDuration::from_mins(40);
    row.level = Some(level("4", None));
    assert_eq!(row.step(), []);
    assert_eq!(alert(&row).available, decimal("5"), "a sale does not write the alert");
    let event = row.act(&Act::Repeat).expect("it fires").and_then(|acted| acted.event).expect("it is due");
    assert_eq!((event.kind, event.sequence, event.at), (EventKind::Repeated, 2, row.now));
    assert_eq!(event.alert.available, decimal("4"), "what is announced is what is there");
    assert_eq!(alert(&row).repeat_at(), due(70));

    row.act(&acknowledge()).expect("it fires");
    assert_eq!(alert(&row).repeat_at(), None);
    row.level = Some(level("0", None));
    row.now = start + SignedDuration::from_mins(50);
    assert_eq!(row.step().len(), 1);
    assert_eq!(alert(&row).repeat_at(), due(80), "worse than what somebody took notice of");

    row.rules[0].repeat_every = None;
    assert_eq!(row.step(), []);
    assert_eq!(alert(&row).repeat_at(), None, "the rule asks for it no more");
    row.rules[0].repeat_every = Some(RepeatEvery::new(SignedDuration::from_hours(1)).expect("long enough"));
    assert_eq!(row.step(), []);
    assert_eq!(alert(&row).repeat_at(), due(110));
    row.act(&resolve()).expect("never refused");
    assert_eq!(alert(&row).repeat_at(), None);
    row.now += SignedDuration::from_hours(9);
    assert_eq!(row.act(&Act::Repeat), Ok(None));
}

#[test]
fn the_first_acknowledgement_stands_and_the_last_mute() {
    let mut row = firing();
    let first = row.now;
    row.act(&acknowledge()).expect("it fires").expect("something new");
    row.now += EVERY;
    assert_eq!(row.act(&Act::Acknowledge { by: "key_2".to_owned(), note: None }), Ok(None));
    let acknowledged = alert(&row).acknowledged.clone().expect("it is");
    assert_eq!((acknowledged.at, acknowledged.by.as_str()), (first, "key_1"));

    assert_eq!(row.act(&unmute()), Ok(None));
    let mute = |until| Act::Mute { until, by: "key_1".to_owned(), note: None };
    let until = row.now + EVERY;
    row.act(&mute(until + EVERY)).expect("it fires").expect("something new");
    row.act(&mute(until)).expect("it fires").expect("another end");
    assert!(alert(&row).is_muted(until - SignedDuration::from_nanos(1)) && !alert(&row).is_muted(until));
    let acted = row.act(&unmute()).expect("it fires").expect("it was muted");
    assert_eq!((acted.event, acted.alert.updated_at), (None, row.now));
    assert!(!alert(&row).is_muted(row.now));
}

#[test]
fn a_resolved_alert_is_history() {
    let mut row = firing();
    let level = row.level.clone().expect("a level");
    assert_eq!(level.status(&row.standing), Status::Low);
    row.act(&resolve()).expect("it fires").expect("something new");
    let mute = Act::Mute { until: row.now + EVERY, by: "key_1".to_owned(), note: None };
    for act in [acknowledge(), mute, unmute()] {
        assert_eq!(row.act(&act), Err(Error::AlreadyResolved), "{act:?}");
    }
    assert_eq!(row.act(&resolve()), Ok(None));
    assert_eq!(row.act(&Act::Repeat), Ok(None));
    assert_eq!(level.status(&row.standing), Status::Ok, "what was resolved by hand is not low");
}

#[test]
fn the_events_of_an_alert_never_run_backwards() {
    let mut row = firing();
    let fired = row.now;
    // A rule's job fired it by the clock; the image comes late from a shard that lags.
    row.now = fired - SignedDuration::from_hours(2);
    row.level = Some(level("0", None));
    assert_eq!(row.step()[0].at, fired);
    row.rules.push(rule("B", (Some("tea"), None), Thresholds::warning_at(decimal("3")), None));
    let at: Vec<Timestamp> = row.step().iter().map(|event| event.at).collect();
    assert_eq!(at, [fired, fired]);
    let resolved = row.act(&resolve()).expect("it fires").and_then(|acted| acted.event).expect("an event");
    let AlertState::Resolved { at, .. } = resolved.alert.state else { panic!("it is resolved") };
    assert_eq!((at, resolved.at, resolved.alert.fired_at, resolved.alert.updated_at), (fired, fired, fired, fired));
}

#[test]
fn no_time_of_an_alert_is_before_what_was_done_about_it() {
    let mut row = firing();
    // Records know their second alone: what is of the same one as the acknowledgement happened after it, or is not known to.
    let of_the_record = row.now;
    row.now += SignedDuration::from_millis(700);
    let acted_at = row.now;
    row.act(&acknowledge()).expect("it fires").expect("something new");
    row.now = of_the_record;
    row.level = Some(level("20", None));
    let events = row.step();
    let [AlertEvent { at, alert, .. }] = &events[..] else { panic!("it is resolved once: {events:?}") };
    let AlertState::Resolved { at: resolved_at, .. } = alert.state else { panic!("it is resolved") };
    assert_eq!((resolved_at, *at, alert.event_at, alert.updated_at), (acted_at, acted_at, acted_at, acted_at));
}

#[test]
fn an_alert_remembers_what_was_done_about_it_by_whom_when_and_why() {
    let mut row = firing();
    let until = row.now + EVERY;
    let mut expected = Vec::new();
    let mute = Act::Mute { until, by: "key_1".to_owned(), note: None };
    for (act, kind) in
        [(acknowledge(), ActionKind::Acknowledged), (mute.clone(), ActionKind::Muted { until }), (unmute(), ActionKind::Unmuted)]
    {
        row.now += SignedDuration::from_secs(1);
        let (Act::Acknowledge { by, note } | Act::Mute { by, note, .. } | Act::Unmute { by, note }) = act.clone() else {
            panic!("of somebody")
        };
        row.act(&act).expect("it fires").expect("something new");
        expected.push(Action { kind, at: row.now, by, note });
    }
    assert_eq!(alert(&row).actions, expected);
    for _ in 0..ACTIONS_MAX {
        row.act(&mute).expect("it fires").expect("something new");
        row.act(&unmute()).expect("it fires").expect("something new");
    }
    assert_eq!(row.act(&Act::Repeat), Ok(None));
    row.act(&resolve()).expect("it fires").expect("something new");
    let kinds: Vec<ActionKind> = alert(&row).actions.iter().map(|action| action.kind).collect();
    assert_eq!((kinds.len(), kinds.last()), (ACTIONS_MAX, Some(&ActionKind::Resolved)));
    assert_eq!(kinds[ACTIONS_MAX - 3..ACTIONS_MAX - 1], [ActionKind::Muted { until }, ActionKind::Unmuted]);
}

#[test]
fn an_alert_of_before_there_were_actions_is_readable() {
    let row = firing();
    let mut stored = serde_json::to_value(alert(&row)).expect("plain data");
    stored.as_object_mut().expect("an object").remove("actions");
    assert_eq!(serde_json::from_value::<Alert>(stored).expect("readable"), *alert(&row));
}

/// Adds a field to every object.
fn extended(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: serde_json::Map<_, _> = fields.into_iter().map(|(name, value)| (name, extended(value))).collect();
            // An object with one field may be a choice with its data, which no version gives a second.
            if fields.len() > 1 {
                fields.insert("added_later".to_owned(), json!([1]));
            }
            Value::Object(fields)
        }
        Value::Array(values) => values.into_iter().map(extended).collect(),
        other => other,
    }
}

#[test]
fn stored_documents_may_have_fields_of_a_later_version() {
    let mut row = firing();
    row.act(&acknowledge()).expect("it fires");
    row.act(&Act::Mute { until: row.now, by: "key_1".to_owned(), note: None }).expect("it fires");
    let firing = row.standing.clone();
    let acted = row.act(&Act::Resolve { by: "key_2".to_owned(), note: Note::new("counted").ok() }).expect("it fires");
    let event = acted.and_then(|acted| acted.event).expect("an event");

    for standing in [Standing::Clear, firing, row.standing.clone()] {
        let stored = extended(serde_json::to_value(&standing).expect("plain data"));
        assert_eq!(serde_json::from_value::<Standing>(stored.clone()).expect("readable"), standing, "{stored}");
    }
    let stored = extended(serde_json::to_value(&event).expect("plain data"));
    assert!(stored.to_string().matches("added_later").count() >= 6, "{stored}");
    assert_eq!(serde_json::from_value::<AlertEvent>(stored).expect("readable"), event);
    let stored = extended(serde_json::to_value(&row.rules).expect("plain data"));
    assert_eq!(serde_json::from_value::<Vec<Rule>>(stored).expect("readable"), row.rules);
}

#[test]
fn a_fingerprint_is_that_of_one_rule_and_one_level() {
    let row = firing();
    let of = |rule: Option<&str>, item: &str, location: &str| {
        let rule = rule.map(rule_id);
        let key = LevelKey { item: item.to_owned(), location: location.to_owned(), ..row.key.clone() };
        fingerprint(rule.as_ref(), &key)
    };
    let all = [
        of(Some("A"), "tea", "berlin"),
        of(Some("B"), "tea", "berlin"),
        of(None, "tea", "berlin"),
        of(None, "tea", "paris"),
        of(None, "tea#berlin", ""),
        of(None, "tea", "#berlin"),
    ];
    for (index, one) in all.iter().enumerate() {
        assert!(!all[..index].contains(one), "{one}");
    }
    assert_eq!(alert(&row).fingerprint(), all[0]);
    assert_eq!(all[0], "a8aa8a1ca94d2b1ae016a4d918ef7aab", "what is stored and sent must not change");
}

#[test]
fn a_note_is_bounded() {
    assert!(Note::new(&"ä".repeat(NOTE_LENGTH_MAX)).is_ok());
    assert_eq!(Note::new(&"a".repeat(NOTE_LENGTH_MAX + 1)), Err(Error::NoteTooLong));
}
