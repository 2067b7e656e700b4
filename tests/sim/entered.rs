//! Which states the days' calls were in, and what was asked of live calls: a state that no day enters proves nothing.

use vigie::call::State;
use vigie::model::Control;

/// The names of [`state_bit`]'s bits.
pub const STATES: [&str; 14] = [
    "Opening",
    "Greeting",
    "Waiting",
    "Offering",
    "Talking",
    "Transferring",
    "Choosing",
    "Forwarding",
    "Voicemail",
    "Postponed",
    "Recalling",
    "Farewell",
    "Ending",
    "Sealing",
];

/// Which of them a call is in.
pub fn state_bit(state: &State) -> u32 {
    match state {
        State::Opening { .. } => 0,
        State::Greeting => 1,
        State::Waiting => 2,
        State::Offering(_) => 3,
        State::Talking { .. } => 4,
        State::Transferring(_) => 5,
        State::Choosing(_) => 6,
        State::Forwarding(_) => 7,
        State::Voicemail(_) => 8,
        State::Postponed => 9,
        State::Recalling(_) => 10,
        State::Farewell { .. } => 11,
        State::Ending => 12,
        State::Sealing => 13,
        // Nobody of this centre dials outside without a caller: `call/tests/calling_out.rs` does.
        State::CallingOut(_) => 14,
    }
}

/// The names of [`control_bit`]'s bits.
pub const CONTROLS: [&str; 13] = [
    "Hold",
    "Resume",
    "Add",
    "Join",
    "Drop",
    "HandToSamu",
    "Leave",
    "Requeue",
    "Transfer",
    "Demand",
    "Supervise",
    "PauseRecording",
    "ResumeRecording",
];

/// Which of them was asked.
pub fn control_bit(control: &Control) -> u32 {
    match control {
        Control::Hold => 0,
        Control::Resume => 1,
        Control::Add { .. } => 2,
        Control::Join => 3,
        Control::Drop { .. } => 4,
        Control::HandToSamu => 5,
        Control::Leave => 6,
        Control::Requeue => 7,
        Control::Transfer(_) => 8,
        Control::Demand(_) => 9,
        Control::Supervise { .. } => 10,
        Control::PauseRecording { .. } => 11,
        Control::ResumeRecording { .. } => 12,
    }
}

/// The names whose bits are not set.
pub fn missing(names: &[&'static str], bits: u32) -> Vec<&'static str> {
    names.iter().enumerate().filter(|(place, _)| bits & (1 << place) == 0).map(|(_, name)| *name).collect()
}
