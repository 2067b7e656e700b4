//! As much of bencoding (BEP 3) as the ng protocol needs: one flat dictionary of texts.

use std::fmt::Write;

/// A dictionary; its keys must come in order.
pub fn write_text(fields: &[(&str, &str)]) -> String {
    let mut out = String::from("d");
    for (key, value) in fields {
        // Writing to memory does not fail.
        let _ = write!(out, "{}:{key}{}:{value}", key.len(), value.len());
    }
    out.push('e');
    out
}

/// Dictionaries and lists within one another: an answer has four.
const DEPTH_MAX: usize = 16;

/// The text of one key of a dictionary; its other values are passed over.
pub fn read_text(dictionary: &str, wanted: &str) -> Option<String> {
    let mut rest = dictionary.strip_prefix('d')?;
    while !rest.starts_with('e') {
        let (key, after) = text(rest)?;
        let end = skip(after, DEPTH_MAX)?;
        if key == wanted {
            return text(after).map(|(value, _)| value.to_owned());
        }
        rest = end;
    }
    None
}

/// What follows one value.
fn skip(value: &str, depth: usize) -> Option<&str> {
    if let Some(number) = value.strip_prefix('i') {
        return Some(number.split_once('e')?.1);
    }
    let Some(mut rest) = value.strip_prefix(['d', 'l']) else { return Some(text(value)?.1) };
    while !rest.starts_with('e') {
        rest = skip(rest, depth.checked_sub(1)?)?;
    }
    rest.strip_prefix('e')
}

fn text(from: &str) -> Option<(&str, &str)> {
    let (length, rest) = from.split_once(':')?;
    rest.split_at_checked(length.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_what_is_cut_short_reads_as_nothing() {
        let written = write_text(&[("call-id", "a:1e"), ("sdp", "v=0\r\n")]);
        assert_eq!(written, "d7:call-id4:a:1e3:sdp5:v=0\r\ne");
        assert_eq!(read_text(&written, "sdp").as_deref(), Some("v=0\r\n"));
        assert_eq!(read_text(&written, "result"), None);
        assert_eq!(read_text("d7:createdi12e6:result2:oke", "result").as_deref(), Some("ok"));
        assert_eq!(read_text(&written[..written.len() - 3], "sdp"), None);
        let nested = "d4:tagsd1:ali1e1:xee6:result2:oke";
        assert_eq!(read_text(nested, "result").as_deref(), Some("ok"));
        assert_eq!(read_text(&format!("d1:a{}", "l".repeat(100_000)), "result"), None);
        assert_eq!(read_text("d99:x", "x"), None);
    }
}
