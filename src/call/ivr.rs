//! A caller chooses by keys before waiting: menus, and what follows on a wrong key or none.

use super::decision::{CallInput, Decision};
use super::ending::{self, Ending};
use super::life::{Call, SOUND_DURATION_MAX, State};
use super::ways;
use crate::model::media::AfterSounds;
use crate::model::{EndedBy, Menu, MenuId, Now, Outcome, SoundId};

/// Menus that one call may walk through: whoever goes round for longer is given to a person.
pub const MENUS_MAX: u16 = 50;

/// A caller in a menu.
#[derive(Clone, Debug, PartialEq)]
pub struct Choosing {
    /// Which.
    pub menu: MenuId,
    /// How often a key was wrong, or none was pressed.
    attempts: u8,
    /// Whether everything was heard, and only the key is waited for.
    is_listening: bool,
}

/// The caller hears `say` and then the menu, or walks on with the key that was pressed during the greeting.
pub fn begin(call: &mut Call, id: &MenuId, say: Vec<SoundId>, now: Now, out: &mut Vec<Decision>) {
    call.hears.menus += 1;
    // A checked configuration has the menu; whatever happens, the caller is not lost.
    let Some(menu) = call.centre.menus.get(id).cloned().filter(|_| call.hears.menus <= MENUS_MAX) else {
        return ways::wait(call, say, now, out);
    };
    call.state = State::Choosing(Box::new(Choosing { menu: menu.id.clone(), attempts: 0, is_listening: false }));
    if let Some((key, way)) = call.hears.early_key.take().and_then(|key| Some((key, menu.keys.get(&key)?.clone()))) {
        return ways::choose(call, Some(key), way, now, out);
    }
    let sounds = say.into_iter().chain(menu.say).collect();
    speak(call, sounds, now, out);
}

/// The key of a menu that leads to an outside number: it is followed at once, also during the greeting.
pub fn is_urgent(call: &Call, key: char) -> bool {
    let menu = call.line.voice.menu.as_ref().and_then(|id| call.centre.menus.get(id));
    let way = menu.map_or(call.line.voice.keys.get(&key), |menu| menu.keys.get(&key));
    way.is_some_and(|way| matches!(way.to, crate::model::Destination::Number(_)))
}

fn speak(call: &mut Call, sounds: Vec<SoundId>, now: Now, out: &mut Vec<Decision>) {
    call.play(call.caller_leg(), sounds, AfterSounds::Report, out);
    call.deadline = Some(now.moment + SOUND_DURATION_MAX);
}

/// The caller is in a menu.
pub fn step(call: &mut Call, input: CallInput, now: Now, out: &mut Vec<Decision>) {
    match input {
        CallInput::Dtmf { leg, digit } if leg.number == 0 => pressed(call, digit, now, out),
        CallInput::Played { leg } if leg.number == 0 => listen(call, now, out),
        CallInput::Due => due(call, now, out),
        CallInput::Ended { leg, .. } if leg.number == 0 => ending::abandon(call, now, out),
        CallInput::Silent { leg } if leg.number == 0 => ending::caller_is_silent(call, now, out),
        CallInput::Closed { leg, .. } if leg.number == 0 => ending::media_is_lost(call, now, out),
        CallInput::End(by) => ending::end(call, Ending::new(Outcome::Interrupted, by), now, out),
        CallInput::Opened { .. }
        | CallInput::OpenFailed { .. }
        | CallInput::Played { .. }
        | CallInput::Dtmf { .. }
        | CallInput::Silent { .. }
        | CallInput::Closed { .. }
        | CallInput::Ringing { .. }
        | CallInput::Accepted { .. }
        | CallInput::Refused { .. }
        | CallInput::Confirmed { .. }
        | CallInput::Reoffered { .. }
        | CallInput::Ended { .. }
        | CallInput::Chosen(_)
        | CallInput::HandOn(_)
        | CallInput::HandedOver(_)
        | CallInput::TakeOver(_)
        | CallInput::Voice(_)
        | CallInput::Steer(_)
        | CallInput::Nobody
        | CallInput::DevicesGone
        | CallInput::Sealed(_)
        | CallInput::RecordingFailed(_) => {}
    }
}

fn menu_of(call: &Call) -> Option<Menu> {
    let State::Choosing(choosing) = &call.state else { return None };
    call.centre.menus.get(&choosing.menu).cloned()
}

fn pressed(call: &mut Call, key: char, now: Now, out: &mut Vec<Decision>) {
    let Some(menu) = menu_of(call) else { return };
    match menu.keys.get(&key).cloned() {
        Some(way) => ways::choose(call, Some(key), way, now, out),
        // A menu without keys only says something: what is pressed into it means nothing.
        None if menu.keys.is_empty() => {}
        None => try_again(call, menu, true, now, out),
    }
}

/// Everything was heard: the key is waited for, or none is wanted.
fn listen(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    let Some(menu) = menu_of(call) else { return };
    if menu.keys.is_empty() {
        return ways::choose(call, None, menu.otherwise, now, out);
    }
    if let State::Choosing(choosing) = &mut call.state {
        choosing.is_listening = true;
    }
    call.deadline = Some(now.moment + menu.key_wait);
}

fn due(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    let Some(menu) = menu_of(call) else { return };
    let State::Choosing(choosing) = &call.state else { return };
    if choosing.is_listening { try_again(call, menu, false, now, out) } else { listen(call, now, out) }
}

/// Says the menu again, or goes where callers go who have not chosen.
fn try_again(call: &mut Call, menu: Menu, was_wrong: bool, now: Now, out: &mut Vec<Decision>) {
    let State::Choosing(choosing) = &mut call.state else { return };
    choosing.attempts = choosing.attempts.saturating_add(1);
    choosing.is_listening = false;
    if choosing.attempts >= menu.attempts_max {
        return ways::choose(call, None, menu.otherwise, now, out);
    }
    let wrong = menu.wrong.filter(|_| was_wrong);
    speak(call, wrong.into_iter().chain(menu.say).collect(), now, out);
}

/// The menu hangs up.
pub fn hang_up(call: &mut Call, say: Vec<SoundId>, now: Now, out: &mut Vec<Decision>) {
    let detail = "the caller chose, and the menu hung up".to_owned();
    if say.is_empty() {
        return ending::end(call, Ending::new(Outcome::Informed, EndedBy::Message).saying(detail), now, out);
    }
    speak(call, say, now, out);
    call.state = State::Farewell { outcome: Outcome::Informed, detail };
}
