//! Alerts: one item each, a copy of what the level's row carries while it fires, and the history afterwards. ALERTS §3.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use jiff::{SignedDuration, Timestamp};
use tidemark_domain::alert::{Acted, AlertState};
use tidemark_domain::{Alert, AlertId, EndpointId, Level, Standing};

use crate::decisions::Decisions;
use crate::edit::Edit;
use crate::error::Error;
use crate::event::EventWrite;
use crate::item::{Item, Stored, json, n, s};
use crate::key::{self, EXPIRES_AT, INDEX_PK, INDEX_SK, Key, PK, SK};
use crate::level::{LevelRow, LevelWrite};
use crate::read::{IndexStretch, Order, Stretch};
use crate::{Store, Tenant};

const ALERT: &str = "alert";
/// The endpoints that have a delivery of an event of this alert. Each fan-out replaces the set, and leaves out endpoints that do not
/// exist any more: a set that only grew would fill the item, and no commit that changes the alert would fit.
pub(crate) const NOTIFIED: &str = "notified";

/// How long a resolved alert is kept.
const RETENTION: SignedDuration = SignedDuration::from_hours(400 * 24);
/// How often an act is decided, because the level changed meanwhile.
const ACT_ATTEMPTS_MAX: u32 = 8;
/// Longest pause before an act is decided anew the first time. It doubles with each, and all are 1.3 s at most: a request has more.
const ACT_PAUSE: Duration = Duration::from_millis(10);

/// An alert as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertRecord {
    pub alert: Alert,
    /// The endpoints that some event of it was fanned out to, as far as they existed at the last fan-out: at most
    /// [`ENDPOINTS_MAX`](crate::ENDPOINTS_MAX).
    pub notified: BTreeSet<EndpointId>,
}

/// Which alerts to list, newest first.
#[derive(Debug, Clone)]
pub struct AlertQuery {
    pub which: AlertsWanted,
    /// Only those older than this one.
    pub after: Option<AlertId>,
    pub limit: usize,
}

/// All alerts, or those that fire; the latter list lags behind a moment, but shows none that does not fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertsWanted {
    All,
    Firing,
}

/// One page of alerts.
#[derive(Debug, Clone)]
pub struct AlertPage {
    pub alerts: Vec<AlertRecord>,
    /// `None`: there is no more.
    pub next: Option<AlertId>,
}

/// What an act comes to, and the event that announces it.
#[derive(Debug, Clone)]
pub struct Change {
    pub acted: Acted,
    /// There if `acted` has one.
    pub event: Option<EventWrite>,
}

/// Why an act was not done.
#[derive(Debug, thiserror::Error)]
pub enum ActError<E: std::error::Error + 'static> {
    #[error("there is no such alert")]
    NotFound,
    #[error(transparent)]
    Refused(E),
    /// The level changes all the time; or DynamoDB cannot be asked.
    #[error(transparent)]
    Store(#[from] Error),
}

impl Store {
    /// # Errors
    /// When it cannot be read.
    pub async fn alert(&self, tenant: &Tenant, id: &AlertId) -> Result<Option<AlertRecord>, Error> {
        let item = self.get(&key::alert(tenant.id(), id)).await?;
        item.as_ref().map(read).transpose()
    }

    /// One page of a tenant's alerts, newest first. It is empty only if there is no more.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn alerts(&self, tenant: &Tenant, query: &AlertQuery) -> Result<AlertPage, Error> {
        if query.which == AlertsWanted::Firing {
            return self.firing_alerts(tenant, query).await;
        }
        let pk = key::alerts(tenant.id());
        let after = query.after.as_ref().map(AlertId::as_str);
        let found = self.stretch(&Stretch { pk: &pk, prefix: "", after, order: Order::Falling, limit: query.limit }).await?;
        let alerts = found.items.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let next = alerts.last().filter(|_| found.more).map(|record| record.alert.id.clone());
        Ok(AlertPage { alerts, next })
    }

    async fn firing_alerts(&self, tenant: &Tenant, query: &AlertQuery) -> Result<AlertPage, Error> {
        let (pk, index_pk) = (key::alerts(tenant.id()), key::firing_alerts(tenant.id()));
        let mut next = query.after.clone();
        loop {
            let after = next.as_ref().map(|id| {
                let entry = [(PK, pk.as_str()), (SK, id.as_str()), (INDEX_PK, &index_pk), (INDEX_SK, id.as_str())];
                Item::from(entry.map(|(name, key)| (name.to_owned(), s(key))))
            });
            let wanted = IndexStretch { pk: &index_pk, above: None, after, order: Order::Falling, limit: query.limit };
            let found = self.index_stretch(wanted).await?;
            let ids = found.items.iter().map(|item| Stored(item).parsed::<AlertId>(SK)).collect::<Result<Vec<_>, _>>()?;
            let keys: Vec<Key> = ids.iter().map(|id| key::alert(tenant.id(), id)).collect();
            let mut stored = self.get_all(&keys).await?;
            let records = keys.iter().filter_map(|key| stored.remove(key)).map(|item| read(&item));
            let records = records.collect::<Result<Vec<_>, _>>()?;
            let alerts: Vec<_> = records.into_iter().filter(|record| record.alert.is_firing()).collect();
            next = ids.last().filter(|_| found.more).cloned();
            if !alerts.is_empty() || next.is_none() {
                return Ok(AlertPage { alerts, next });
            }
        }
    }

    /// Does something to an alert: reads it with its level, has `decide` say what comes of it, and writes that, its level's row and
    /// the event together, if the row is still as it was read; else it is decided anew, after a moment. Gives the alert as it stands
    /// then. `decide` gives `None` when there is nothing to do.
    ///
    /// # Errors
    /// [`ActError`]; [`ActError::Refused`] is what `decide` gave.
    pub async fn act<E: std::error::Error + 'static>(
        &self,
        tenant: &Tenant,
        id: &AlertId,
        now: Timestamp,
        decide: impl Fn(&AlertRecord, Option<&Level>) -> Result<Option<Change>, E> + Sync,
    ) -> Result<Alert, ActError<E>> {
        for attempt in 0..ACT_ATTEMPTS_MAX {
            if attempt > 0 {
                let pause = ACT_PAUSE * 2_u32.pow(attempt - 1);
                tokio::time::sleep(pause.mul_f64(fastrand::f64())).await;
            }
            let mut record = self.alert(tenant, id).await?.ok_or(ActError::NotFound)?;
            let row = self.level(tenant, &record.alert.key).await?;
            // The row decides: one that does not carry this alert has ended it.
            let row = row.filter(|row| matches!(&row.standing, Standing::Firing(alert) if alert.id == *id));
            match &row {
                Some(LevelRow { standing: Standing::Firing(alert), .. }) => record.alert = alert.clone(),
                // It ended between the two reads.
                _ if record.alert.is_firing() => continue,
                _ => {}
            }
            let change = decide(&record, row.as_ref().map(|row| &row.level)).map_err(ActError::Refused)?;
            let (Some(row), Some(change)) = (row, change) else {
                return Ok(record.alert);
            };
            match self.decide(tenant, &change.decisions(row, now)).await {
                Ok(()) => return Ok(change.acted.alert),
                Err(Error::ConditionFailed) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::ConditionFailed.into())
    }

    /// Writes an alert over what is there, but for whom it was fanned out to. Its level's row guards it.
    pub(crate) fn alert_update(&self, alert: &Alert) -> TransactWriteItem {
        let key = key::alert(&alert.key.tenant, &alert.id);
        let edit = Edit::of(&key).set(ALERT, json(alert));
        let edit = match &alert.state {
            AlertState::Firing => {
                let index_pk = key::firing_alerts(&alert.key.tenant);
                edit.set(INDEX_PK, s(index_pk)).set(INDEX_SK, s(alert.id.as_str()))
            }
            AlertState::Resolved { at, .. } => {
                let expires = n(at.as_second() + RETENTION.as_secs());
                edit.remove(INDEX_PK).remove(INDEX_SK).set(EXPIRES_AT, expires)
            }
        };
        edit.within(&self.tables.data)
    }
}

impl Change {
    fn decisions(&self, row: LevelRow, now: Timestamp) -> Decisions {
        let alert = self.acted.alert.clone();
        let version = LevelRow::version_after(Some(row.version), now);
        let write = LevelWrite {
            key: alert.key.clone(),
            seen: Some(row.version),
            row: Some(LevelRow { standing: self.acted.standing(), version, ..row }),
        };
        Decisions {
            levels: vec![write],
            alerts: vec![alert],
            events: self.event.iter().cloned().collect(),
            ..Decisions::default()
        }
    }
}

fn read(item: &Item) -> Result<AlertRecord, Error> {
    let stored = Stored(item);
    let notified = match item.get(NOTIFIED) {
        None => BTreeSet::new(),
        Some(AttributeValue::Ss(ids)) => ids
            .iter()
            .map(|id| EndpointId::new(id).map_err(|error| stored.corrupt(NOTIFIED, &error.to_string())))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(stored.corrupt(NOTIFIED, "is no set of texts")),
    };
    Ok(AlertRecord { alert: stored.json(ALERT)?, notified })
}
