//! What the waiting room has to tell of its callers: notes and forecasts are kept, messages of steps are played.

use super::life::State;
use super::switch::{Order, Switch};
use crate::model::media::AfterSounds;
use crate::model::{CallId, Fact, MediaCommand, SoundId};

impl Switch {
    /// Keeps what has happened to everybody's wait, and plays what steps say to their callers.
    pub(super) fn keep_up_with_room(&mut self, out: &mut Vec<Order>) {
        for (id, mut note) in self.room.take_notes() {
            // Who comes back from a phone that vanished begins anew in the room, and goes on in its story.
            if let Some(call) = self.calls.get_mut(&id) {
                call.notes = call.notes.saturating_add(1);
                note.number = call.notes;
            }
            self.facts.push(Fact::Routing { call: id, note: Box::new(note) });
        }
        self.facts.extend(self.room.take_calibration().map(Fact::Forecast));
        for (id, message) in self.room.take_messages() {
            self.say(id, message, out);
        }
    }

    /// A message, and then the music again; to nobody who does not wait any more.
    fn say(&mut self, id: CallId, message: SoundId, out: &mut Vec<Order>) {
        let Some(call) = self.calls.get(&id) else { return };
        if matches!(call.state, State::Waiting | State::Offering(_)) {
            let sounds = vec![message, call.line.music.clone()];
            let leg = call.caller_leg();
            out.push(Order::Media(MediaCommand::Play { leg, sounds, after: AfterSounds::RepeatLast }));
        }
    }
}
