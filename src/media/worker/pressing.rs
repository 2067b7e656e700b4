//! Keys on their way through a thread: from the far end that presses them to those who hear it (decision 23).

use super::super::leg::Leg;
use super::super::mix::TICK_SAMPLES_MAX;
use super::super::press::Clocks;
use super::super::tally::{Tally, count};
use super::{Worker, send};
use crate::model::{LegId, MediaReport, Moment};
use crate::rtp::codec::packet_samples;
use crate::rtp::dtmf::Press;
use crate::rtp::packet::{self, Header, PACKET_BYTES_MAX};
use crate::rtp::tones;

/// The longest tone: whoever needs a longer one by tones has his own telephone.
const TONE_MS_MAX: u32 = 2000;

impl<R: Fn(MediaReport)> Worker<R> {
    /// A packet of telephone-event, the first `length` bytes of what came in, from the leg at `place`. It is not relayed: who
    /// hears the leg is sent the same key anew.
    pub(super) fn take_event(&mut self, place: usize, length: usize) {
        let packet = self.inbound.get(..length).and_then(packet::read);
        let leg = self.legs.get_mut(place).and_then(Option::as_mut);
        let (Some(packet), Some(leg)) = (packet, leg) else { return };
        let news = leg.hear_key(&packet, self.now);
        if let Some(peer) = leg.peer.and_then(|peer| self.legs.get_mut(peer)?.as_mut()) {
            peer.outgoing.leave_out();
        }
        [news.before, news.press].into_iter().flatten().for_each(|press| self.spread(place, press));
    }

    /// The far end of a leg told a key by signalling.
    pub(super) fn press(&mut self, id: LegId, digit: char) {
        let Some(place) = self.place(id) else { return count(&self.tally.commands_unknown) };
        let Some(leg) = self.legs.get_mut(place).and_then(Option::as_mut) else { return };
        if let Some(press) = leg.ways.tell(digit, self.now) {
            self.spread(place, press);
        }
    }

    /// A leg's far end is to hear a key.
    pub(super) fn sound_key(&mut self, id: LegId, (key, duration_ms): (char, u32)) {
        let press = Press { id: 0, key, lasted_ms: duration_ms.min(TONE_MS_MAX), is_over: true };
        match self.place(id).and_then(|place| self.legs.get_mut(place)?.as_mut()) {
            Some(leg) if leg.target().is_some() => {
                leg.presses.get_or_insert_default().take(press, self.now);
                self.next_tick.get_or_insert(self.now);
            }
            Some(_) => {}
            None => count(&self.tally.commands_unknown),
        }
    }

    /// Presses of which their far ends say no more, over by now.
    pub(super) fn settle_keys(&mut self) {
        let now = self.now;
        for place in 0..self.legs.len() {
            while let Some(press) = self.legs.get_mut(place).and_then(|leg| leg.as_mut()?.settle_key(now)) {
                self.spread(place, press);
            }
        }
    }

    /// News of a press: once it is over it is reported; all along, whoever hears the leg at `place` is sent it.
    fn spread(&mut self, place: usize, press: Press) {
        let Some(leg) = self.leg(place) else { return };
        let (peer, is_mixed) = (leg.peer, leg.mix.is_some());
        if press.is_over {
            let Press { key, lasted_ms, .. } = press;
            (self.post.report)(MediaReport::Dtmf { leg: leg.id, digit: key, duration_ms: lasted_ms });
        }
        if !is_mixed {
            return peer.into_iter().for_each(|peer| self.send_key(peer, press));
        }
        for index in 0..self.mixed.len() {
            let Some(other) = self.mixed.get(index).copied() else { continue };
            let mix = self.leg(other).and_then(|leg| leg.mix.as_ref());
            if mix.is_some_and(|mix| mix.hears.contains(place)) {
                self.send_key(other, press);
            }
        }
    }

    /// The leg at `place` is to hear a press, unless it is on hold and hears nothing. Whoever knows no telephone-event may
    /// take keys by signalling: the decisions know.
    fn send_key(&mut self, place: usize, press: Press) {
        let now = self.now;
        let Some(leg) = self.legs.get_mut(place).and_then(Option::as_mut) else { return };
        let Some(dtmf_payload) = leg.target().map(|(_, remote)| remote.dtmf_payload) else { return };
        if dtmf_payload.is_some() {
            leg.presses.get_or_insert_default().take(press, now);
            self.next_tick.get_or_insert(now);
        } else if press.is_over {
            let Press { key, lasted_ms, .. } = press;
            (self.post.report)(MediaReport::KeyUntold { leg: leg.id, digit: key, duration_ms: lasted_ms });
        }
    }
}

/// One packet of a key that a leg is to hear, as telephone-event or, where the far end knows none, as tones; whether the tick
/// is taken by it. Sound waits meanwhile; what is relayed comes after it, placed by the clock.
pub(super) fn press_once(leg: &mut Leg, outbound: &mut [u8], (tally, now): (&Tally, Moment)) -> bool {
    let Some(mut presses) = leg.presses.take_if(|presses| !presses.is_done()) else { return end_presses(leg) };
    let Some((to, remote)) = leg.target() else { return end_presses(leg) };
    let (codec, audio, dtmf) = (remote.codec, remote.payload, remote.dtmf_payload);
    let clocks = Clocks { event_hz: remote.dtmf_clock_hz, stream_hz: leg.outgoing.clock_hz() };
    let placed = leg.outgoing.next_of_sound(now);
    let Some(packet) = presses.next(placed.timestamp, clocks, now) else { return end_presses(leg) };
    let sent = match dtmf {
        Some(payload_type) => {
            let header = Header { payload_type, marker: packet.place == 0, timestamp: packet.timestamp, ..placed };
            send(leg, (header, &packet.event.write()), to, outbound)
        }
        None => {
            let (mut pcm, mut payload) = ([0; TICK_SAMPLES_MAX], [0; PACKET_BYTES_MAX]);
            let (pcm, _) = pcm.split_at_mut(packet_samples(codec).min(TICK_SAMPLES_MAX));
            if packet.sounds {
                tones::fill(packet.key, packet.place as usize * pcm.len(), codec.sample_rate(), pcm);
            }
            let length = leg.encode(pcm, codec.sample_rate(), codec, &mut payload);
            let header = Header { payload_type: audio, ..placed };
            send(leg, (header, payload.get(..length).unwrap_or_default()), to, outbound)
        }
    };
    count(if sent { &tally.packets_played } else { &tally.sends_failed });
    // Kept to the next tick even when it is done: this one has had its packet.
    leg.presses = Some(presses);
    true
}

/// No key is left to be sent: the sound of this tick goes on in step, what is relayed is placed anew. The tick is free.
fn end_presses(leg: &mut Leg) -> bool {
    leg.presses = None;
    if leg.mix.is_none() && leg.player.is_none() {
        leg.outgoing.cut();
    }
    false
}
