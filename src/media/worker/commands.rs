//! What a media thread is asked, done: legs opened, aimed, played to, joined and closed.

use rustix::event::epoll::{self, EventData, EventFlags};

use super::super::leg::Leg;
use super::super::player::Player;
use super::super::tally::count;
use super::{RTCP_TOKEN, RTP_TOKEN, SWEEP, TOKENS_A_LEG, Worker};
use crate::model::media::AfterSounds;
use crate::model::{LegId, MediaCommand, MediaReport, RemoteMedia, SoundId};

impl<R: Fn(MediaReport)> Worker<R> {
    pub(super) fn obey(&mut self, command: MediaCommand) {
        match command {
            MediaCommand::Open { leg } => self.open(leg),
            MediaCommand::Aim { leg, remote } => self.aim(leg, remote),
            MediaCommand::Play { leg, sounds, after } => self.play(leg, &sounds, after),
            MediaCommand::Bridge { a, b } => self.bridge(a, b),
            MediaCommand::Mix { legs } => self.mix(&legs),
            MediaCommand::Quiet { leg } => self.with(leg, |leg, _| leg.player = None),
            MediaCommand::Record { leg, on } => self.with(leg, |leg, _| leg.recording = on),
            MediaCommand::Watch { leg, on } => self.with(leg, |leg, now| leg.watch(on, now)),
            MediaCommand::Unbridge { leg } => match self.place(leg) {
                Some(place) => self.part(place),
                None => count(&self.tally.commands_unknown),
            },
            MediaCommand::Key { leg, digit } => self.press(leg, digit),
            MediaCommand::Tone { leg, digit, duration_ms } => self.sound_key(leg, (digit, duration_ms)),
            MediaCommand::Rename { from, to } => self.rename(from, to),
            MediaCommand::Close { leg } => match self.places.remove(&leg) {
                Some(place) => self.close(place),
                None => count(&self.tally.commands_unknown),
            },
        }
    }

    fn open(&mut self, id: LegId) {
        if let Some(leg) = self.place(id).and_then(|place| self.leg(place)) {
            count(&self.tally.commands_unknown);
            return (self.post.report)(MediaReport::Opened { leg: id, rtp: leg.sockets.address });
        }
        let sockets = match self.ports.open() {
            Ok(sockets) => sockets,
            Err(why) => return (self.post.report)(MediaReport::OpenFailed { leg: id, why }),
        };
        let place = self.legs.iter().position(Option::is_none).unwrap_or(self.legs.len());
        let register = |socket, token| epoll::add(&self.epoll, socket, EventData::new_u64(token), EventFlags::IN);
        let token = place as u64 * TOKENS_A_LEG;
        let registered = register(&sockets.rtp, token + RTP_TOKEN);
        if let Err(fault) = registered.and_then(|()| register(&sockets.rtcp, token + RTCP_TOKEN)) {
            // Closing the sockets takes them out of the epoll.
            drop(sockets);
            self.ports.give_back();
            return (self.post.report)(MediaReport::OpenFailed {
                leg: id,
                why: format!("watching the socket: {fault}"),
            });
        }
        let rtp = sockets.address;
        let leg = Some(Box::new(Leg::new(id, sockets, &mut self.chance)));
        match self.legs.get_mut(place) {
            Some(free) => *free = leg,
            None => self.legs.push(leg),
        }
        self.places.insert(id, place);
        self.next_sweep.get_or_insert(self.now + SWEEP);
        count(&self.tally.legs_opened);
        (self.post.report)(MediaReport::Opened { leg: id, rtp });
    }

    fn aim(&mut self, id: LegId, remote: RemoteMedia) {
        let now = self.now;
        match self.places.get(&id).and_then(|place| self.legs.get_mut(*place)?.as_mut()) {
            Some(leg) => leg.aim_at(remote, &mut self.chance, now),
            None => return count(&self.tally.commands_unknown),
        }
        if let Some(place) = self.place(id) {
            self.arrange(place);
        }
    }

    fn play(&mut self, id: LegId, names: &[SoundId], after: AfterSounds) {
        let found: Vec<_> = names.iter().filter_map(|name| self.sounds.find(name)).collect();
        if found.len() < names.len() {
            tracing::error!(leg = %id, sounds = ?names, "a sound to be played was not loaded and is left out");
        }
        let player = Player::new(found, after);
        let empty = player.is_empty();
        let Some(leg) = self.place(id).and_then(|place| self.legs.get_mut(place)?.as_mut()) else {
            return count(&self.tally.commands_unknown);
        };
        leg.player = (!empty).then_some(player);
        match after {
            AfterSounds::Report if empty => (self.post.report)(MediaReport::Played { leg: id }),
            AfterSounds::Report | AfterSounds::RepeatLast => {}
        }
        self.next_tick.get_or_insert(self.now);
    }

    fn bridge(&mut self, a: LegId, b: LegId) {
        let (Some(first), Some(second)) = (self.place(a), self.place(b)) else {
            return count(&self.tally.commands_unknown);
        };
        if first == second {
            return count(&self.tally.commands_unknown);
        }
        self.part(first);
        self.part(second);
        for (place, peer) in [(first, second), (second, first)] {
            if let Some(leg) = self.legs.get_mut(place).and_then(Option::as_mut) {
                leg.peer = Some(peer);
                leg.player = None;
                leg.outgoing.cut();
            }
        }
        self.arrange(first);
    }

    /// Ends the bridge of the leg at `place`, on both sides; in a mix the others go on.
    pub(super) fn part(&mut self, place: usize) {
        let peer = self.legs.get_mut(place).and_then(|leg| leg.as_mut()?.peer.take());
        if let Some(peer) = peer {
            if let Some(other) = self.legs.get_mut(peer).and_then(Option::as_mut) {
                other.peer = None;
            }
            self.leave_mix(peer);
        }
        self.leave_mix(place);
    }

    /// A name that is taken already, or nobody's, is left: the leg keeps the one it has.
    fn rename(&mut self, from: LegId, to: LegId) {
        let place = self.places.get(&from).copied().filter(|_| !self.places.contains_key(&to));
        let Some(place) = place else { return count(&self.tally.commands_unknown) };
        let Some(leg) = self.legs.get_mut(place).and_then(Option::as_mut) else { return };
        leg.id = to;
        leg.show_soon(self.now);
        self.board.forget(from);
        self.places.remove(&from);
        self.places.insert(to, place);
    }

    fn close(&mut self, place: usize) {
        self.part(place);
        let Some(mut leg) = self.legs.get_mut(place).and_then(Option::take) else { return };
        leg.send_report(true, self.ntp(), self.now);
        // Its last frame is in the ring before anybody hears that it is closed.
        self.flush();
        let quality = leg.quality(self.now);
        self.tally.add_quality(&quality);
        self.board.forget(leg.id);
        if leg.listening.one_way().is_some() {
            count(&self.tally.one_way_ended);
        }
        let report = MediaReport::Closed { leg: leg.id, quality: Box::new(quality) };
        drop(leg);
        self.ports.give_back();
        count(&self.tally.legs_closed);
        if self.places.is_empty() {
            (self.next_sweep, self.next_tick) = (None, None);
        }
        (self.post.report)(report);
    }

    pub(super) fn close_all(&mut self) {
        for leg in self.legs.iter_mut().filter_map(Option::take) {
            self.board.forget(leg.id);
            drop(leg);
            self.ports.give_back();
        }
        self.flush();
    }
}
