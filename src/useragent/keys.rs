//! INFO within a dialog (RFC 6086): keys pressed, as some phones tell them and take them instead of by RFC 4733.

use crate::call::signal::Signal;
use crate::model::LegId;
use crate::sip::{Method, Request};

use super::UserAgent;
use super::answer::answer;
use super::incoming::{Arrival, Refusal, check};
use super::leg::{Leg, Purpose, Stage};
use super::wire::Beat;

/// What is read, as a 415 tells it.
const KEYS_ACCEPTED: &str = "application/dtmf-relay, application/dtmf";
/// The longest body read: a signal and a duration.
const BODY_LENGTH_MAX: usize = 256;
/// Keys that wait for the answer to the one before: as many as wait anywhere.
const KEYS_WAITING_MAX: usize = 32;

impl UserAgent {
    /// An INFO: a key is told; one without a body is answered 200, one with another body 415.
    pub(super) fn told(&mut self, id: LegId, arrival: &Arrival, beat: &mut Beat<'_>) {
        let Arrival { key, request, .. } = arrival;
        let traced = self.legs.find(id).and_then(Leg::traced);
        let digit = match check(request).and_then(|()| read_digit(request)) {
            Ok(digit) => digit,
            Err(refusal) => {
                let response = refusal.response(request, &self.wire.rules);
                return self.wire.respond(key, response, traced, beat);
            }
        };
        let ok = answer(request, 200, &self.wire.rules);
        self.wire.respond(key, ok, traced, beat);
        if let Some(digit) = digit {
            if let Some(leg) = self.legs.find_mut(id) {
                // Who speaks so understands it.
                leg.far.takes_keys = true;
            }
            beat.signal(Signal::Dtmf { leg: id, digit });
        }
    }
}

impl UserAgent {
    /// Tells the far end a key by INFO, when it is known to take that. One is told after the other, or they could overtake
    /// each other.
    pub(super) fn tell_key(&mut self, id: LegId, (digit, duration_ms): (char, u32), beat: &mut Beat<'_>) {
        let Some(leg) = self.legs.find_mut(id) else { return };
        let is_settled = matches!(leg.stage, Stage::Accepted(_) | Stage::Confirmed { .. });
        if !leg.far.takes_keys || !is_settled || leg.keys.len() >= KEYS_WAITING_MAX {
            return beat.signal(Signal::KeyUntold { leg: id, digit, duration_ms });
        }
        leg.keys.push_back((digit, duration_ms));
        if leg.keys.len() == 1 {
            self.send_key(id, beat);
        }
    }

    /// Sends the INFO of the first key that waits.
    fn send_key(&mut self, id: LegId, beat: &mut Beat<'_>) {
        let Some(leg) = self.legs.find_mut(id).filter(|leg| leg.is_live()) else { return };
        let Some((digit, duration_ms)) = leg.keys.front().copied() else { return };
        let mut info = leg.dialog.request(Method::Info, &self.wire.rules);
        info.headers.push("Content-Type", "application/dtmf-relay".to_owned());
        info.body = format!("Signal={digit}\r\nDuration={duration_ms}\r\n").into();
        let (path, traced) = (leg.dialog.next_path(&self.wire.rules), leg.traced());
        match self.wire.request(path, info, traced, beat) {
            Some(key) => self.legs.ask(id, key, Purpose::Key),
            None => self.key_answered(id, 503, beat),
        }
    }

    /// The far end has answered the INFO of a key. One that it does not take is left to be heard as tones, and so is each
    /// after it; one that was never answered is too old for that.
    pub(super) fn key_answered(&mut self, id: LegId, status: u16, beat: &mut Beat<'_>) {
        let Some(leg) = self.legs.find_mut(id).filter(|leg| leg.is_live()) else { return };
        match status {
            100..=199 => {}
            200..=299 => {
                leg.keys.pop_front();
                self.send_key(id, beat);
            }
            _ => {
                leg.far.takes_keys = false;
                let mut keys = std::mem::take(&mut leg.keys);
                if status == 408 {
                    keys.pop_front();
                }
                for (digit, duration_ms) in keys {
                    beat.signal(Signal::KeyUntold { leg: id, digit, duration_ms });
                }
            }
        }
    }
}

fn read_digit(request: &Request) -> Result<Option<char>, Refusal> {
    if request.body.is_empty() {
        return Ok(None);
    }
    let kind = request.headers.first("Content-Type").unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let text = String::from_utf8_lossy(request.body.get(..BODY_LENGTH_MAX).unwrap_or(&request.body));
    let signal = match kind.as_str() {
        "application/dtmf-relay" => text.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            name.trim().eq_ignore_ascii_case("Signal").then(|| value.trim().to_owned())
        }),
        "application/dtmf" => Some(text.trim().to_owned()),
        _ => return Err(Refusal::with(415, "Accept", KEYS_ACCEPTED)),
    };
    // RFC 4733 §3.2 numbers the star 10 and the hash 11; some phones write that.
    let digit = match signal.as_deref() {
        Some("10") => Some('*'),
        Some("11") => Some('#'),
        Some(text) => Some(text).filter(|text| text.len() == 1).and_then(|text| text.chars().next()),
        None => None,
    };
    let digit = digit.map(|digit| digit.to_ascii_uppercase());
    match digit.filter(|digit| matches!(digit, '0'..='9' | '*' | '#' | 'A'..='D')) {
        Some(digit) => Ok(Some(digit)),
        None => Err(Refusal::of(400)),
    }
}
