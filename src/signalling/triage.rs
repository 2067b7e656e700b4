//! Whether a message belongs to something live or asks for something new, and how urgent that is: one look at its first bytes.

use std::collections::HashSet;

use crate::model::Centre;

/// What waits behind what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// A response, or a request within a dialog: a live call depends on it.
    Live,
    /// A new call.
    Call,
    /// The end of a call that was not accepted yet: it waits with the new calls, for ahead of its own INVITE it would
    /// find nothing to cancel.
    Cancel,
    /// A registration, anything else.
    Other,
}

/// How far into a message the To header is looked for: the usual place, and a bound.
const LOOK_BYTES_MAX: usize = 4096;

/// A number is known by so many last digits, however its beginning is written (`+33261910101`, `0261910101`).
const SUFFIX_DIGITS: usize = 9;

/// Sorts a message. A wrong guess costs only its place in the line.
pub fn urgency(message: &[u8]) -> Urgency {
    let starts = |method: &[u8]| message.starts_with(method);
    if starts(b"SIP/2.0") || starts(b"ACK ") || starts(b"BYE ") || starts(b"PRACK ") {
        return Urgency::Live;
    }
    if starts(b"CANCEL ") {
        return Urgency::Cancel;
    }
    let within: [&[u8]; 6] = [b"INVITE ", b"UPDATE ", b"INFO ", b"REFER ", b"NOTIFY ", b"SUBSCRIBE "];
    if within.iter().any(|method| starts(method)) {
        let look = message.get(..LOOK_BYTES_MAX).unwrap_or(message);
        if look.split(|b| *b == b'\n').any(is_to_with_tag) {
            return Urgency::Live;
        }
    }
    if starts(b"INVITE ") { Urgency::Call } else { Urgency::Other }
}

fn is_to_with_tag(line: &[u8]) -> bool {
    let is_to = matches!(line, [b't' | b'T', b':' | b' ', ..] | [b't' | b'T', b'o' | b'O', b':' | b' ', ..]);
    is_to && line.windows(5).any(|five| five.eq_ignore_ascii_case(b";tag="))
}

/// The numbers of the lines that go first when there is too much, by their last digits.
#[derive(Clone, Debug, Default)]
pub struct UrgentNumbers {
    suffixes: HashSet<Vec<u8>>,
}

impl UrgentNumbers {
    /// The DDIs of every line of this priority or a more urgent one; with 0, none.
    pub fn of(centre: &Centre, priority: u8) -> UrgentNumbers {
        let lines = centre.lines.values().filter(|line| line.demand.priority <= priority);
        let suffixes = lines.flat_map(|line| &line.ddis).map(|ddi| suffix(ddi.as_str().bytes()));
        UrgentNumbers { suffixes: suffixes.collect() }
    }

    /// Whether the Request-URI of a message names one of them.
    pub fn are_dialled_by(&self, message: &[u8]) -> bool {
        if self.suffixes.is_empty() {
            return false;
        }
        let uri = message.split(|b| *b == b' ').nth(1).unwrap_or_default();
        let user = uri.split(|b| *b == b':').nth(1).unwrap_or_default();
        let user = user.split(|b| matches!(b, b'@' | b';')).next().unwrap_or_default();
        self.suffixes.contains(&suffix(user.iter().copied()))
    }
}

fn suffix(text: impl DoubleEndedIterator<Item = u8>) -> Vec<u8> {
    text.rev().filter(u8::is_ascii_digit).take(SUFFIX_DIGITS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_call_waits_behind_a_call_in_progress() {
        assert_eq!(urgency(b"INVITE sip:a SIP/2.0\r\nFrom: <b>;tag=1\r\nTo: <c>\r\n\r\n"), Urgency::Call);
        assert_eq!(urgency(b"INVITE sip:a SIP/2.0\r\nTo: <c>;tag=7\r\n\r\n"), Urgency::Live);
        assert_eq!(urgency(b"INVITE sip:a SIP/2.0\r\nt: <c>;TAG=7\r\n\r\n"), Urgency::Live);
        assert_eq!(urgency(b"REFER sip:a SIP/2.0\r\nTo: <c>;tag=7\r\n\r\n"), Urgency::Live);
        assert_eq!(urgency(b"REGISTER sip:a SIP/2.0\r\nTo: <c>;tag=7\r\n\r\n"), Urgency::Other);
        assert_eq!(urgency(b"CANCEL sip:a SIP/2.0\r\nTo: <c>\r\n\r\n"), Urgency::Cancel);
        assert_eq!(urgency(b"SIP/2.0 200 OK\r\n\r\n"), Urgency::Live);
        assert_eq!(urgency(b""), Urgency::Other);
    }

    #[test]
    fn an_urgent_number_is_known_however_it_is_written() {
        let urgent = UrgentNumbers { suffixes: HashSet::from([suffix("+33261910101".bytes())]) };
        for uri in
            ["sip:+33261910101@h", "sip:0261910101@h;user=phone", "tel:+33-2-61-91-01-01", "sips:0033261910101@h"]
        {
            assert!(urgent.are_dialled_by(format!("INVITE {uri} SIP/2.0\r\n").as_bytes()), "{uri}");
        }
        for uri in ["sip:+33261910102@h", "sip:h", "", "sip:0261910101", "tel:", ":::"] {
            let is_number = uri == "sip:0261910101";
            assert_eq!(urgent.are_dialled_by(format!("INVITE {uri} SIP/2.0\r\n").as_bytes()), is_number, "{uri}");
        }
        assert!(!UrgentNumbers::default().are_dialled_by(b"INVITE sip:1@h SIP/2.0"));
    }
}
