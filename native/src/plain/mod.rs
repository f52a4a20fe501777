//! Plain claims from the bytes of the request to the bytes of the answer.
//!
//! Nearly all claims are plain: an id, a token, a run that is at work. Made in
//! Python, such a claim costs a dozen objects and as many calls; made here, a
//! group of them is read, decided, written and answered in one call. What is
//! not plain, or not right, or not as it usually is (a hook id that was used
//! before, a lease that has lapsed, a run that is not there) is left alone,
//! without effect: the Python code does it. That code is the reference, and a
//! test holds this against it.

mod answer;
mod claim;
mod group;
mod keys;
mod known;
mod request;
mod run;

pub use group::{Answered, Call, Moment, Outcome, Records, claim_group};
pub use request::Kind;
