//! Fanning out: one event becomes a delivery for each endpoint, and is done, in one transaction.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use tidemark_domain::EndpointId;

use crate::alert::NOTIFIED;
use crate::delivery::Delivery;
use crate::edit::Edit;
use crate::endpoint::ENDPOINTS_MAX;
use crate::error::Error;
use crate::event::{Event, EventKey, EventState, settle};
use crate::key;
use crate::transact::NotMade;
use crate::{Store, Tenant};

/// How often a fan-out is sent: once more without what is there already, and once more for what came meanwhile.
const ATTEMPTS_MAX: usize = 3;

impl Store {
    /// Makes an event's deliveries, due now. An endpoint that has its delivery already keeps it. False: another settled the event
    /// first, and nothing was made.
    ///
    /// The endpoints are stored with the event's alert, together with those of `heard`: the ones that still exist of those that
    /// earlier events of the alert went to. The events of an alert are fanned out in order, so the set may be replaced.
    ///
    /// # Errors
    /// [`Error::Refused`] for more than [`ENDPOINTS_MAX`] endpoints, and when DynamoDB cannot be asked.
    pub async fn fan_out(
        &self,
        tenant: &Tenant,
        event: &Event,
        endpoints: &[EndpointId],
        heard: &BTreeSet<EndpointId>,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let notified: BTreeSet<&EndpointId> = endpoints.iter().chain(heard).collect();
        if notified.len() > ENDPOINTS_MAX {
            return Err(Error::Refused(format!("an event for {} endpoints", notified.len())));
        }
        let mut items = vec![settle(tenant, event, &EventState::Done).within(&self.tables.data)];
        if let EventKey::Alert { alert, .. } = &event.key {
            // A set in DynamoDB is never empty.
            let ids = (!notified.is_empty()).then(|| AttributeValue::Ss(notified.iter().map(ToString::to_string).collect()));
            let edit = Edit::of(&key::alert(tenant.id(), alert)).set_or_remove(NOTIFIED, ids).only_if_there();
            items.push(edit.within(&self.tables.data));
        }
        items.extend(endpoints.iter().map(|endpoint| self.put_new(Delivery::item(tenant, event, endpoint, now))));
        for _ in 0..ATTEMPTS_MAX {
            match self.transact(items.clone()).await {
                Ok(()) => return Ok(true),
                Err(NotMade::Failed(error)) => return Err(error),
                Err(NotMade::Refused(refused)) if refused.contains(&0) => return Ok(false),
                // A delivery that is there, or an alert that has expired: the rest goes without.
                Err(NotMade::Refused(refused)) => {
                    let mut index = 0;
                    items.retain(|_| {
                        index += 1;
                        !refused.contains(&(index - 1))
                    });
                }
            }
        }
        Err(Error::ConditionFailed)
    }
}
