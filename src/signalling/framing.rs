//! From a stream's bytes to its messages (RFC 3261 §18.3): what is whole, what is a keep-alive, and what can never be read.

use bytes::{Bytes, BytesMut};

use crate::sip::parse::MESSAGE_LENGTH_MAX;

/// What the stream says next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A whole message.
    Message(Bytes),
    /// Two line ends: they are answered with one (RFC 5626 §3.5.1).
    Ping,
}

/// Why nothing more can be read from a stream: where the next message would begin is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Torn {
    /// What is wrong, in words that go into the answer.
    pub why: &'static str,
    /// The message's head, when it came whole: what an answer is made of.
    pub head: Option<Bytes>,
}

/// The bytes of one stream that are no whole message yet: never more than one message and one read.
#[derive(Debug, Default)]
pub(super) struct Framing {
    kept: BytesMut,
    /// So far no end of the head was found.
    looked: usize,
    /// The length of the message that has begun, once its head is whole.
    length: Option<usize>,
}

impl Framing {
    /// Where the next bytes are read into.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        &mut self.kept
    }

    /// Whether a message has begun and is not whole.
    pub(super) fn is_amid(&self) -> bool {
        self.kept.iter().any(|b| !matches!(b, b'\r' | b'\n'))
    }

    /// The next message or keep-alive; `None` when more bytes are needed.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Torn> {
        if self.looked == 0 && self.skip_line_ends() {
            return Ok(Some(Frame::Ping));
        }
        if !self.is_amid() {
            return Ok(None);
        }
        let length = match self.length {
            Some(length) => length,
            None => match self.measure()? {
                Some(length) => *self.length.insert(length),
                None => return Ok(None),
            },
        };
        if self.kept.len() < length {
            return Ok(None);
        }
        (self.looked, self.length) = (0, None);
        Ok(Some(Frame::Message(self.kept.split_to(length).freeze())))
    }

    /// The length of the message, when its head is whole.
    fn measure(&mut self) -> Result<Option<usize>, Torn> {
        let Some(end) = self.find_end_of_head() else {
            let is_long = self.kept.len() > MESSAGE_LENGTH_MAX;
            return if is_long { Err(Torn { why: "Message Too Long", head: None }) } else { Ok(None) };
        };
        let head = self.kept.get(..end).unwrap_or_default();
        match content_length(head) {
            Ok(length) if end + length <= MESSAGE_LENGTH_MAX => Ok(Some(end + length)),
            Ok(_) => Err(self.tear("Message Too Long", end)),
            Err(why) => Err(self.tear(why, end)),
        }
    }

    /// Passes over line ends between messages (RFC 3261 §7.5); whether they were a ping. A single one is a pong, and
    /// is kept until it is seen whether it is the half of a ping.
    fn skip_line_ends(&mut self) -> bool {
        loop {
            let skip = match self.kept.as_ref() {
                [b'\r', b'\n', b'\r', b'\n', ..] => {
                    let _ = self.kept.split_to(4);
                    return true;
                }
                [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r'] => return false,
                [b'\r', b'\n', ..] => 2,
                [b'\r' | b'\n', ..] => 1,
                _ => return false,
            };
            let _ = self.kept.split_to(skip);
        }
    }

    /// The first byte behind the empty line, each byte looked at once.
    fn find_end_of_head(&mut self) -> Option<usize> {
        let from = self.looked.saturating_sub(2);
        let rest = self.kept.get(from..).unwrap_or_default();
        for (at, _) in rest.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            match rest.get(at + 1..) {
                Some([b'\n', ..]) => return Some(from + at + 2),
                Some([b'\r', b'\n', ..]) => return Some(from + at + 3),
                Some(_) | None => {}
            }
        }
        self.looked = self.kept.len();
        None
    }

    fn tear(&mut self, why: &'static str, end: usize) -> Torn {
        Torn { why, head: Some(self.kept.split_to(end).freeze()) }
    }
}

/// The length of the body: on a stream there is no other sign of its end (RFC 3261 §20.14).
fn content_length(head: &[u8]) -> Result<usize, &'static str> {
    let mut found: Option<usize> = None;
    let mut lines = head.split(|byte| *byte == b'\n').skip(1).peekable();
    while let Some(line) = lines.next() {
        let mut value = match line.iter().position(|byte| *byte == b':').and_then(|at| line.split_at_checked(at)) {
            Some((name, value)) if is_content_length(name) => value.get(1..).unwrap_or_default().to_vec(),
            Some(_) | None => continue,
        };
        // RFC 3261 §7.3.1: a line that starts with white space continues the one before.
        while let Some(more) = lines.next_if(|line| matches!(line, [b' ' | b'\t', ..])) {
            value.extend_from_slice(more);
        }
        let digits = value.trim_ascii();
        let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(digits).ok().filter(|_| is_number).and_then(|text| text.parse().ok());
        match (number, found) {
            (None, _) => return Err("Bad Content-Length"),
            (Some(number), Some(other)) if number != other => return Err("Bad Content-Length"),
            (Some(number), _) => found = Some(number),
        }
    }
    let length = found.ok_or("Content-Length Missing")?;
    // What follows is added to: nothing near the number's own limit goes on.
    if length > MESSAGE_LENGTH_MAX { Err("Message Too Long") } else { Ok(length) }
}

fn is_content_length(name: &[u8]) -> bool {
    let name = name.trim_ascii_end();
    name.eq_ignore_ascii_case(b"l") || name.eq_ignore_ascii_case(b"Content-Length")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIRST: &str = "MESSAGE sip:a SIP/2.0\r\nl : 5\r\nVia: x\r\n\r\nhello";
    const SECOND: &str = "SIP/2.0 200 OK\nContent-Length:\r\n 0\n\n";

    fn frames(pieces: impl IntoIterator<Item = Vec<u8>>) -> (Vec<Frame>, Option<Torn>) {
        let mut framing = Framing::default();
        let mut found = Vec::new();
        for piece in pieces {
            framing.room().extend_from_slice(&piece);
            loop {
                match framing.next() {
                    Ok(Some(frame)) => found.push(frame),
                    Ok(None) => break,
                    Err(torn) => return (found, Some(torn)),
                }
            }
        }
        (found, None)
    }

    fn message(text: &'static str) -> Frame {
        Frame::Message(Bytes::from_static(text.as_bytes()))
    }

    proptest! {
        #[test]
        fn messages_are_the_same_however_the_stream_is_cut(cuts in proptest::collection::vec(1..9_usize, 0..80)) {
            let text = format!("\r\n{FIRST}\r\n\r\n{SECOND}\r\n{FIRST}");
            let mut rest = text.as_bytes();
            let mut pieces = Vec::new();
            for cut in cuts {
                let (piece, behind) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece.to_vec());
                rest = behind;
            }
            pieces.push(rest.to_vec());
            let (found, torn) = frames(pieces);
            prop_assert_eq!(found, vec![message(FIRST), Frame::Ping, message(SECOND), message(FIRST)]);
            prop_assert_eq!(torn, None);
        }

        #[test]
        fn no_bytes_make_it_panic_or_keep_more_than_a_message(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
            let _ = frames(bytes.chunks(7).map(<[u8]>::to_vec));
        }
    }

    #[test]
    fn a_length_that_cannot_be_tears_the_stream_and_the_head_is_there_to_answer() {
        for (length, why) in [
            ("", "Content-Length Missing"),
            ("Content-Length: -5\r\n", "Bad Content-Length"),
            ("Content-Length: +5\r\n", "Bad Content-Length"),
            ("Content-Length: 5x\r\n", "Bad Content-Length"),
            ("Content-Length:\r\n", "Bad Content-Length"),
            ("Content-Length: 99999999999999999999999\r\n", "Bad Content-Length"),
            ("Content-Length: 18446744073709551615\r\n", "Message Too Long"),
            ("Content-Length: 65536\r\n", "Message Too Long"),
            ("l: 1\r\nContent-Length: 2\r\n", "Bad Content-Length"),
        ] {
            let text = format!("OPTIONS sip:a SIP/2.0\r\n{length}\r\n");
            let (found, torn) = frames([text.clone().into_bytes()]);
            assert_eq!((found, torn.clone().map(|torn| torn.why)), (vec![], Some(why)), "{length}");
            assert_eq!(torn.and_then(|torn| torn.head), Some(Bytes::from(text)), "{length}");
        }
    }

    #[test]
    fn a_head_without_end_is_torn_at_the_limit() {
        let endless = std::iter::repeat_n(b"X: y\r\n".repeat(100), 200);
        let (found, torn) = frames(endless);
        assert_eq!((found, torn), (vec![], Some(Torn { why: "Message Too Long", head: None })));
    }

    #[test]
    fn a_lone_line_end_is_no_message_that_has_begun() {
        let mut framing = Framing::default();
        framing.room().extend_from_slice(b"\r\n");
        assert_eq!((framing.next(), framing.is_amid()), (Ok(None), false));
        framing.room().extend_from_slice(b"I");
        assert_eq!((framing.next(), framing.is_amid()), (Ok(None), true));
    }
}
