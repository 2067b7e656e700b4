//! How long before its playing each packet of the last seconds came, in microseconds; negative when it came too late.

use crate::model::Moment;

/// Margins are kept for eight spans of half a second.
const SPANS: usize = 8;
const SPAN_MICROS: u64 = 500_000;
/// Fewer packets say nothing of the jitter.
const WITNESSES_MIN: u32 = 10;

/// The two least margins of each of the last spans.
#[derive(Clone, Copy, Debug)]
pub(super) struct Margins {
    spans: [Span; SPANS],
    /// The present span's place in `spans`.
    present: usize,
    began: Option<Moment>,
    /// Spans that are over, up to all.
    over: usize,
    latest: i64,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    least: i64,
    second: i64,
    packets: u32,
}

const SPAN_EMPTY: Span = Span { least: i64::MAX, second: i64::MAX, packets: 0 };

impl Default for Margins {
    fn default() -> Margins {
        Margins { spans: [SPAN_EMPTY; SPANS], present: 0, began: None, over: 0, latest: 0 }
    }
}

impl Margins {
    /// Notes a packet's.
    pub(super) fn record(&mut self, margin: i64, now: Moment) {
        let mut began = *self.began.get_or_insert(now);
        while now.0.saturating_sub(began.0) >= SPAN_MICROS {
            self.present = (self.present + 1) % SPANS;
            self.spans[self.present] = SPAN_EMPTY;
            self.over = (self.over + 1).min(SPANS);
            let long = now.0 - began.0 >= SPAN_MICROS * SPANS as u64;
            began = Moment(if long { now.0 - SPAN_MICROS * (SPANS as u64 - 1) } else { began.0 + SPAN_MICROS });
        }
        self.began = Some(began);
        self.latest = margin;
        self.spans[self.present].take(margin);
    }

    /// The newest packet's.
    pub(super) fn latest(&self) -> i64 {
        self.latest
    }

    /// The second least of all, so that one packet astray moves nothing; `None` while too few are known.
    pub(super) fn least(&self) -> Option<i64> {
        let mut all = SPAN_EMPTY;
        for span in self.spans.iter().filter(|span| span.packets > 0) {
            all.take(span.least);
            all.take(span.second);
            all.packets += span.packets;
        }
        (all.packets >= WITNESSES_MIN && all.second < i64::MAX).then_some(all.second)
    }

    /// Whether all spans are over.
    pub(super) fn is_full(&self) -> bool {
        self.over >= SPANS - 1
    }

    /// All sound moved by so much.
    pub(super) fn shift(&mut self, micros: i64) {
        for span in &mut self.spans {
            span.least = span.least.saturating_add(micros);
            // The mark of an empty place stays beyond all margins.
            span.second = span.second.saturating_add(if span.second == i64::MAX { 0 } else { micros });
        }
        self.latest += micros;
    }
}

impl Span {
    fn take(&mut self, margin: i64) {
        self.packets += 1;
        if margin < self.least {
            (self.least, self.second) = (margin, self.least);
        } else if margin < self.second {
            self.second = margin;
        }
    }
}
