//! The wall clock: the one place that reads it.

use std::cell::RefCell;

use jiff::Timestamp;

type Clock = Box<dyn Fn() -> Timestamp>;

thread_local! {
    static SIMULATED: RefCell<Option<Clock>> = const { RefCell::new(None) };
}

/// A thread whose time is a simulation's, until this is dropped.
#[derive(Debug)]
#[must_use = "the simulated clock stops when this is dropped"]
pub struct Simulated(());

/// The present instant. Callers read it at the edge and pass it on as `now`.
#[allow(clippy::disallowed_methods, reason = "this is the place that the ban points to")]
pub fn now() -> Timestamp {
    SIMULATED.with_borrow(|clock| clock.as_ref().map_or_else(Timestamp::now, |clock| clock()))
}

/// Makes this thread's time another one. For the seeded simulation alone, whose whole world runs on one thread in virtual time;
/// a process at work never calls it.
pub fn simulate(clock: impl Fn() -> Timestamp + 'static) -> Simulated {
    SIMULATED.set(Some(Box::new(clock)));
    Simulated(())
}

impl Drop for Simulated {
    fn drop(&mut self) {
        SIMULATED.set(None);
    }
}
