//! Whether a carrier's places live: OPTIONS now and then; any answer but 408 and 503 shows that one does.

use crate::model::{Target, TrunkId};
use crate::sip::transaction::ClientKey;
use crate::sip::{Method, Request};

use super::super::UserAgent;
use super::super::rules::ACCEPT;
use super::super::wire::Beat;
use super::Ask;
use super::place::ANSWER_MAX;

impl UserAgent {
    /// What the clock wants of a carrier's places.
    pub(super) fn tend_places(&mut self, id: &TrunkId, beat: &mut Beat<'_>) {
        let now = beat.now.moment;
        let Some(every) = self.trunks.trunk(id).and_then(|trunk| trunk.options_every) else { return };
        let Some(carrier) = self.trunks.kept.carriers.get_mut(id) else { return };
        let mut due = Vec::new();
        for place in &mut carrier.places {
            if place.asking.as_ref().is_some_and(|(_, overdue)| *overdue <= now) {
                place.missed(now);
            }
            if place.asking.is_none() && place.next.is_some_and(|next| next <= now) {
                place.next = Some(now + every);
                due.push(place.target.clone());
            }
        }
        for target in due {
            self.ask_place(id, &target, beat);
        }
    }

    /// RFC 3261 §11.1.
    fn ask_place(&mut self, id: &TrunkId, target: &Target, beat: &mut Beat<'_>) {
        let sent = self.compose_options(id, target).and_then(|(path, options)| {
            let key = self.wire.request(path, options, None, beat)?;
            self.trunks.kept.asks.insert(key.clone(), (id.clone(), Ask::Options(target.clone())));
            Some(key)
        });
        let now = beat.now.moment;
        let Some(place) = self.trunks.place(id, target) else { return };
        match sent {
            Some(key) => place.asking = Some((key, now + ANSWER_MAX)),
            None => place.is_up = Some(false),
        }
    }

    fn compose_options(&mut self, id: &TrunkId, target: &Target) -> Option<(crate::model::Path, Request)> {
        let path = self.path_to(target)?;
        let (_, domain) = self.outward(id)?;
        let realm = &self.wire.rules.realm;
        let from = match self.trunks.trunk(id)?.registration.as_ref() {
            Some(account) => format!("<sip:{}@{domain}>", account.user),
            None => format!("<sip:vigie@{realm}>"),
        };
        let mut request = Request::new(Method::Options, format!("sip:{domain}"));
        let headers = &mut request.headers;
        headers.push("Max-Forwards", "70");
        headers.push("From", format!("{from};tag={}", self.wire.chance.token()));
        headers.push("To", format!("<sip:{domain}>"));
        headers.push("Call-ID", self.wire.chance.token() + &self.wire.chance.token());
        headers.push("CSeq", "1 OPTIONS");
        headers.push("Contact", self.wire.contact(path)?);
        headers.push("Accept", ACCEPT);
        headers.push("User-Agent", self.wire.rules.software.clone());
        Some((path, request))
    }

    /// A place answered OPTIONS.
    pub(super) fn place_answered(
        &mut self,
        (id, target): (&TrunkId, &Target),
        key: &ClientKey,
        status: u16,
        beat: &mut Beat<'_>,
    ) {
        let now = beat.now.moment;
        let Some(place) = self.trunks.place(id, target) else { return };
        let is_awaited = place.asking.as_ref().is_some_and(|(asked, _)| asked == key);
        match status {
            100..=199 => return,
            408 | 503 if is_awaited => place.missed(now),
            408 | 503 => {}
            _ => {
                place.asking = place.asking.take().filter(|_| !is_awaited);
                place.answered();
            }
        }
        self.review(id, beat);
    }

    /// Nothing can be sent there: the OPTIONS that is out counts as unanswered.
    pub(super) fn miss_place(&mut self, id: &TrunkId, target: &Target, key: &ClientKey, beat: &Beat<'_>) {
        let place = self.trunks.place(id, target);
        if let Some(place) = place.filter(|place| place.asking.as_ref().is_some_and(|(asked, _)| asked == key)) {
            place.missed(beat.now.moment);
        }
    }
}
