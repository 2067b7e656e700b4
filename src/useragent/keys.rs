//! INFO within a dialog (RFC 6086): keys pressed, as some phones tell them instead of by RFC 4733.

use crate::call::signal::Signal;
use crate::model::LegId;
use crate::sip::Request;

use super::UserAgent;
use super::answer::answer;
use super::incoming::{Arrival, Refusal, check};
use super::leg::Leg;
use super::wire::Beat;

/// What is read, as a 415 tells it.
const KEYS_ACCEPTED: &str = "application/dtmf-relay, application/dtmf";
/// The longest body read: a signal and a duration.
const BODY_LENGTH_MAX: usize = 256;

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
            beat.signal(Signal::Dtmf { leg: id, digit });
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
