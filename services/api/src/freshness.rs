//! How far and how well a source is included in the numbers. STREAMS.md §4.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tidemark_runtime::clock::SkewWatch;
use utoipa::ToSchema;

use crate::etag;

/// A source whose watermark has not moved for longer than this has stalled; a live one moves every second, even when idle.
pub(crate) const STALLED_AFTER: SignedDuration = SignedDuration::from_secs(60);
/// A source whose watermark lies further back than this, and than its stream is late, is being caught up with.
pub(crate) const LIVE_LAG_MAX: SignedDuration = SignedDuration::from_secs(10);

/// The watermark of an answer, also where its body has no room for it.
pub(crate) const DATA_WATERMARK: HeaderName = HeaderName::from_static("data-watermark");
/// Whether an answer is exact: `true`, or `false` and the reasons, as `false; reasons="history gap"`.
pub(crate) const DATA_EXACT: HeaderName = HeaderName::from_static("data-exact");

/// What the worker has stored about a source's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// `None` before a worker ran.
    pub watermark: Option<Timestamp>,
    /// When the watermark last moved.
    pub published_at: Option<Timestamp>,
    /// How late the stream shows changes.
    pub delay: SignedDuration,
    /// How far the clock of the worker that is most wrong is ahead of DynamoDB's.
    pub skew: SignedDuration,
    /// Whether the stored watermark lies in the future, so that there is none.
    pub is_future: bool,
    /// Whether no part of the stream was skipped.
    pub gapless: bool,
    /// Whether the stream was read from the table's beginning.
    pub history_complete: bool,
}

/// How far the source is included, and whether the numbers are exact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Freshness {
    /// Every change made to the source before this instant of DynamoDB's time is included; null before a worker ran.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub watermark: Option<Timestamp>,
    /// How long ago the watermark is, in milliseconds.
    #[schema(required, minimum = 0)]
    pub lag_ms: Option<i64>,
    pub status: Status,
    /// False while a reason stands; so never true before there is a watermark.
    pub exact: bool,
    /// Why the numbers are not exact; `/v1/status` says more. Without a watermark `history` is among them: nothing of the table is known
    /// to be counted.
    pub reasons: Vec<Reason>,
}

/// How the source is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// Changes show within seconds.
    Live,
    /// Older changes are still being counted.
    CatchingUp,
    /// Nothing has moved for a minute, or no worker has run yet.
    Stalled,
    /// Live or catching up, but a part of the stream was lost.
    Gap,
    /// The clock of a worker or of this API is a second or more from DynamoDB's. Watermarks are DynamoDB's time and do not depend on it;
    /// with the reason `clock`, one that lies in the future was stored all the same.
    Clock,
}

/// Why numbers are not exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    /// What the table held before its stream was first read is not counted; before there is a watermark, that is all of it as far as
    /// anybody knows.
    History,
    /// A part of the stream was gone before it could be read.
    Gap,
    /// The metric, the grouping or a measure was defined later than the deployment, and counts from then on.
    Definitions,
    /// A change is missing: it did not fit into the 38 digits of a row, or what is stored for the tenant could not be read when it was
    /// to be counted. The quarantine has the change.
    BrokenRow,
    /// The stored watermark lies in the future: it was published by a worker of an older version whose clock was ahead. What is
    /// included is not known.
    Clock,
    /// After the metric began, a newer time-zone database changed the days of the tenant's time zone: what was counted before may be on
    /// another day than it would be now.
    Zones,
}

/// The present, as this API knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Present {
    /// DynamoDB's time, as far as it is known.
    pub now: Timestamp,
    /// What lies after this lies in the future for certain.
    pub latest: Timestamp,
    /// How far this machine's clock is ahead of DynamoDB's.
    pub skew: SignedDuration,
}

#[cfg(test)]
impl Present {
    /// A present that is known for certain.
    pub(crate) const fn at(now: Timestamp) -> Self {
        Self { now, latest: now, skew: SignedDuration::ZERO }
    }
}

impl Reading {
    /// As it counts at present: a watermark that lies in the future was never true.
    pub(crate) fn at(self, present: Present) -> Self {
        let is_future = self.watermark.is_some_and(|watermark| watermark > present.latest);
        Self { watermark: self.watermark.filter(|_| !is_future), is_future: self.is_future || is_future, ..self }
    }

    /// Of two sources taken as one.
    pub(crate) fn together(self, other: Self) -> Self {
        Self {
            // `None` is the least: a source that nobody has read yet.
            watermark: self.watermark.min(other.watermark),
            published_at: self.published_at.min(other.published_at),
            delay: self.delay.max(other.delay),
            skew: if self.skew.abs() < other.skew.abs() { other.skew } else { self.skew },
            is_future: self.is_future || other.is_future,
            gapless: self.gapless && other.gapless,
            history_complete: self.history_complete && other.history_complete,
        }
    }
}

impl Freshness {
    /// No answer has a watermark in the future: one that is stored so counts as none.
    pub(crate) fn of(reading: &Reading, present: Present) -> Self {
        let (reading, Present { now, skew, .. }) = (reading.at(present), present);
        let Reading { watermark, is_future, .. } = reading;
        let moved = reading.published_at.is_some_and(|published| now.duration_since(published) <= STALLED_AFTER);
        let lag = watermark.map(|watermark| now.duration_since(watermark).max(SignedDuration::ZERO));
        let status = match lag {
            _ if is_future => Status::Clock,
            None => Status::Stalled,
            Some(_) if !moved => Status::Stalled,
            Some(_) if reading.skew.abs().max(skew.abs()) >= SkewWatch::SKEW_MAX => Status::Clock,
            Some(_) if !reading.gapless => Status::Gap,
            Some(lag) if lag > LIVE_LAG_MAX + reading.delay => Status::CatchingUp,
            Some(_) => Status::Live,
        };
        let lag_ms = lag.map(|lag| i64::try_from(lag.as_millis()).unwrap_or(i64::MAX));
        let fresh = Self { watermark, lag_ms, status, exact: true, reasons: Vec::new() };
        // While nobody knows what is included, nothing of the past is.
        let history_lacks = !reading.history_complete || watermark.is_none() && !is_future;
        let fresh = fresh.because(Reason::History, history_lacks).because(Reason::Gap, !reading.gapless);
        fresh.because(Reason::Clock, is_future)
    }

    /// Adds a reason, if it stands.
    pub(crate) fn because(mut self, reason: Reason, stands: bool) -> Self {
        if stands && !self.reasons.contains(&reason) {
            self.reasons.push(reason);
            self.exact = false;
        }
        self
    }

    /// Says in headers what the body says, too.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let text = |text: String| HeaderValue::from_str(&text).expect("instants and reasons are plain ASCII");
        if let Some(watermark) = self.watermark {
            headers.insert(DATA_WATERMARK, text(watermark.to_string()));
        }
        headers.insert(DATA_EXACT, text(self.exactness()));
    }

    /// An answer as JSON, with these headers and an ETag over what is not freshness.
    pub(crate) fn respond(&self, answer: &impl Serialize) -> Response {
        let body = serde_json::to_vec(answer).expect("an answer is plain data");
        let etag = etag::of_content(&body, Some(self));
        let json = HeaderValue::from_static("application/json");
        let mut response = ([(header::CONTENT_TYPE, json), (header::ETAG, etag)], body).into_response();
        self.write(response.headers_mut());
        response
    }

    /// Exactness as the value of a header: `true`, or `false; reasons="history gap"`.
    fn exactness(&self) -> String {
        let reasons: Vec<&str> = self.reasons.iter().map(|reason| reason.as_str()).collect();
        if reasons.is_empty() { "true".to_owned() } else { format!("false; reasons=\"{}\"", reasons.join(" ")) }
    }
}

impl Reason {
    /// As JSON spells it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::History => "history",
            Self::Gap => "gap",
            Self::Definitions => "definitions",
            Self::BrokenRow => "broken_row",
            Self::Clock => "clock",
            Self::Zones => "zones",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_774_900_000, 0);

    const PRESENT: Present = Present::at(NOW);
    const UNREAD: Reading = Reading {
        watermark: None,
        published_at: None,
        delay: SignedDuration::ZERO,
        skew: SignedDuration::ZERO,
        is_future: false,
        gapless: true,
        history_complete: true,
    };

    fn reading(lag_s: i64, published_s: i64) -> Reading {
        let ago = |seconds| Some(NOW - SignedDuration::from_secs(seconds));
        Reading { watermark: ago(lag_s), published_at: ago(published_s), ..UNREAD }
    }

    #[test]
    fn status_follows_movement_then_gaps_then_lag() {
        let status = |reading: Reading| Freshness::of(&reading, PRESENT).status;
        assert_eq!(status(reading(10, 60)), Status::Live);
        assert_eq!(status(reading(11, 1)), Status::CatchingUp);
        assert_eq!(status(reading(11, 61)), Status::Stalled);
        assert_eq!(status(Reading { gapless: false, ..reading(11, 1) }), Status::Gap);
        assert_eq!(status(Reading { gapless: false, ..reading(90, 90) }), Status::Stalled);
    }

    #[test]
    fn a_stream_that_is_late_is_live_when_all_it_has_shown_is_counted() {
        let late = Reading { delay: SignedDuration::from_secs(75), ..reading(85, 1) };
        assert_eq!(Freshness::of(&late, PRESENT).status, Status::Live);
        assert_eq!(Freshness::of(&late.together(reading(86, 1)), PRESENT).status, Status::CatchingUp);
    }

    #[test]
    fn a_clock_that_is_wrong_is_said_so_and_a_watermark_in_the_future_says_nothing() {
        let ms = SignedDuration::from_millis;
        for (of_worker, of_api, status) in
            [(999, -999, Status::Live), (-1_000, 0, Status::Clock), (0, 1_000, Status::Clock), (900_000, 0, Status::Clock)]
        {
            let fresh = Freshness::of(&Reading { skew: ms(of_worker), ..reading(2, 1) }, Present { skew: ms(of_api), ..PRESENT });
            assert_eq!((fresh.status, fresh.exact, fresh.lag_ms), (status, true, Some(2_000)));
        }
        let latest = NOW + ms(700);
        let fresh =
            |ahead| Freshness::of(&Reading { watermark: Some(NOW + ms(ahead)), ..reading(0, 0) }, Present { latest, ..PRESENT });
        assert_eq!((fresh(700).status, fresh(700).lag_ms, fresh(700).exact), (Status::Live, Some(0), true));
        let lie = fresh(701);
        assert_eq!((lie.watermark, lie.lag_ms, lie.status, lie.reasons), (None, None, Status::Clock, vec![Reason::Clock]));
        // Of two sources, one is enough.
        let lie = Reading { watermark: Some(NOW + ms(5_000)), ..reading(0, 0) }.at(PRESENT);
        let together = Freshness::of(&reading(1, 1).together(lie), PRESENT);
        assert_eq!((together.watermark, together.status, together.exact), (None, Status::Clock, false));
    }

    #[test]
    fn without_a_watermark_nothing_is_said_to_be_exact() {
        let reading = UNREAD;
        let fresh = Freshness::of(&reading, PRESENT);
        assert_eq!((fresh.watermark, fresh.lag_ms, fresh.status), (None, None, Status::Stalled));
        assert_eq!((fresh.exact, fresh.exactness().as_str()), (false, r#"false; reasons="history""#));
        // Of two sources, one that nobody has read is enough.
        let together = Freshness::of(&self::reading(1, 1).together(reading), PRESENT);
        assert_eq!((together.exact, together.reasons), (false, vec![Reason::History]));
    }

    #[test]
    fn several_sources_are_as_fresh_as_the_least_fresh() {
        let (near, far) = (reading(1, 30), Reading { gapless: false, ..reading(90, 2) });
        let together = near.together(far);
        assert_eq!((together.watermark, together.published_at, together.gapless), (far.watermark, near.published_at, false));
        assert_eq!(Freshness::of(&near.together(UNREAD), PRESENT).status, Status::Stalled);
    }

    #[test]
    fn every_reason_is_named_once() {
        let fresh = Freshness::of(&Reading { gapless: false, history_complete: false, ..reading(0, 0) }, PRESENT);
        let fresh = fresh.because(Reason::Gap, true).because(Reason::BrokenRow, false).because(Reason::Definitions, true);
        assert_eq!(fresh.reasons, [Reason::History, Reason::Gap, Reason::Definitions]);
        assert_eq!((fresh.exact, fresh.lag_ms), (false, Some(0)));
        assert_eq!(fresh.exactness(), r#"false; reasons="history gap definitions""#);
        for reason in fresh.reasons {
            assert_eq!(serde_json::to_value(reason).expect("a word"), reason.as_str());
        }
    }
}
