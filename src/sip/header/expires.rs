//! Expires: for how long (RFC 3261 §20.19).

/// Seconds; `None` when it is no number. A number over 2³²−1 counts as that (RFC 3261 §20.19).
pub fn parse(text: &str) -> Option<u32> {
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_expiry_is_the_largest_there_is() {
        assert_eq!(parse("100000000000000000000000"), Some(u32::MAX));
        assert_eq!((parse("0"), parse("-1"), parse("1.5"), parse("")), (Some(0), None, None, None));
    }
}
