//! Legs that are decoded, added and encoded on the tick: mixes, and bridges of codecs that no table turns into each other.

use super::super::mix::{Hears, MixEnd, Sum, TICK_SAMPLES_MAX};
use super::super::tally::count;
use super::{Worker, send};
use crate::model::{Codec, MIX_LEGS_MAX, MediaReport, MixedLeg, Moment};
use crate::rtp::codec::packet_samples;
use crate::rtp::packet::{Header, PACKET_BYTES_MAX};

impl<R: Fn(MediaReport)> Worker<R> {
    /// Joins legs so that each hears those it names; a mix that names a leg that is not open, or too many, is left.
    pub(super) fn mix(&mut self, legs: &[MixedLeg]) {
        let places: Option<Vec<usize>> = legs.iter().map(|mixed| self.place(mixed.leg)).collect();
        let places = places.filter(|places| !places.is_empty() && places.len() <= MIX_LEGS_MAX);
        let Some(places) = places else { return count(&self.tally.commands_unknown) };
        for (place, mixed) in places.iter().zip(legs) {
            // A bridge ends; a leg that was mixed before goes on without a pause.
            if self.leg(*place).is_some_and(|leg| leg.peer.is_some()) {
                self.part(*place);
            }
            let others = mixed.hears.iter().filter(|other| **other != mixed.leg);
            let heard = others.filter_map(|other| self.place(*other)).filter(|other| places.contains(other));
            let hears = Hears::new(heard);
            if let Some(leg) = self.legs.get_mut(*place).and_then(Option::as_mut) {
                leg.player = None;
            }
            self.enter_mix(*place, hears);
        }
    }

    /// What the bridge of the leg at `place` needs: nothing where packets can be relayed as they are or by a table, else
    /// both voices decoded. In a mix, what decodes the codec that the leg speaks.
    pub(super) fn arrange(&mut self, place: usize) {
        let aim_of = |place| self.leg(place).and_then(|leg| leg.aim.as_ref());
        let codecs_of = |place| aim_of(place).map(|aim| (aim.spoken, aim.remote.codec));
        let (own, peer) = (codecs_of(place), self.leg(place).and_then(|leg| leg.peer));
        let other = peer.and_then(codecs_of);
        match (peer, own, other) {
            (Some(peer), Some((said, hears)), Some((says, heard)))
                if said.is_relayed_to(heard) && says.is_relayed_to(hears) =>
            {
                self.leave_mix(place);
                self.leave_mix(peer);
            }
            (Some(peer), Some(_), Some(_)) => {
                self.enter_mix(place, Hears::new([peer]));
                self.enter_mix(peer, Hears::new([place]));
            }
            (None, Some((said, _)), _) => {
                if let Some(leg) = self.legs.get_mut(place).and_then(Option::as_mut)
                    && let Some(mix) = &mut leg.mix
                {
                    mix.aim_at(said, &mut leg.quality);
                }
            }
            (_, None, _) | (Some(_), _, None) => {}
        }
    }

    fn enter_mix(&mut self, place: usize, hears: Hears) {
        let Some(leg) = self.legs.get_mut(place).and_then(Option::as_mut) else { return };
        // Before its first SDP a leg says nothing; its codec comes with that.
        let codec = leg.aim.as_ref().map_or(Codec::Pcma, |aim| aim.spoken);
        match &mut leg.mix {
            Some(mix) => {
                mix.hears = hears;
                mix.aim_at(codec, &mut leg.quality);
            }
            None => {
                leg.mix = Some(Box::new(MixEnd::new(codec, hears)));
                leg.outgoing.cut();
                self.mixed.push(place);
            }
        }
        self.next_tick.get_or_insert(self.now);
    }

    /// The leg is mixed no more: it hears nobody, and nobody hears it.
    pub(super) fn leave_mix(&mut self, place: usize) {
        let Some(leg) = self.legs.get_mut(place).and_then(Option::as_mut) else { return };
        let Some(mix) = leg.mix.take() else { return };
        mix.add_to(&mut leg.quality);
        drop(mix);
        self.mixed.retain(|mixed| *mixed != place);
        for other in &self.mixed {
            if let Some(mix) = self.legs.get_mut(*other).and_then(|leg| leg.as_mut()?.mix.as_mut()) {
                mix.hears.forget(place);
            }
        }
        if let Some(leg) = self.legs.get_mut(place).and_then(Option::as_mut) {
            leg.outgoing.cut();
        }
    }

    /// One packet for each leg that is mixed, for the tick at `at`; whether any is.
    pub(super) fn mix_once(&mut self, at: Moment) -> bool {
        if self.mixed.is_empty() {
            return false;
        }
        for place in &self.mixed {
            if let Some(mix) = self.legs.get_mut(*place).and_then(|leg| leg.as_mut()?.mix.as_mut()) {
                mix.speak(at);
            }
        }
        let mut sum = Sum::new();
        for index in 0..self.mixed.len() {
            if let Some(place) = self.mixed.get(index) {
                self.tell(*place, &mut sum);
            }
        }
        true
    }

    /// Sends the leg at `place` what it hears in this tick. What it is played, and keys, stand before that.
    fn tell(&mut self, place: usize, sum: &mut Sum) {
        let Some(leg) = self.leg(place).filter(|leg| leg.player.is_none() && leg.presses.is_none()) else { return };
        let (Some(mix), Some((to, remote))) = (&leg.mix, leg.target()) else { return };
        let (hears, codec, payload_type) = (mix.hears, remote.codec, remote.payload);
        for other in hears.places() {
            if let Some(mix) = self.legs.get_mut(other).and_then(|leg| leg.as_mut()?.mix.as_mut()) {
                sum.add(mix.voice_at(codec.sample_rate()));
            }
        }
        let mut pcm = [0; TICK_SAMPLES_MAX];
        let (pcm, _) = pcm.split_at_mut(packet_samples(codec).min(TICK_SAMPLES_MAX));
        sum.tell(pcm);
        let Some(leg) = self.legs.get_mut(place).and_then(Option::as_mut) else { return };
        let mut payload = [0; PACKET_BYTES_MAX];
        let length = leg.encode(pcm, codec.sample_rate(), codec, &mut payload);
        let header = Header { payload_type, ..leg.outgoing.next_of_sound(self.now) };
        if send(leg, (header, payload.get(..length).unwrap_or_default()), to, &mut self.outbound) {
            count(&self.tally.packets_mixed);
        } else {
            count(&self.tally.sends_failed);
        }
    }
}
