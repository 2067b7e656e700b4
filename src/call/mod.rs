//! The life of every call: legs, offers, bridge, recording; in its own words, never SIP's.

mod apply;
mod bridge;
mod commands;
mod consult;
mod decision;
mod dialling;
mod ending;
mod errand;
mod handing;
mod keeping;
mod leg;
mod life;
mod offer;
mod opening;
mod outbound;
mod persons;
mod reload;
pub mod signal;
mod switch;
mod taking;
mod talking;
#[cfg(test)]
mod tests;
mod transfer;
mod waiting;

pub use commands::Census;
pub use consult::{CONSULT_DURATION_MAX, CONSULT_RING_MAX, Consult, ConsultState, Partner};
pub use leg::{Leg, LegState};
pub use life::{Call, State};
pub use offer::LiveOffer;
pub use persons::{Parting, Persons};
pub use switch::{CALLS_MAX, NOBODY_GRACE, Order, Switch, SwitchInput};
pub use transfer::Handover;
