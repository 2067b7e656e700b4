//! What one leg is being played: sounds one after the other, cut into packets.

use std::sync::Arc;

use super::sounds::Sound;
use crate::model::media::AfterSounds;
use crate::rtp::PACKET_SAMPLES;

/// Silence sent after the last sound (200 ms) before it counts as played: a hang-up at once would cut off what still waits in
/// the far end's jitter buffer.
const TAIL_PACKETS: u8 = 10;

#[derive(Clone, Debug)]
pub(super) struct Player {
    sounds: Vec<Arc<Sound>>,
    after: AfterSounds,
    current: usize,
    offset: usize,
    tail: u8,
}

/// What is left after a packet was filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    More,
    Nothing,
}

impl Player {
    pub(super) fn new(sounds: Vec<Arc<Sound>>, after: AfterSounds) -> Player {
        Player { sounds, after, current: 0, offset: 0, tail: TAIL_PACKETS }
    }

    /// Whether there is nothing to play at all.
    pub(super) fn is_empty(&self) -> bool {
        self.sounds.is_empty()
    }

    /// Fills the next packet; over the joints of sounds and of a loop, so that no silence slips in between.
    pub(super) fn fill(&mut self, packet: &mut [i16; PACKET_SAMPLES]) -> Left {
        let mut filled = 0;
        while let Some(sound) = self.sounds.get(self.current) {
            let rest = sound.get(self.offset..).unwrap_or_default();
            for (target, sample) in packet.iter_mut().skip(filled).zip(rest) {
                *target = *sample;
            }
            let taken = rest.len().min(PACKET_SAMPLES - filled);
            filled += taken;
            self.offset += taken;
            if taken == rest.len() {
                self.turn();
            }
            if filled == PACKET_SAMPLES {
                break;
            }
        }
        packet.iter_mut().skip(filled).for_each(|sample| *sample = 0);
        if filled == 0 {
            self.tail = self.tail.saturating_sub(1);
        }
        if self.current < self.sounds.len() || self.tail > 0 { Left::More } else { Left::Nothing }
    }

    /// To the next sound. A sound is never empty, so a loop always moves.
    fn turn(&mut self) {
        self.offset = 0;
        match self.after {
            AfterSounds::RepeatLast if self.current + 1 >= self.sounds.len() => {}
            AfterSounds::RepeatLast | AfterSounds::Report => self.current += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(samples: &[i16]) -> Arc<Sound> {
        samples.into()
    }

    #[test]
    fn sounds_follow_each_other_within_a_packet_and_the_end_is_filled_with_silence() {
        let mut player = Player::new(vec![sound(&[1000; 100]), sound(&[-1000; 100])], AfterSounds::Report);
        let mut packet = [0; PACKET_SAMPLES];
        assert_eq!(player.fill(&mut packet), Left::More);
        assert!(packet[..100].iter().all(|c| *c == 1000));
        assert!(packet[100..].iter().all(|c| *c == -1000));
        assert_eq!(player.fill(&mut packet), Left::More);
        assert_eq!(packet[39..42], [-1000, 0, 0]);
    }

    #[test]
    fn a_sound_ends_after_a_tail_of_silence() {
        let mut player = Player::new(vec![sound(&[5000; 320])], AfterSounds::Report);
        let mut packet = [1; PACKET_SAMPLES];
        let filled = (1..100).find(|_| player.fill(&mut packet) == Left::Nothing);
        assert_eq!((filled, packet), (Some(2 + TAIL_PACKETS as usize), [0; PACKET_SAMPLES]));
    }

    #[test]
    fn music_repeats_without_a_seam_and_never_ends() {
        let mut player = Player::new(vec![sound(&[7000; 10]), sound(&[1000; 70])], AfterSounds::RepeatLast);
        let mut packet = [0; PACKET_SAMPLES];
        player.fill(&mut packet);
        for _ in 0..100 {
            assert_eq!(player.fill(&mut packet), Left::More);
            assert!(packet.iter().all(|c| *c == 1000));
        }
    }
}
