//! The memory of one question: what its rows add up to, the answer made of that, and the answer's bytes.

use std::io::{self, Write};

use super::ask::Ask;
use super::plan::{Ground, TooMany};
use crate::limits::{Full, Share};
use crate::problem::ApiError;

/// By how much the room for an answer's bytes grows at least.
const STEP_BYTES: usize = 16 * 1024;

/// The share of a question, and what a refusal depends on.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    pub ask: &'a Ask,
    pub ground: Ground<'a>,
    pub share: Share,
}

/// An answer's bytes. Room for them is held before it is there.
#[derive(Debug)]
pub(crate) struct Written<'h, 'a> {
    bytes: Vec<u8>,
    held: &'h mut Held<'a>,
    refusal: Option<ApiError>,
}

impl Held<'_> {
    /// Holds so many bytes more.
    ///
    /// # Errors
    /// `query_too_large` when the question alone takes more than a tenant may hold, `too_many_at_once` when it does so together with
    /// the tenant's other requests, `overloaded` when the process has no more.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), ApiError> {
        let fits_alone = self.share.fits_alone(bytes);
        self.share.grow(bytes).map_err(|full| {
            if full == Full::Tenant && !fits_alone {
                return self.too_large(TooMany::Bytes);
            }
            full.into()
        })
    }

    /// The refusal of the question.
    pub(crate) fn too_large(&self, too_many: TooMany) -> ApiError {
        self.ground.too_large(self.ask, too_many).into()
    }

    /// Collects what is written.
    ///
    /// # Errors
    /// As [`grow`](Self::grow).
    pub(crate) fn collect(&mut self, write: impl FnOnce(&mut Written<'_, '_>) -> io::Result<()>) -> Result<Vec<u8>, ApiError> {
        let mut written = Written { bytes: Vec::new(), held: self, refusal: None };
        let result = write(&mut written);
        if let Some(refusal) = written.refusal {
            return Err(refusal);
        }
        result.expect("an answer is plain data, and nothing else refuses its bytes");
        let mut bytes = written.bytes;
        bytes.shrink_to_fit();
        Ok(bytes)
    }
}

impl Write for Written<'_, '_> {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        let room = self.bytes.capacity() - self.bytes.len();
        if part.len() > room {
            let more = (part.len() - room).max(self.bytes.capacity()).max(STEP_BYTES);
            if let Err(refusal) = self.held.grow(more) {
                self.refusal = Some(refusal);
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            self.bytes.reserve_exact(room + more);
        }
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
