//! Bytes held in memory for requests: a number for each tenant, and one for the process.
//!
//! The bytes are estimates by those who hold them. What matters is that every part whose size a request decides is counted: rows that
//! are being folded, the answer, and its bytes until they are sent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::{AT_ONCE_PAUSE, Whose, locked};
use crate::instruments::{self, Limit, Shed};
use crate::problem::{ApiError, Unavailable};

/// Most bytes that all requests of a process hold. The chart gives the API 256 MiB. An idle process takes about 50 MiB of them, pages being
/// read 32 MiB at most (`pages.rs`), answers kept for a second 16 MiB (`answers.rs`), and heads of requests 64 MiB (`serve.rs`).
pub(super) const PROCESS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most bytes that the requests of one tenant hold together: less than a third of the process's, so that two tenants that hold all they
/// may leave room for others. Only a tenant that holds nothing may exceed it, see [`Share::grow`].
pub(super) const TENANT_BYTES_MAX: usize = 20 * 1024 * 1024;

/// Bytes that are taken and given back.
#[derive(Debug)]
pub(crate) struct Memory {
    tenant_max: usize,
    process_max: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    /// The process was full since the last look.
    was_full: bool,
    /// No entry is zero, so the map is never larger than the number of shares that hold something.
    of: HashMap<Whose, usize>,
    #[cfg(test)]
    peak: usize,
}

/// The bytes of one request. They are given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    memory: Arc<Memory>,
    whose: Whose,
    bytes: usize,
}

/// Whose memory does not suffice. Nothing was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The tenant holds as much as it may.
    Tenant,
    /// All tenants together do.
    Process,
}

impl Memory {
    pub(super) fn new(tenant_max: usize, process_max: usize) -> Arc<Self> {
        Arc::new(Self { tenant_max, process_max, held: Mutex::default() })
    }

    /// A share that holds nothing yet.
    pub(crate) fn share(self: &Arc<Self>, whose: Whose) -> Share {
        Share { memory: Arc::clone(self), whose, bytes: 0 }
    }

    /// Whether the process was full since this was asked last.
    pub(crate) fn was_full(&self) -> bool {
        std::mem::take(&mut locked(&self.held).was_full)
    }

    /// The most that was held at any time.
    #[cfg(test)]
    pub(crate) fn peak(&self) -> usize {
        locked(&self.held).peak
    }

    /// What is held now, by all.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        locked(&self.held).all
    }
}

impl Share {
    /// Takes so many bytes more, all or none. A tenant that holds nothing may take whatever fits in the process: one answer that is
    /// larger than a tenant's maximum can still be sent, alone.
    ///
    /// # Errors
    /// [`Full::Tenant`] if the tenant holds something and would hold more than it may, else [`Full::Process`] if the process would.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        if bytes == 0 {
            return Ok(());
        }
        let mut held = locked(&self.memory.held);
        let of_tenant = held.of.get(&self.whose).copied().unwrap_or_default();
        if of_tenant > 0 && of_tenant.saturating_add(bytes) > self.memory.tenant_max {
            return Err(Full::Tenant);
        }
        if held.all.saturating_add(bytes) > self.memory.process_max {
            held.was_full = true;
            return Err(Full::Process);
        }
        held.all += bytes;
        held.of.insert(self.whose.clone(), of_tenant + bytes);
        #[cfg(test)]
        {
            held.peak = held.peak.max(held.all);
        }
        drop(held);
        self.bytes += bytes;
        Ok(())
    }

    /// Gives back what exceeds so many bytes.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let given_back = self.bytes.saturating_sub(bytes);
        if given_back == 0 {
            return;
        }
        self.bytes = bytes;
        let mut held = locked(&self.memory.held);
        held.all -= given_back;
        if let Some(of_tenant) = held.of.get_mut(&self.whose) {
            *of_tenant -= given_back;
            if *of_tenant == 0 {
                held.of.remove(&self.whose);
            }
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether so many bytes more would fit if the tenant had no other request.
    pub(crate) fn fits_alone(&self, bytes: usize) -> bool {
        self.bytes.saturating_add(bytes) <= self.memory.tenant_max
    }
}

/// For a request that would be answered if nothing else was held.
impl From<Full> for ApiError {
    fn from(full: Full) -> Self {
        match full {
            Full::Tenant => {
                instruments::limited(Limit::AtOnce);
                Self::TooManyAtOnce(AT_ONCE_PAUSE)
            }
            Full::Process => {
                instruments::shed(Shed::Overloaded);
                Self::Unavailable(Unavailable::Overloaded)
            }
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidemark_domain::TenantId;

    use super::*;

    const TENANT_MAX: usize = 10;
    const PROCESS_MAX: usize = 25;

    fn whose(number: usize) -> Whose {
        (number > 0).then(|| TenantId::new(&format!("t{number}")).expect("an id"))
    }

    #[test]
    fn a_tenant_that_holds_nothing_may_take_what_fits_in_the_process_and_nothing_besides() {
        let memory = Memory::new(TENANT_MAX, PROCESS_MAX);
        let (mut large, mut small) = (memory.share(whose(1)), memory.share(whose(1)));
        large.grow(20).expect("it is the only one of its tenant");
        assert_eq!([large.grow(1), small.grow(1)], [Err(Full::Tenant); 2]);
        assert!(small.fits_alone(10) && !small.fits_alone(11) && !large.fits_alone(1));
        let mut other = memory.share(whose(2));
        assert_eq!(other.grow(6), Err(Full::Process));
        other.grow(5).expect("there are five left");
        drop(large);
        small.grow(10).expect("its tenant holds nothing any more");
        assert_eq!((small.grow(1), other.grow(5)), (Err(Full::Tenant), Ok(())));
    }

    proptest! {
        /// Against one list of all shares that is added up for each decision.
        #[test]
        fn bytes_are_taken_all_or_none_and_given_back(
            steps in prop::collection::vec((0..6_usize, 0..4_u8, 0..30_usize), 1..100),
        ) {
            let memory = Memory::new(TENANT_MAX, PROCESS_MAX);
            // Two shares for each of three holders.
            let mut shares: Vec<Share> = (0..6).map(|at| memory.share(whose(at / 2))).collect();
            let mut naive = [0_usize; 6];
            for (at, what, bytes) in steps {
                let of_tenant: usize = naive[at / 2 * 2..][..2].iter().sum();
                let all: usize = naive.iter().sum();
                match what {
                    0 | 1 => {
                        let expected = if bytes > 0 && of_tenant > 0 && of_tenant + bytes > TENANT_MAX {
                            Err(Full::Tenant)
                        } else if all + bytes > PROCESS_MAX {
                            Err(Full::Process)
                        } else {
                            naive[at] += bytes;
                            Ok(())
                        };
                        prop_assert_eq!(shares[at].grow(bytes), expected);
                    }
                    2 => {
                        naive[at] = naive[at].min(bytes);
                        shares[at].shrink_to(bytes);
                    }
                    _ => {
                        naive[at] = 0;
                        shares[at] = memory.share(whose(at / 2));
                    }
                }
                prop_assert_eq!(shares.iter().map(Share::bytes).collect::<Vec<_>>(), naive);
                prop_assert_eq!(memory.held(), naive.iter().sum::<usize>());
                prop_assert!(memory.peak() <= PROCESS_MAX);
            }
            drop(shares);
            prop_assert_eq!(locked(&memory.held).of.len(), 0);
        }
    }
}
