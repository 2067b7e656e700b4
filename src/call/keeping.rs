//! What the waiting room has to tell of its callers: notes and forecasts are kept, messages of steps go to their calls.

use super::decision::CallInput;
use super::messages::VoiceInput;
use super::switch::Switch;
use crate::model::Fact;

impl Switch {
    /// Keeps what has happened to everybody's wait, and hands on what steps say to their callers.
    pub(super) fn keep_up_with_room(&mut self) {
        for (id, mut note) in self.room.take_notes() {
            // Who comes back from a phone that vanished begins anew in the room, and goes on in its story.
            if let Some(call) = self.calls.get_mut(&id) {
                call.notes = call.notes.saturating_add(1);
                note.number = call.notes;
            }
            self.facts.push(Fact::Routing { call: id, note: Box::new(note) });
        }
        self.facts.extend(self.room.take_calibration().map(Fact::Forecast));
        let messages = self.room.take_messages().into_iter();
        self.queue.extend(messages.map(|(call, sound)| (call, CallInput::Voice(VoiceInput::Message(sound)))));
    }
}
