//! One side of a change: whose image it is, what it contributes, which levels it is, and what of it has to be left out.
//!
//! Two things leave something out. An image that cannot be read contributes nothing, on either side of any change of it, so that
//! numbers stay what a recomputation gives. An image that could be read, but not counted by what is stored for its tenant, is another
//! matter: what is left out is missing from the numbers, and both sides of a change tell.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tidemark_domain::contribution::{self, Contribution, Unreadable};
use tidemark_domain::definition::TenantRule;
use tidemark_domain::level::{self, Levels};
use tidemark_domain::{Image, SourceName, TenantId, Zone};
use tidemark_store::{Error, LEVEL_UNREADABLE, STORED_UNREADABLE, Whose};

use super::Effects;
use crate::stock::Undecidable;

/// One image, if there is one.
#[derive(Default)]
pub(super) struct Side {
    whose: Option<Result<TenantId, Unreadable>>,
    pub(super) contribution: Contribution,
    pub(super) levels: Levels,
    /// Why its contribution is not known: by the tenant's zone.
    uncounted: Option<String>,
    /// Why some of its levels are left as they are.
    undecided: Vec<String>,
}

/// Why a record is set aside, in one quarantine.
#[derive(Default)]
pub(super) struct Reasons {
    /// What is stored for the tenant cannot be read, so that a part of the change is missing.
    stored: Vec<String>,
    /// That part is of the numbers, not of the levels alone.
    is_uncounted: bool,
    unreadable: Vec<Unreadable>,
}

impl Side {
    /// Reads an image.
    ///
    /// # Errors
    /// When its tenant's zone cannot be had just now.
    pub(super) async fn of(effects: &Effects<'_>, rule: &TenantRule, image: Option<&Image>) -> Result<Self, Error> {
        let Some(image) = image else { return Ok(Self::default()) };
        let tenant = match contribution::tenant_of(rule, image) {
            Ok(tenant) => tenant,
            Err(unreadable) => return Ok(Self { whose: Some(Err(unreadable)), ..Self::default() }),
        };
        let (zone, unknown) = match effects.zones.of(&tenant).await {
            Ok(zone) => (zone, None),
            Err(Error::Corrupt { problem, .. }) => (Zone::utc(), Some(problem)),
            Err(error) => return Err(error),
        };
        let of_image = || {
            let contribution = contribution::of_image(effects.running, effects.source, image, &tenant, &zone);
            (contribution, level::of_image(effects.running, effects.source, image, &tenant))
        };
        // A defect that one image brings to light must not end the worker, nor the next one that meets the record.
        let (mut contribution, levels) = catch_unwind(AssertUnwindSafe(of_image)).unwrap_or_else(|_| {
            let contribution = Contribution { rows: Vec::new(), unreadable: vec![Unreadable::Internal] };
            (contribution, Levels::default())
        });
        // Whether it contributes at all is the same in every zone; where, is not.
        let uncounted = unknown.filter(|_| !contribution.rows.is_empty()).map(|problem| {
            contribution.rows.clear();
            format!("the tenant's stored time zone cannot be read ({problem}): a newer Tidemark may know it; this change is not counted")
        });
        Ok(Self { whose: Some(Ok(tenant)), contribution, levels, uncounted, undecided: Vec::new() })
    }

    /// What the image contributed stays: nothing is taken away, known or not.
    pub(super) fn keep_counted(&mut self) {
        self.contribution.rows.clear();
        self.uncounted = None;
    }

    /// Leaves out the levels that cannot be decided.
    pub(super) fn leave_levels(&mut self, undecidable: &Undecidable) {
        let undecided = &mut self.undecided;
        self.levels.levels.retain(|(key, _)| {
            let problem = undecidable.get(key);
            undecided.extend(problem.map(|problem| {
                format!("{problem}; the level of `{}` at `{}` in `{}` stays as it was", key.item, key.location, key.inventory)
            }));
            problem.is_none()
        });
    }

    /// Whether the image is this tenant's, or nobody's; operators see all.
    pub(super) fn may_be_seen_by(&self, whose: &Whose) -> bool {
        match whose {
            Whose::Source(_) => true,
            Whose::Tenant(tenant) => matches!(&self.whose, Some(Ok(own)) if own == tenant),
        }
    }
}

impl Reasons {
    /// Why a change is set aside, and in whose quarantine: empty if all of it can be counted.
    pub(super) fn by_tenant(old: &Side, new: &Side, source: &SourceName) -> BTreeMap<Whose, Self> {
        let mut all: BTreeMap<Whose, Self> = BTreeMap::new();
        for side in [old, new] {
            let Some(Ok(tenant)) = &side.whose else { continue };
            let stored = side.uncounted.iter().chain(&side.undecided);
            for problem in stored {
                let of_tenant = all.entry(Whose::Tenant(tenant.clone())).or_default();
                of_tenant.is_uncounted |= side.uncounted.is_some();
                if !of_tenant.stored.contains(problem) {
                    of_tenant.stored.push(problem.clone());
                }
            }
        }
        // An old image that cannot be read was set aside when it was new.
        match &new.whose {
            Some(Ok(tenant)) => {
                let unreadable = [&new.contribution.unreadable[..], &new.levels.unreadable].concat();
                if !unreadable.is_empty() {
                    all.entry(Whose::Tenant(tenant.clone())).or_default().unreadable = unreadable;
                }
            }
            Some(Err(unreadable)) => {
                let nobody = Self { unreadable: vec![unreadable.clone()], ..Self::default() };
                all.insert(Whose::Source(source.clone()), nobody);
            }
            None => {}
        }
        all
    }

    /// The short name of the gravest.
    pub(super) fn code(&self) -> &'static str {
        match self.unreadable.first() {
            _ if self.is_uncounted => STORED_UNREADABLE,
            Some(unreadable) if self.stored.is_empty() => unreadable.code(),
            _ => LEVEL_UNREADABLE,
        }
    }
}

impl fmt::Display for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unreadable = self.unreadable.iter().map(ToString::to_string);
        let all: Vec<String> = self.stored.iter().cloned().chain(unreadable).collect();
        f.write_str(&all.join("; "))
    }
}
