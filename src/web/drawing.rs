//! A call's SIP messages drawn as a ladder that an operator can read in a terminal: text in, text out.

use std::fmt::Write as _;
use std::net::SocketAddr;

use jiff::tz::TimeZone;

use crate::model::{SipTrace, Utc};

/// The fewest and the most characters from one party's line to the next; between them, the longest label decides.
const COLUMN_WIDTH_MIN: usize = 28;
const COLUMN_WIDTH_MAX: usize = 44;
/// What a column holds beside its label: a line, an arrow's head, its shaft at both ends and a space on either side.
const LABEL_MARGIN: usize = 8;
/// The most parties that get a column of their own; all further ones share the last.
const PARTIES_MAX: usize = 8;
/// The most characters of a first line written beside its arrow.
const FIRST_LINE_MAX: usize = 120;
/// Width of the time at the left, with its gap.
const TIME_WIDTH: usize = 14;

/// One party beside Vigie: a leg and its far end.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Party {
    leg: u16,
    peer: SocketAddr,
}

/// Draws `messages`, in the order given; with `whole`, the messages themselves follow, numbered.
pub fn draw_ladder(messages: &[SipTrace], whole: bool, zone: &TimeZone) -> String {
    let columns = Columns::of(messages);
    let mut text = String::new();
    if let Some(first) = messages.first() {
        let _ = writeln!(text, "Call {}, from {}", first.call, first.at.with_offset(zone));
    }
    text.push_str(&columns.draw_heads());
    for (number, message) in messages.iter().enumerate() {
        let _ = writeln!(text, "{}  [{}] {}", columns.draw_arrow(message, zone), number + 1, first_line(message));
    }
    if whole {
        for (number, message) in messages.iter().enumerate() {
            write_message(&mut text, number + 1, message, zone);
        }
    }
    text
}

/// Where the parties stand: the caller's left of Vigie, all others right of it.
struct Columns {
    left: Vec<Party>,
    right: Vec<Party>,
    /// Characters from one line to the next.
    width: usize,
}

impl Columns {
    fn of(messages: &[SipTrace]) -> Columns {
        let widest = messages.iter().map(|message| {
            let peer = message.peer.to_string().len() + 2;
            peer.max(label(message, COLUMN_WIDTH_MAX - LABEL_MARGIN).chars().count() + LABEL_MARGIN)
        });
        let width = widest.max().unwrap_or_default().clamp(COLUMN_WIDTH_MIN, COLUMN_WIDTH_MAX);
        let mut columns = Columns { left: Vec::new(), right: Vec::new(), width };
        for message in messages {
            let party = Party { leg: message.leg, peer: message.peer };
            let side = if message.leg == 0 { &mut columns.left } else { &mut columns.right };
            if side.len() < PARTIES_MAX && !side.contains(&party) {
                side.push(party);
            }
        }
        columns
    }

    fn vigie(&self) -> usize {
        self.left.len()
    }

    fn count(&self) -> usize {
        self.left.len() + 1 + self.right.len()
    }

    /// The column of a message's far end.
    fn find(&self, message: &SipTrace) -> usize {
        let party = Party { leg: message.leg, peer: message.peer };
        let (side, before) = if message.leg == 0 { (&self.left, 0) } else { (&self.right, self.vigie() + 1) };
        let place = side.iter().position(|one| *one == party).unwrap_or(side.len().saturating_sub(1));
        before + place
    }

    fn draw_heads(&self) -> String {
        let names = |party: &Party| if party.leg == 0 { "caller".to_owned() } else { format!("leg {}", party.leg) };
        let peers = |party: &Party| party.peer.to_string();
        let mut text = String::new();
        for (middle, write) in [("Vigie", &names as &dyn Fn(&Party) -> String), ("", &peers)] {
            let mut row = Row::blank(self.position(self.count()));
            let left = self.left.iter().map(write);
            let all = left.chain([middle.to_owned()]).chain(self.right.iter().map(write));
            for (column, head) in all.enumerate() {
                row.put(self.position(column).saturating_sub(head.chars().count() / 2), &head);
            }
            let _ = writeln!(text, "{}", row.finish());
        }
        text
    }

    fn draw_arrow(&self, message: &SipTrace, zone: &TimeZone) -> String {
        let mut row = Row::blank(self.position(self.count()));
        row.put(0, &time_of_day(message.at, zone));
        for column in 0..self.count() {
            row.put(self.position(column), "|");
        }
        let (from, to) = match message.received {
            true => (self.position(self.find(message)), self.position(self.vigie())),
            false => (self.position(self.vigie()), self.position(self.find(message))),
        };
        let (low, high) = (from.min(to), from.max(to));
        row.put(low + 1, &"-".repeat((high - low).saturating_sub(1)));
        match from < to {
            true => row.put(high.saturating_sub(1), ">"),
            false => row.put(low + 1, "<"),
        }
        // The label stands in the column nearest to Vigie's line, so that it never runs over another party's.
        let label = format!(" {} ", label(message, self.width - LABEL_MARGIN));
        let gap = if message.leg == 0 { high.saturating_sub(self.width) } else { low };
        let indent = (self.width.saturating_sub(label.chars().count())) / 2;
        row.put(gap + indent.max(3), &label);
        row.finish()
    }

    /// Where a column's line stands, in characters from the left.
    fn position(&self, column: usize) -> usize {
        TIME_WIDTH + self.width / 2 + column * self.width
    }
}

/// One line of the drawing.
struct Row(Vec<char>);

impl Row {
    fn blank(width: usize) -> Row {
        Row(vec![' '; width])
    }

    /// Writes `text` from `at` on; what would stand outside is left out.
    fn put(&mut self, at: usize, text: &str) {
        for (place, character) in self.0.iter_mut().skip(at).zip(text.chars()) {
            *place = character;
        }
    }

    fn finish(self) -> String {
        self.0.into_iter().collect::<String>().trim_end().to_owned()
    }
}

/// `INVITE +SDP` or `200 OK (INVITE) +SDP`, in at most `length_max` characters: a reason phrase that is too long is
/// left out, and any other text is cut with `…`.
fn label(message: &SipTrace, length_max: usize) -> String {
    let first = first_line(message);
    let body = match message.text.contains("\nv=0") {
        true => " +SDP",
        false => "",
    };
    let method = find_method(&message.text).unwrap_or("?");
    let text = match first.strip_prefix("SIP/2.0 ") {
        Some(status) => {
            let whole = format!("{status} ({method}){body}");
            let code = status.split(' ').next().unwrap_or_default();
            if whole.chars().count() <= length_max { whole } else { format!("{code} ({method}){body}") }
        }
        None => format!("{}{body}", first.split(' ').next().unwrap_or_default()),
    };
    if text.chars().count() <= length_max {
        return text;
    }
    text.chars().take(length_max.saturating_sub(1)).chain(['…']).collect()
}

/// The method that CSeq names (RFC 3261 §20.16): which request a response belongs to.
fn find_method(text: &str) -> Option<&str> {
    let line = text
        .lines()
        .take_while(|line| !line.is_empty())
        .find(|line| line.split_once(':').is_some_and(|(name, _)| name.trim().eq_ignore_ascii_case("cseq")))?;
    line.split_whitespace().last().filter(|method| method.bytes().all(|b| b.is_ascii_uppercase()))
}

/// The first line, without what could steer a terminal.
fn first_line(message: &SipTrace) -> String {
    message.text.lines().next().unwrap_or_default().chars().map(make_harmless).take(FIRST_LINE_MAX).collect()
}

/// A peer's control characters must not reach an operator's terminal.
fn make_harmless(character: char) -> char {
    match character.is_control() {
        true => '\u{fffd}',
        false => character,
    }
}

fn time_of_day(at: Utc, zone: &TimeZone) -> String {
    at.timestamp().to_zoned(zone.clone()).strftime("%H:%M:%S.%3f").to_string()
}

fn write_message(text: &mut String, number: usize, message: &SipTrace, zone: &TimeZone) {
    let way = if message.received { "from" } else { "to" };
    let _ =
        writeln!(text, "\n[{number}] {} {way} {} (leg {})", time_of_day(message.at, zone), message.peer, message.leg);
    for line in message.text.lines() {
        let line: String = line.chars().map(make_harmless).collect();
        let _ = writeln!(text, "{}", format!("    {line}").trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CallId, Chance};

    fn message(leg: u16, received: bool, port: u16, text: &str) -> SipTrace {
        let call = CallId::new(Utc(0), &mut Chance::from_number(1));
        let peer = SocketAddr::from(([127, 0, 0, 2], port));
        SipTrace { call, leg, at: Utc(1_700_000_000_000_000), received, peer, text: text.into() }
    }

    #[test]
    fn a_call_reads_as_arrows_between_its_parties() {
        let messages = [
            message(0, true, 5060, "INVITE sip:+33233010101@127.0.0.1 SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\nv=0\r\n"),
            message(0, false, 5060, "SIP/2.0 100 Trying\r\nCSeq: 1 INVITE\r\n\r\n"),
            message(1, false, 40000, "INVITE sip:anne@127.0.0.1:40000 SIP/2.0\r\nCSeq: 7 INVITE\r\n\r\n"),
            message(1, true, 40000, "SIP/2.0 200 OK\r\nCSeq: 7 INVITE\r\n\r\nv=0\r\n"),
            message(2, false, 40001, "CANCEL sip:paul@127.0.0.1:40001 SIP/2.0\r\nCSeq: 7 CANCEL\r\n\r\n"),
        ];
        let text = draw_ladder(&messages, false, &TimeZone::UTC);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains("caller") && lines[1].contains("Vigie") && lines[1].contains("leg 2"), "{text}");
        assert!(lines[2].contains("127.0.0.2:5060") && lines[2].contains("127.0.0.2:40001"), "{text}");
        assert!(lines[3].starts_with("22:13:20.000") && lines[3].contains(" INVITE +SDP -"), "{text}");
        assert!(
            lines[3].contains(">|") && lines[3].ends_with("[1] INVITE sip:+33233010101@127.0.0.1 SIP/2.0"),
            "{text}"
        );
        assert!(lines[4].contains("|<-") && lines[4].contains(" 100 Trying (INVITE) "), "{text}");
        assert!(lines[6].contains("|<-") && lines[6].contains(" 200 OK (INVITE) +SDP "), "{text}");
        assert!(lines[7].contains(" CANCEL ") && lines[7].contains(">|"), "{text}");
    }

    #[test]
    fn a_label_is_never_cut_off_in_silence() {
        let answer = |reason: &str, body: &str| format!("SIP/2.0 {reason}\r\nCSeq: 1 INVITE\r\n\r\n{body}");
        let table = [
            ("200 Answering", "v=0", "200 Answering (INVITE) +SDP"),
            ("480 Temporarily Unavailable", "", "480 Temporarily Unavailable (INVITE)"),
            ("503 Every regulator of every line is talking", "v=0", "503 (INVITE) +SDP"),
        ];
        for (reason, body, drawn) in table {
            let text = draw_ladder(&[message(0, false, 5060, &answer(reason, body))], false, &TimeZone::UTC);
            let line = text.lines().nth(3).expect("an arrow");
            assert!(line.contains(&format!("- {drawn} --")) && line.contains("-|  [1] SIP/2.0"), "{text}");
        }
        let endless = draw_ladder(&[message(0, true, 5060, &"X".repeat(90))], false, &TimeZone::UTC);
        assert!(endless.contains("XXX… -"), "{endless}");
    }

    #[test]
    fn whole_messages_follow_only_when_asked_for() {
        let messages = [message(0, true, 5060, "OPTIONS sip:x SIP/2.0\r\nCall-ID: abc\r\n\r\n")];
        assert!(!draw_ladder(&messages, false, &TimeZone::UTC).contains("Call-ID"));
        assert!(draw_ladder(&messages, true, &TimeZone::UTC).contains("    Call-ID: abc"));
    }

    #[test]
    fn a_peer_cannot_steer_the_terminal_nor_fill_the_screen() {
        let wild = format!("INVITE \u{1b}[2J{} SIP/2.0\r\nX: \u{7}\r\n\r\n", "é".repeat(4000));
        let crowd: Vec<SipTrace> = (0..200).map(|n| message(n, n % 2 == 0, 1000 + n, &wild)).collect();
        let text = draw_ladder(&crowd, true, &TimeZone::UTC);
        assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'));
        let widest = text.lines().filter(|line| !line.starts_with("    ")).map(|line| line.chars().count()).max();
        assert!(widest < Some(600), "{widest:?}");
    }

    #[test]
    fn a_call_without_messages_draws_without_failing() {
        assert!(draw_ladder(&[], true, &TimeZone::UTC).contains("Vigie"));
    }
}
