//! What the carrier does with a call of Vigie's, and the keys that are pressed.

use std::net::SocketAddr;

use vigie::model::{Input, MediaReport};

use super::{Event, Later, World};
use crate::people::{Outsider, Person};
use crate::wire::Text;

/// The first outside party's place among the people.
pub const OUTSIDERS: u32 = 2_000_000;

impl World {
    /// Whoever is reached by a new INVITE to the carrier: the caller of this number, or somebody outside.
    pub(super) fn callee(&mut self, to: SocketAddr, text: &Text) -> Option<u32> {
        let is_new = text.method() == "INVITE" && !text.header("to").contains(";tag=");
        if !is_new || to != crate::centre::trunk(0) {
            return None;
        }
        let uri = text.start.split(' ').nth(1).unwrap_or_default();
        let user = uri.trim_start_matches("sip:").split('@').next().unwrap_or_default();
        let caller = user.strip_prefix("+3361").and_then(|rest| rest.parse::<u32>().ok());
        let person = match caller.filter(|number| self.people.contains_key(number)) {
            Some(number) => {
                if let Some(Person::Caller(caller)) = self.people.get_mut(&number) {
                    caller.phone.address = to;
                }
                number
            }
            None => {
                let number = self.people.range(OUTSIDERS..).count() as u32;
                let outsider = Outsider::new(number, self.chance.fork());
                self.people.insert(OUTSIDERS + number, Person::Outsider(Box::new(outsider)));
                OUTSIDERS + number
            }
        };
        self.by_call_id.insert(text.header("call-id").to_owned(), person);
        Some(person)
    }

    /// A key goes out as telephone-event, and the media plane reports it.
    pub(super) fn press(&mut self, rtp: SocketAddr, digit: char) {
        let Some(leg) = self.media.leg_of(rtp) else { return };
        let report = MediaReport::Dtmf { leg, digit, duration_ms: 120 };
        self.after(5_000, Event::Later(Later::Report(Input::Media(report))));
    }
}
