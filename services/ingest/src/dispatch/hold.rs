//! Until when old news is held. ALERTS §3: an event that was old when it was found is held until its stream has caught up.
//!
//! It is the table's watermark that has to pass the moment the event was written: a stream that was switched off and on is followed by
//! another, which is read behind it. A watermark that stands still holds nothing for ever: what has been held for
//! `TIDEMARK_ALERT_MAX_AGE`, while the watermark made no step for as long, is let go. That it makes none is what this process has seen
//! itself. The instant of its last step, which is stored, would say the same of a stream that nobody has read for an hour, and that is
//! about to be caught up with.

use std::num::NonZeroUsize;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lru::LruCache;
use tidemark_runtime::clock;
use tidemark_streams::{Error, StreamArn, Streams};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// A watermark is published once a second, and read as often.
const READ_EVERY: Duration = Duration::from_secs(1);
/// Most tables remembered. One that is forgotten is taken to have made its last step when it is read again.
const TABLES_MAX: NonZeroUsize = NonZeroUsize::new(1_000).expect("not zero");

/// How far the tables are whose streams hold events.
#[derive(Debug)]
pub(super) struct Holds {
    streams: Streams,
    max_age: SignedDuration,
    tables: Mutex<LruCache<String, Known>>,
}

/// A table's watermark, as it was read.
#[derive(Debug, Clone, Copy)]
struct Known {
    watermark: Option<Timestamp>,
    /// It was the same already then.
    stands_since: Instant,
    read_at: Instant,
}

impl Holds {
    pub(super) fn new(streams: Streams, max_age: SignedDuration) -> Self {
        Self { streams, max_age, tables: Mutex::new(LruCache::new(TABLES_MAX)) }
    }

    /// What a stream, by its ARN, has held since before this instant is let go.
    ///
    /// # Errors
    /// When the watermark cannot be read.
    pub(super) async fn end(&self, stream: &str) -> Result<Timestamp, Error> {
        // An ARN that means nothing to this binary holds nothing.
        let Ok(stream) = StreamArn::new(stream) else { return Ok(Timestamp::MAX) };
        let stream = stream.id();
        // Locked while it is read: all who wait for that get what is read.
        let mut tables = self.tables.lock().await;
        let before = tables.get(stream.table()).copied();
        let known = match before {
            Some(known) if known.read_at.elapsed() < READ_EVERY => known,
            _ => {
                let read = self.streams.table_watermark(stream.table()).await;
                let watermark = match &read {
                    // One that lies in the future was never true.
                    Ok(status) => status
                        .and_then(|known| known.watermark)
                        .filter(|watermark| *watermark <= self.streams.now_or(clock::now())),
                    // Whoever waits for the lock need not fail one after the other.
                    Err(_) => before.and_then(|before| before.watermark),
                };
                let known = Known::read(watermark, before, Instant::now());
                tables.put(stream.table().to_owned(), known);
                read?;
                known
            }
        };
        Ok(known.end(self.max_age, clock::now(), Instant::now()))
    }
}

impl Known {
    fn read(watermark: Option<Timestamp>, before: Option<Self>, mono: Instant) -> Self {
        let same = before.filter(|before| before.watermark == watermark);
        Self { watermark, stands_since: same.map_or(mono, |same| same.stands_since), read_at: mono }
    }

    fn end(&self, max_age: SignedDuration, now: Timestamp, mono: Instant) -> Timestamp {
        let stood_for = mono.saturating_duration_since(self.stands_since);
        let stands = SignedDuration::try_from(stood_for).is_ok_and(|stood_for| stood_for >= max_age);
        let too_long_ago = stands.then(|| now.saturating_sub(max_age).unwrap_or(Timestamp::MIN));
        self.watermark.max(too_long_ago).unwrap_or(Timestamp::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_AGE: SignedDuration = SignedDuration::from_hours(1);

    /// So many minutes after an instant that stays the same, by the wall clock.
    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
    }

    /// What is known after watermarks were read, each some minutes after a beginning; and until when holds end then.
    fn end_after(begun: Instant, reads: &[(u64, Option<i64>)]) -> Timestamp {
        let mono = |minutes: u64| begun + Duration::from_secs(60 * minutes);
        let read =
            |before, (minutes, watermark): &(u64, Option<i64>)| Some(Known::read(watermark.map(at), before, mono(*minutes)));
        let known = reads.iter().fold(None, read).expect("one read at least");
        let last = reads.last().expect("one read at least").0;
        known.end(MAX_AGE, at(i64::try_from(last).expect("some minutes")), mono(last))
    }

    #[test]
    fn however_long_a_stream_is_caught_up_with_it_holds_what_its_watermark_has_not_passed() {
        let begun = Instant::now();
        let reads: Vec<_> =
            (0..300_u64).map(|minute| (minute, Some(i64::try_from(minute).expect("some minutes") - 1_200))).collect();
        assert_eq!(end_after(begun, &reads), at(299 - 1_200));
        assert_eq!(end_after(begun, &[(0, Some(-1_200)), (59, Some(-1_200)), (118, Some(-1_199))]), at(-1_199));
    }

    #[test]
    fn a_watermark_that_has_stood_still_for_so_long_lets_go_what_was_held_for_as_long() {
        let begun = Instant::now();
        assert_eq!(end_after(begun, &[(0, Some(-5)), (59, Some(-5))]), at(-5));
        assert_eq!(end_after(begun, &[(0, Some(-5)), (60, Some(-5))]), at(0));
        assert_eq!(end_after(begun, &[(0, Some(-5)), (90, Some(-5))]), at(30));
        assert_eq!(end_after(begun, &[(0, None), (60, None)]), at(0), "nobody reads the stream any more");
    }

    #[test]
    fn nothing_is_let_go_by_what_was_before_this_process() {
        assert_eq!(end_after(Instant::now(), &[(0, None)]), Timestamp::MIN);
        assert_eq!(end_after(Instant::now(), &[(600, Some(-1_200))]), at(-1_200));
    }
}
