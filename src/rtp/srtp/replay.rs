//! The replay window (RFC 3711 §3.3.2): which of the last 128 packets came already.

use serde::{Deserialize, Serialize};

/// Packets that may be overtaken and still be told from replays; RFC 3711 §3.3.2 wants 64 at least.
const WINDOW: u64 = 128;

/// The packets that came, by index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Window {
    /// The highest index so far, and the ones below it as bits; nothing came yet when it is zero.
    seen: u128,
    highest: u64,
}

impl Window {
    /// Whether a packet of this index may be new.
    pub(super) fn is_new(&self, index: u64) -> bool {
        if self.seen == 0 || index > self.highest {
            return true;
        }
        let behind = self.highest - index;
        behind < WINDOW && self.seen & (1 << behind) == 0
    }

    /// A packet of this index came, and is authentic.
    pub(super) fn take(&mut self, index: u64) {
        if self.seen == 0 {
            (self.seen, self.highest) = (1, index);
        } else if index > self.highest {
            let ahead = index - self.highest;
            self.seen = if ahead < WINDOW { self.seen << ahead | 1 } else { 1 };
            self.highest = index;
        } else if self.highest - index < WINDOW {
            self.seen |= 1 << (self.highest - index);
        }
    }

    /// The highest index, once something came.
    pub(super) fn highest(&self) -> Option<u64> {
        (self.seen != 0).then_some(self.highest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_packet_is_new_once_and_one_that_is_too_old_never() {
        let mut window = Window::default();
        for index in [10, 12, 11, 500, 499, 373] {
            assert!(window.is_new(index), "{index}");
            window.take(index);
            assert!(!window.is_new(index), "{index}");
        }
        assert!(!window.is_new(12));
        assert!(!window.is_new(372));
        assert!(window.is_new(374));
        assert_eq!(window.highest(), Some(500));
    }

    #[test]
    fn index_zero_counts_too() {
        let mut window = Window::default();
        assert_eq!(window.highest(), None);
        window.take(0);
        assert!(!window.is_new(0));
        assert!(window.is_new(1));
    }
}
