//! Changes to a message: some by its lines, headers, parameters and numbers, some by its bytes.

use std::cell::RefCell;

use vigie::model::Chance;

thread_local! {
    static LAST: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Notes what is about to be tried, for the report of a panic.
pub fn note(input: &[u8]) {
    LAST.with(|last| input.clone_into(&mut last.borrow_mut()));
}

/// What was tried last.
pub fn last_input() -> Vec<u8> {
    LAST.with(|last| last.borrow().clone())
}

/// Numbers at the edges of what fits somewhere.
const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "1",
    "255",
    "256",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "4294967296",
    "18446744073709551616",
    "1e9",
];
/// Pieces that readers stumble over.
const PIECES: [&[u8]; 22] = [
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b",",
    b";",
    b"<",
    b">",
    b"\"",
    b"\\",
    b":",
    b"@",
    b"%",
    b"%00",
    b"\xff\xfe",
    b"\xc3",
    b"[::1]",
    b";tag=",
    b"?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc",
];
/// Header lines that change what a message means.
const LINES: [&str; 24] = [
    "Require: 100rel",
    "Require: timer, replaces",
    "Supported: timer, 100rel, replaces",
    "Session-Expires: 90;refresher=uas",
    "Session-Expires: 1",
    "Min-SE: 4294967295",
    "RSeq: 1",
    "RAck: 1 1 INVITE",
    "Replaces: a;to-tag=b;from-tag=c",
    "Refer-To: <sip:bruno@vigie>",
    "Refer-To: <sip:x@h?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc>",
    "Event: dialog",
    "Event: refer;id=1",
    "Expires: 0",
    "Expires: 4294967296",
    "Contact: *",
    "Record-Route: <sip:10.9.9.9;lr>,<sip:10.9.9.8>",
    "Route: <sip:h>",
    "Content-Type: multipart/mixed;boundary=b",
    "Accept: text/plain",
    "Privacy: id;header;critical",
    "P-Asserted-Identity: <tel:+33612345678>",
    "Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKx",
    "Authorization: Digest nonce=\"\"",
];

/// Changes `bytes` some times; `other` gives lines to take.
pub fn mutate(bytes: &mut Vec<u8>, other: &[u8], chance: &mut Chance) {
    for _ in 0..1 + chance.below(4) {
        match chance.below(9) {
            0..=3 => change_lines(bytes, other, chance),
            4 => change_number(bytes, chance),
            5 | 6 => insert(bytes, chance),
            7 => change_byte(bytes, chance),
            _ => cut(bytes, chance),
        }
    }
    bytes.truncate(70_000);
}

/// Changes binary bytes some times: single bits and bytes, runs of zeros, pieces left out, put elsewhere or added.
pub fn damage(bytes: &mut Vec<u8>, chance: &mut Chance) {
    for _ in 0..1 + chance.below(3) {
        let (start, length) = (place(bytes, chance), 1 + chance.below(24) as usize);
        let end = (start + length).min(bytes.len());
        match chance.below(8) {
            0 | 1 => {
                if let Some(byte) = bytes.get_mut(start) {
                    *byte ^= 1 << chance.below(8);
                }
            }
            2 => change_byte(bytes, chance),
            3 => bytes[start..end].fill(0),
            4 => bytes.truncate(start),
            5 => drop(bytes.drain(start..end)),
            6 => {
                let piece = bytes[start..end].to_vec();
                let at = place(bytes, chance);
                bytes.splice(at..at, piece);
            }
            _ => bytes.extend((0..length).map(|_| chance.next_u32() as u8)),
        }
    }
}

fn pick<'a, T: ?Sized>(list: &[&'a T], chance: &mut Chance) -> &'a T {
    list[chance.below(list.len() as u64) as usize]
}

fn place(bytes: &[u8], chance: &mut Chance) -> usize {
    chance.below(bytes.len() as u64 + 1) as usize
}

fn lines_of(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect()
}

fn change_lines(bytes: &mut Vec<u8>, other: &[u8], chance: &mut Chance) {
    let mut lines = lines_of(bytes);
    if lines.is_empty() {
        return;
    }
    let at = chance.below(lines.len() as u64) as usize;
    match chance.below(6) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(at, lines[at].clone()),
        2 => {
            let to = chance.below(lines.len() as u64) as usize;
            lines.swap(at, to);
        }
        3 => {
            let theirs = lines_of(other);
            if !theirs.is_empty() {
                lines.insert(at, theirs[chance.below(theirs.len() as u64) as usize].clone());
            }
        }
        4 => lines.insert(at.max(1).min(lines.len()), format!("{}\r\n", pick(&LINES, chance)).into_bytes()),
        _ => {
            let count = 1 << chance.below(10);
            let line = lines[at].clone();
            lines.splice(at..at, std::iter::repeat_n(line, count));
        }
    }
    *bytes = lines.concat();
}

fn change_number(bytes: &mut Vec<u8>, chance: &mut Chance) {
    let from = place(bytes, chance);
    let Some(start) = bytes[from..].iter().position(u8::is_ascii_digit).map(|at| from + at) else { return };
    let end = bytes[start..].iter().position(|b| !b.is_ascii_digit()).map_or(bytes.len(), |at| start + at);
    bytes.splice(start..end, pick(&NUMBERS, chance).bytes());
}

fn insert(bytes: &mut Vec<u8>, chance: &mut Chance) {
    let at = place(bytes, chance);
    let count = if chance.below(8) == 0 { 1 << chance.below(12) } else { 1 };
    let piece = pick(&PIECES, chance).repeat(count);
    bytes.splice(at..at, piece);
}

fn change_byte(bytes: &mut [u8], chance: &mut Chance) {
    let at = place(bytes, chance);
    if let Some(byte) = bytes.get_mut(at) {
        *byte = chance.next_u32() as u8;
    }
}

fn cut(bytes: &mut Vec<u8>, chance: &mut Chance) {
    let (start, length) = (place(bytes, chance), chance.below(40) as usize);
    let end = (start + length).min(bytes.len());
    match chance.below(3) {
        0 => bytes.truncate(start),
        _ => drop(bytes.drain(start..end)),
    }
}
