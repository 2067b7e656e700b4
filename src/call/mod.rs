//! The life of every call: legs, offers, bridge, recording; in its own words, never SIP's.

mod apply;
mod bridge;
mod callback;
mod commands;
mod consult;
mod decision;
mod dialling;
mod ending;
mod errand;
mod forward;
mod handing;
mod ivr;
mod keeping;
mod leg;
mod life;
mod messages;
mod offer;
mod opening;
mod orders;
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
mod voicemail;
mod waiting;
mod ways;

pub use callback::{CALL_BACKS_MAX, Recall, Recalling};
pub use commands::Census;
pub use consult::{CONSULT_DURATION_MAX, CONSULT_RING_MAX, Consult, ConsultState, Partner};
pub use forward::{Forward, IfFailed};
pub use ivr::Choosing;
pub use leg::{Leg, LegState};
pub use life::{Call, State};
pub use messages::{Hearing, VoiceInput};
pub use offer::LiveOffer;
pub use orders::{Brings, Orders};
pub use persons::{Parting, Persons};
pub use switch::{CALLS_MAX, NOBODY_GRACE, Order, Switch, SwitchInput};
pub use transfer::Handover;
pub use voicemail::Message;
