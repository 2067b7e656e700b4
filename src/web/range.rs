//! Byte ranges (RFC 9110 §14): which part of a recording a request asks for.

/// What to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it, with 200.
    Whole,
    /// These bytes, both ends included, with 206.
    Bytes {
        /// The first byte, from 0.
        first: u64,
        /// The last byte; not less than `first`.
        last: u64,
    },
    /// Nothing: 416.
    Unsatisfiable,
}

/// Reads a `Range` value for a body of `length` bytes.
///
/// What is not well-formed, is not in bytes or names several ranges is passed over and the whole is
/// sent, as RFC 9110 §14.2 allows; one range that begins behind the end is unsatisfiable (§14.1.2).
pub fn read_range(value: &str, length: u64) -> Part {
    let Some((unit, set)) = value.split_once('=') else { return Part::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return Part::Whole;
    }
    match set.trim().split_once('-') {
        Some(("", suffix)) => read_suffix(suffix, length),
        Some((first, last)) => read_first_last(first, last, length),
        None => Part::Whole,
    }
}

/// `-n`: the last n bytes, or all when there are fewer; `-0` asks for nothing and is unsatisfiable.
fn read_suffix(suffix: &str, length: u64) -> Part {
    match read_number(suffix) {
        None => Part::Whole,
        Some(0) => Part::Unsatisfiable,
        Some(_) if length == 0 => Part::Unsatisfiable,
        Some(count) => Part::Bytes { first: length.saturating_sub(count), last: length - 1 },
    }
}

/// `a-` or `a-b`; an end behind the last byte means the last byte.
fn read_first_last(first: &str, last: &str, length: u64) -> Part {
    let Some(first) = read_number(first) else { return Part::Whole };
    let last = if last.is_empty() { Some(u64::MAX) } else { read_number(last) };
    let Some(last) = last else { return Part::Whole };
    if last < first {
        return Part::Whole;
    }
    if first >= length {
        return Part::Unsatisfiable;
    }
    Part::Bytes { first, last: last.min(length - 1) }
}

/// Digits only; more than 64 bits hold is as good as the end.
fn read_number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_ask_for_bytes_gets_those_bytes() {
        let table = [
            ("bytes=0-0", 0, 0),
            ("bytes=0-499", 0, 499),
            ("bytes=500-", 500, 999),
            ("bytes=500-99999", 500, 999),
            ("bytes=-1", 999, 999),
            ("bytes=-5000", 0, 999),
            ("Bytes = 3-4", 3, 4),
            ("bytes=0-99999999999999999999999", 0, 999),
        ];
        for (value, first, last) in table {
            assert_eq!(read_range(value, 1000), Part::Bytes { first, last }, "{value}");
        }
    }

    #[test]
    fn what_is_no_single_range_of_bytes_gets_the_whole() {
        for value in
            ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-4", "lines=0-1", "bytes=0-1,3-4", "bytes=+1-2"]
        {
            assert_eq!(read_range(value, 1000), Part::Whole, "{value}");
        }
    }

    #[test]
    fn a_range_behind_the_end_cannot_be_satisfied() {
        for value in ["bytes=1000-", "bytes=1000-1001", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(read_range(value, 1000), Part::Unsatisfiable, "{value}");
        }
        assert_eq!(read_range("bytes=0-", 0), Part::Unsatisfiable);
        assert_eq!(read_range("bytes=-1", 0), Part::Unsatisfiable);
    }
}
