//! The life of every call: legs, offers, bridge, recording; in its own words, never SIP's.

mod apply;
mod commands;
mod decision;
mod ending;
mod errand;
mod leg;
mod life;
mod offer;
mod opening;
pub mod signal;
mod switch;
mod talking;
#[cfg(test)]
mod tests;
mod waiting;

pub use commands::Census;
pub use leg::{Leg, LegState};
pub use life::{Call, State};
pub use offer::LiveOffer;
pub use switch::{CALLS_MAX, NOBODY_GRACE, Order, Switch, SwitchInput};
