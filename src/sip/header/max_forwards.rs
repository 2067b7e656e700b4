//! Max-Forwards: how many hops are left (RFC 3261 §20.22).

use super::InvalidHeader;

/// 0 to 255.
pub fn parse(text: &str) -> Result<u8, InvalidHeader> {
    text.trim().parse().map_err(|_| InvalidHeader("Max-Forwards"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_255_hops_is_refused() {
        assert_eq!(parse("0"), Ok(0));
        assert!(parse("300").is_err() && parse("-1").is_err() && parse("").is_err());
    }
}
