//! Whom failures are counted against: never a trunk, never an address where a device is registered.

use std::net::IpAddr;

use crate::model::{Moment, Now, Path, RegulatorId, Reply};

use super::admission::{Asked, Gate};
use super::bans::{Who, Wrong};
use super::bindings::Device;
use super::wire::Beat;
use super::{Effect, UserAgent};

impl UserAgent {
    /// Those banned now.
    pub fn bans(&self, now: Now) -> Reply {
        Reply::Bans(self.bans.view(now.moment))
    }

    /// Lifts the ban of an address or of an account.
    pub fn unban(&mut self, who: &str, now: Now, out: &mut Vec<Effect>) -> Reply {
        let who = match who.parse::<IpAddr>() {
            Ok(source) => Who::Source(source.to_canonical()),
            Err(_) => Who::Account(RegulatorId::from(who)),
        };
        if self.bans.lift(&who, now, out) { Reply::Done } else { Reply::Unknown }
    }

    /// Whether nothing is taken from there. An address that has become a trunk's since is one.
    pub(super) fn is_banned(&self, source: IpAddr, now: Moment) -> bool {
        !self.bans.is_idle()
            && self.bans.holds(&Who::Source(source.to_canonical()), now)
            && self.admission.trunk_at(source).is_none()
    }

    /// Whether an account is under attack, and this is none of the addresses where it has a device registered.
    pub(super) fn is_shut_out(&self, regulator: &RegulatorId, path: Path, now: Moment) -> bool {
        let source = path.peer.ip().to_canonical();
        let is_here = |device: &Device| device.path.peer.ip().to_canonical() == source;
        !self.bans.is_idle()
            && self.bans.holds(&Who::Account(regulator.clone()), now)
            && !self.registrar.bindings.of(regulator).iter().any(is_here)
    }

    /// Credentials that prove nothing. Whoever answers a challenge that was sent to this address is there; anything
    /// else over UDP may be forged.
    pub(super) fn blame_failure(&mut self, asked: Asked<'_>, gate: Gate, beat: &mut Beat<'_>) {
        let Some(account) = self.admission.answers_challenge(asked, gate) else {
            return self.blame_stray(asked.0, beat);
        };
        self.blame(asked.0, Wrong::Failure, beat);
        if let Some(account) = account {
            self.bans.blame_account(account, beat.now, beat.out);
        }
    }

    /// Something that strangers send and our phones and carriers do not.
    pub(super) fn blame_stray(&mut self, path: Path, beat: &mut Beat<'_>) {
        self.blame(path, Wrong::Stray, beat);
    }

    /// A ban of an address is a ban of everybody behind it: one with a registered device is never banned, and the
    /// accounts that it guesses at are protected by their own count.
    fn blame(&mut self, path: Path, wrong: Wrong, beat: &mut Beat<'_>) {
        let source = path.peer.ip();
        if self.admission.trunk_at(source).is_some() {
            return;
        }
        let charge = self.bans.blame_source(source, wrong, beat.now.moment);
        if let Some(charge) = charge.filter(|_| !self.registrar.bindings.is_home_of(source)) {
            self.bans.ban(charge, beat.now, beat.out);
        }
    }
}
