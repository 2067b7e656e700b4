//! UPDATE of the far end, in an early dialog or a confirmed one (RFC 3311), and whose turn it is to offer.

use bytes::Bytes;

use crate::call::signal::Signal;
use crate::model::LegId;
use crate::sip::sdp::Description;

use super::UserAgent;
use super::agreed::Heard;
use super::answer::answer;
use super::early::Exchange;
use super::incoming::{Arrival, Refusal, check, complete};
use super::leg::{Leg, Stage};
use super::lifetime::{self, Lifetime};
use super::terms::read_offer;
use super::wire::Beat;

/// Whose offer is open already.
enum Glare {
    Ours,
    Theirs,
}

impl Leg {
    /// Whether an offer of the far end meets another one (RFC 3311 §5.2).
    fn glare(&mut self, from_tag: Option<&str>) -> Option<Glare> {
        match &self.stage {
            Stage::Invited(_) => match self.early.exchange {
                Exchange::Open | Exchange::Answered => Some(Glare::Theirs),
                Exchange::Offered => Some(Glare::Ours),
                Exchange::Settled => None,
            },
            Stage::Accepted(unacked) | Stage::Leaving(unacked) => unacked.is_offer.then_some(Glare::Ours),
            Stage::Confirmed { reoffered: Some(unacked) } if unacked.is_offer => Some(Glare::Ours),
            Stage::Confirmed { .. } => self.asking.has_offer().then_some(Glare::Ours),
            Stage::Dialling { .. } => {
                let is_settled = self.fork(from_tag).is_some_and(|fork| fork.is_settled);
                (!is_settled).then_some(Glare::Ours)
            }
            Stage::Cancelling | Stage::Ended => Some(Glare::Ours),
        }
    }
}

impl UserAgent {
    /// An UPDATE: answered at once (RFC 3311 §5.2).
    pub(super) fn updated(&mut self, id: LegId, arrival: &Arrival, beat: &mut Beat<'_>) {
        let Arrival { key, request, .. } = arrival;
        let traced = self.legs.find(id).and_then(Leg::traced);
        let terms = self.terms_of_leg(id);
        let agreed = check(request)
            .and_then(|()| lifetime::weigh(request, &self.wire.rules))
            .and_then(|granted| Ok((granted, read_offer(&request.headers, &request.body, &terms)?)))
            .and_then(|(granted, offer)| Ok((granted, self.may_offer(id, arrival, offer)?)));
        let (granted, offer) = match agreed {
            Ok(agreed) => agreed,
            Err(refusal) => {
                let response = refusal.response(request, &self.wire.rules);
                return self.wire.respond(key, response, traced, beat);
            }
        };
        let (body, signal) = self.take_update(id, arrival, offer.as_ref());
        let Some(leg) = self.legs.find_mut(id) else { return };
        let mut ok = answer(request, 200, &self.wire.rules);
        complete(&mut ok, self.wire.contact(leg.dialog.path), body);
        // A timer runs from the first 2xx to the INVITE on (RFC 4028 §7.2).
        if matches!(leg.stage, Stage::Accepted(_) | Stage::Confirmed { .. }) {
            lifetime::grant(&mut ok, granted);
            leg.lifetime = granted.map(|granted| Lifetime::granted(granted, beat.now.moment));
        }
        leg.review_probe(beat.now.moment);
        self.legs.reckon(id);
        self.wire.respond(key, ok, traced, beat);
        if let Some(signal) = signal {
            beat.signal(signal);
        }
    }

    /// The offer, unless another one is open: 491 behind one of ours, 500 behind one of theirs (RFC 3311 §5.2).
    fn may_offer(
        &mut self,
        id: LegId,
        arrival: &Arrival,
        offer: Option<Description>,
    ) -> Result<Option<Description>, Refusal> {
        let Some(leg) = self.legs.find_mut(id).filter(|_| offer.is_some()) else { return Ok(None) };
        match leg.glare(arrival.request.from_tag().as_deref()) {
            None => Ok(offer),
            Some(Glare::Ours) => Err(Refusal::of(491)),
            Some(Glare::Theirs) => Err(self.try_later()),
        }
    }

    /// 500 with a random time to try again (RFC 3261 §14.2, RFC 3311 §5.2).
    pub(super) fn try_later(&mut self) -> Refusal {
        Refusal::with(500, "Retry-After", (self.wire.chance.next_u64() % 11).to_string())
    }

    fn take_update(&mut self, id: LegId, arrival: &Arrival, offer: Option<&Description>) -> (Bytes, Option<Signal>) {
        let Arrival { path, request, .. } = arrival;
        let Some(leg) = self.legs.find_mut(id) else { return (Bytes::new(), None) };
        let contacts = request.headers.contacts().ok();
        let target = contacts.as_ref().and_then(|c| c.first()).map(|c| c.address.uri.clone());
        let tag = request.from_tag();
        if matches!(leg.stage, Stage::Dialling { .. }) {
            let remote = offer.and_then(|offer| leg.media.agree_offer(offer, path.peer.ip()));
            let Some(fork) = leg.fork(tag.as_deref()) else { return (Bytes::new(), None) };
            fork.dialog.retarget(target);
            let (Some(offer), Some(remote)) = (offer, remote) else { return (Bytes::new(), None) };
            fork.is_updated = true;
            fork.remote = Some(remote.clone());
            leg.media.codec = remote.codec;
            let is_news = leg.media.remote.replace(remote.clone()).as_ref() != Some(&remote);
            return (leg.media.answer(offer), is_news.then_some(Signal::Ringing { leg: id, early: Some(remote) }));
        }
        leg.dialog.retarget(target);
        let Some(offer) = offer else { return (Bytes::new(), None) };
        let signal = match leg.media.hear_offer(offer, &request.body, path.peer.ip()) {
            Heard::Other(remote) => Some(Signal::Reoffered { leg: id, remote }),
            Heard::Same | Heard::Nothing => None,
        };
        (leg.media.answer(offer), signal)
    }
}
