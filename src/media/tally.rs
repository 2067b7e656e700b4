//! What the media threads count: one tally a thread, summed when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::LegQuality;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// Counts of the whole media plane since it started.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct MediaCounters {
            $($(#[$doc])* pub $name: u64,)+
        }

        impl MediaCounters {
            /// Each count with its name, for the metrics.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name)),+].into_iter()
            }
        }

        #[derive(Debug, Default)]
        pub(super) struct Tally {
            $(pub(super) $name: AtomicU64,)+
        }

        impl Tally {
            pub(super) fn add_to(&self, sum: &mut MediaCounters) {
                $(sum.$name += self.$name.load(Ordering::Relaxed);)+
            }
        }
    };
}

counters! {
    /// Legs opened.
    legs_opened,
    /// Legs closed again.
    legs_closed,
    /// RTP packets taken from legs' own far ends.
    packets_received,
    /// RTP packets relayed to the other leg of a bridge.
    packets_relayed,
    /// RTP packets made of what others say: mixes, and bridges of differing codecs.
    packets_mixed,
    /// RTP packets played from sounds.
    packets_played,
    /// RTP and RTCP packets from strangers, dropped.
    strangers,
    /// Packets before the leg's first SDP, from whoever they were, dropped.
    early,
    /// Packets that were no RTP or RTCP, or of a payload type not agreed on, dropped.
    malformed,
    /// SRTP and SRTCP packets with a wrong tag, dropped.
    srtp_forged,
    /// SRTP and SRTCP packets that came before, dropped.
    srtp_replayed,
    /// Legs for which the system would open no direct way to the far end: each packet costs a little more.
    ways_refused,
    /// RTP packets that the system would not take.
    sends_failed,
    /// RTCP packets read.
    rtcp_received,
    /// Frames handed to the rings.
    frames_recorded,
    /// Frames that full rings refused.
    frames_refused,
    /// Times that a ring could not be written.
    ring_faults,
    /// Ticks left out because the thread was held up for too long.
    ticks_skipped,
    /// RTP packets of closed legs that never came.
    packets_lost,
    /// RTP packets of closed legs that came too late to be played.
    packets_late,
    /// RTP packets of closed legs that came again.
    packets_repeated,
    /// RTP packets of closed legs that came behind a later one.
    packets_reordered,
    /// RTP packets of closed legs that came too late for the jitter buffer of a mix.
    buffer_late,
    /// RTP packets of closed legs that the jitter buffer of a mix left out.
    buffer_cut,
    /// Milliseconds of sound of closed legs that were made up in a mix.
    concealed_ms,
    /// Legs closed whose sound many would have called bad: a mean opinion score under 3.6, either way.
    legs_poor,
    /// Times that sound began to go one way only.
    one_way_began,
    /// Times that this ended, or the leg did: the difference is how many go one way now.
    one_way_ended,
    /// Commands for legs that are not open, or of two calls at once.
    commands_unknown,
    /// Commands lost because a thread's inbox was full.
    commands_refused,
}

/// Under this many users are dissatisfied (ITU-T G.107 annex B: a rating of 70).
pub(super) const MOS_POOR: f64 = 3.6;

impl Tally {
    /// Counts what a leg was like that is closed now.
    pub(super) fn add_quality(&self, quality: &LegQuality) {
        let counted = [
            (&self.packets_lost, quality.packets_lost),
            (&self.packets_late, quality.packets_late),
            (&self.packets_repeated, quality.packets_repeated),
            (&self.packets_reordered, quality.packets_reordered),
            (&self.buffer_late, quality.buffer_late),
            (&self.buffer_cut, quality.buffer_cut),
            (&self.concealed_ms, quality.concealed_ms),
        ];
        for (counter, more) in counted {
            counter.fetch_add(more, Ordering::Relaxed);
        }
        let worst = quality.mos.into_iter().chain(quality.remote_mos).reduce(f64::min);
        if worst.is_some_and(|mos| mos < MOS_POOR) {
            count(&self.legs_poor);
        }
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
