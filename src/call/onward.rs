//! A line cannot serve a caller: closed, nobody on duty, waited too long. Its message, and then wherever it leads.

use super::decision::Decision;
use super::forward::{self, IfFailed};
use super::life::Call;
use super::{voicemail, ways};
use crate::model::centre::Farewell;
use crate::model::record::KEYS_KEPT_MAX;
use crate::model::{Destination, KeyChosen, Now, Outcome, SoundId};

/// How often one call may be led on by lines that cannot serve it: `vigie check` refuses circles, but for a caller who is
/// led on for several reasons in turn.
pub const ONWARD_MAX: u8 = 8;

/// Why a line cannot serve a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// It is closed at this hour.
    Closed,
    /// Nobody who could answer is on duty.
    Nobody,
    /// The caller waited as long as the line allows.
    WaitedTooLong,
}

impl Unmet {
    fn outcome(self) -> Outcome {
        match self {
            Unmet::Closed => Outcome::Closed,
            Unmet::Nobody => Outcome::NobodyOnDuty,
            Unmet::WaitedTooLong => Outcome::Overflowed,
        }
    }

    fn detail(self, call: &Call) -> String {
        match self {
            Unmet::Closed => "the line is closed at this hour".to_owned(),
            Unmet::Nobody => "nobody who could answer was on duty".to_owned(),
            Unmet::WaitedTooLong => {
                format!("waited {} s, the most that the line allows", call.line.waiting_max.as_secs())
            }
        }
    }
}

/// The message of the line, and what follows it.
pub fn lead(call: &mut Call, why: Unmet, now: Now, out: &mut Vec<Decision>) {
    let Farewell { message, to } = match why {
        Unmet::Closed => call.line.closed.clone(),
        Unmet::Nobody => call.line.nobody.clone(),
        Unmet::WaitedTooLong => call.line.overflow.clone(),
    };
    let Some(to) = to.filter(|_| call.led_on < ONWARD_MAX) else {
        let detail = why.detail(call);
        return call.say_farewell(message, (why.outcome(), detail), now, out);
    };
    call.led_on += 1;
    if call.record.choices.keys.len() < KEYS_KEPT_MAX {
        call.record.choices.keys.push(KeyChosen { at: now.utc, menu: None, key: None, to: to.to_string() });
    }
    let say: Vec<SoundId> = message.into_iter().collect();
    match to {
        Destination::Line(line) => ways::led_to_line(call, &line, say, now, out),
        Destination::Number(number) => forward::begin(call, &number, (say, IfFailed::End(why)), now, out),
        Destination::Voicemail => voicemail::begin(call, say, now, out),
        // The configuration offers the three above; whatever else stands here, the caller is not lost.
        Destination::Wait | Destination::Menu(_) | Destination::CallBack | Destination::HangUp => {
            let detail = why.detail(call);
            call.say_farewell(say.into_iter().next(), (why.outcome(), detail), now, out);
        }
    }
}

/// Nobody answered at the number that the line leads to either: its message and the end.
pub fn end(call: &mut Call, why: Unmet, now: Now, out: &mut Vec<Decision>) {
    let message = match why {
        Unmet::Closed => call.line.closed.message.clone(),
        Unmet::Nobody => call.line.nobody.message.clone(),
        Unmet::WaitedTooLong => call.line.overflow.message.clone(),
    };
    let detail = format!("{}, and nobody answered at the outside number either", why.detail(call));
    call.say_farewell(message, (why.outcome(), detail), now, out);
}
