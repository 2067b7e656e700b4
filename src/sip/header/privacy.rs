//! Privacy: what the caller wants hidden (RFC 3323 §4.2, RFC 3325 §9.3).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// What is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Privacy {
    /// `id`, `user` or `header`: the caller's identity is not to be shown.
    pub hides_identity: bool,
    /// `user` or `header`: neither is what the caller's side wrote beside it (RFC 3323 §5.1, §5.3).
    pub hides_headers: bool,
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
                privacy.hides_headers |= is("user") || is("header");
                privacy.hides_identity |= is("id") || privacy.hides_headers;
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

    #[test]
    fn id_hides_who_calls_and_user_or_header_the_rest_too() {
        let read = |line: &'static str| Privacy::read([line.into()].into_iter());
        assert_eq!((read("id").hides_identity, read("id").hides_headers), (true, false));
        for line in ["user", "header", "session;user", "none , header"] {
            assert_eq!((read(line).hides_identity, read(line).hides_headers), (true, true), "{line}");
        }
        assert_eq!(read(&";,".repeat(30_000).leak()[..]), Privacy::default());
    }
}
