//! The notation of RFC 4475 §2, in which the `.sip` files are written: `<allOneLine>`, `<repeat count=…>`, `<hex>…</hex>`,
//! and `@LENGTH@` for the body's length. A line's end is CRLF.

/// A message's exact bytes.
pub fn bytes_of(text: &str) -> Vec<u8> {
    let mut joined = String::new();
    let mut is_one_line = false;
    for line in text.split_inclusive('\n') {
        match line.trim_end() {
            "<allOneLine>" => is_one_line = true,
            "</allOneLine>" => {
                is_one_line = false;
                joined.push_str("\r\n");
            }
            _ if is_one_line => joined.push_str(line.trim_end_matches('\n')),
            _ => joined.push_str(&line.replace('\n', "\r\n")),
        }
    }
    let bytes = with_octets(&repeated(&joined));
    let end = position(&bytes, b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
    let length = (bytes.len() - end).to_string();
    match position(&bytes, b"@LENGTH@") {
        Some(at) => [&bytes[..at], length.as_bytes(), &bytes[at + 8..]].concat(),
        None => bytes,
    }
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn repeated(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<repeat count=") {
        let (count, after) = after.split_once('>').expect("a count");
        let (what, after) = after.split_once("</repeat>").expect("its end");
        out.push_str(before);
        out.push_str(&what.repeat(count.parse().expect("a number")));
        rest = after;
    }
    out + rest
}

fn with_octets(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<hex>") {
        let (digits, after) = after.split_once("</hex>").expect("its end");
        out.extend_from_slice(before.as_bytes());
        let octet = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits");
        out.extend((0..digits.len()).step_by(2).map(octet));
        rest = after;
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

#[test]
fn the_notation_is_read() {
    let text = "A: <allOneLine>\n<allOneLine>\nx\n <repeat count=3>y</repeat>\n</allOneLine>\nl: @LENGTH@\n\n<hex>00FF</hex>\n";
    assert_eq!(bytes_of(text), b"A: <allOneLine>\r\nx yyy\r\nl: 4\r\n\r\n\x00\xff\r\n");
}
