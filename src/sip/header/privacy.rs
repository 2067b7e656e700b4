//! Privacy: what the caller wants hidden (RFC 3323 §4.2, RFC 3325 §9.3).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// What is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Privacy {
    /// `id`, `user` or `header`: the caller's identity is not to be shown.
    pub hides_identity: bool,
    /// `critical`: refuse the request rather than not hide.
    pub is_critical: bool,
}

impl Privacy {
    /// Reads all lines of the header; `none` and unknown words ask for nothing.
    pub fn read<'a>(lines: impl Iterator<Item = Cow<'a, str>>) -> Privacy {
        let mut privacy = Privacy::default();
        for line in lines {
            for word in line.split([';', ',']).map(str::trim) {
                let is = |wanted: &str| word.eq_ignore_ascii_case(wanted);
                privacy.hides_identity |= is("id") || is("user") || is("header");
                privacy.is_critical |= is("critical");
            }
        }
        privacy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_hides_nothing() {
        assert_eq!(Privacy::read(["none".into()].into_iter()), Privacy::default());
        assert!(Privacy::read(["ID; critical".into()].into_iter()).hides_identity);
    }
}
