//! Whether a datagram belongs to something live or asks for something new: one look at its first bytes.

/// What waits behind what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// A response, or a request within a dialog: a live call depends on it.
    Live,
    /// A new call, a registration, anything else.
    New,
}

/// How far into a message the To header is looked for: the usual place, and a bound.
const LOOK_BYTES_MAX: usize = 4096;

/// Sorts a datagram. A wrong guess costs only its place in the line. A CANCEL waits with the new work: ahead of its own
/// INVITE it would find nothing to cancel.
pub fn urgency(datagram: &[u8]) -> Urgency {
    let starts = |method: &[u8]| datagram.starts_with(method);
    if starts(b"SIP/2.0") || starts(b"ACK ") || starts(b"BYE ") || starts(b"PRACK ") {
        return Urgency::Live;
    }
    if starts(b"INVITE ") || starts(b"UPDATE ") || starts(b"INFO ") {
        let look = datagram.get(..LOOK_BYTES_MAX).unwrap_or(datagram);
        if look.split(|b| *b == b'\n').any(is_to_with_tag) {
            return Urgency::Live;
        }
    }
    Urgency::New
}

fn is_to_with_tag(line: &[u8]) -> bool {
    let is_to = matches!(line, [b't' | b'T', b':' | b' ', ..] | [b't' | b'T', b'o' | b'O', b':' | b' ', ..]);
    is_to && line.windows(5).any(|five| five.eq_ignore_ascii_case(b";tag="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_call_waits_behind_a_call_in_progress() {
        assert_eq!(urgency(b"INVITE sip:a SIP/2.0\r\nFrom: <b>;tag=1\r\nTo: <c>\r\n\r\n"), Urgency::New);
        assert_eq!(urgency(b"INVITE sip:a SIP/2.0\r\nTo: <c>;tag=7\r\n\r\n"), Urgency::Live);
        assert_eq!(urgency(b"INVITE sip:a SIP/2.0\r\nt: <c>;TAG=7\r\n\r\n"), Urgency::Live);
        assert_eq!(urgency(b"REGISTER sip:a SIP/2.0\r\nTo: <c>;tag=7\r\n\r\n"), Urgency::New);
        assert_eq!(urgency(b"CANCEL sip:a SIP/2.0\r\nTo: <c>\r\n\r\n"), Urgency::New);
        assert_eq!(urgency(b"SIP/2.0 200 OK\r\n\r\n"), Urgency::Live);
        assert_eq!(urgency(b""), Urgency::New);
    }
}
