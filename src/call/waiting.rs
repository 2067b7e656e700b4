//! A call in the waiting room: alone with its music, or ringing at a regulator.

use std::net::SocketAddr;
use std::sync::Arc;

use super::decision::{CallInput, Decision, RoomChange};
use super::ending::Ending;
use super::leg::{Leg, LegState};
use super::life::{Call, LEGS_MAX, State};
use super::offer::{LiveOffer, Refusals};
use super::onward::{self, Unmet};
use super::signal::{Party, Refusal, RefusalKind};
use super::{callback, ending, talking};
use crate::model::{
    Counter, EndedBy, EventKind, LegId, MediaCommand, Now, OfferEnd, OfferNumber, OfferRecord, Outcome, Side,
};
use crate::waiting::Choice;

/// No offer is live.
pub fn step(call: &mut Call, input: CallInput, now: Now, out: &mut Vec<Decision>) {
    match input {
        CallInput::Chosen(choice) => offer(call, *choice, now, out),
        CallInput::Due | CallInput::Nobody if callback::is_unreached(call) => callback::postpone(call, now, out),
        CallInput::Due => overflow(call, now, out),
        CallInput::Nobody => nobody(call, now, out),
        CallInput::Ended { leg, .. } if leg.number == 0 => ending::abandon(call, now, out),
        CallInput::Silent { leg } if leg.number == 0 => ending::caller_is_silent(call, now, out),
        CallInput::Closed { leg, .. } if leg.number == 0 => ending::media_is_lost(call, now, out),
        CallInput::End(by) => ending::end(call, Ending::new(Outcome::Interrupted, by), now, out),
        CallInput::Opened { .. }
        | CallInput::OpenFailed { .. }
        | CallInput::Played { .. }
        | CallInput::Dtmf { .. }
        | CallInput::Silent { .. }
        | CallInput::Closed { .. }
        | CallInput::Ringing { .. }
        | CallInput::Accepted { .. }
        | CallInput::Refused { .. }
        | CallInput::Confirmed { .. }
        | CallInput::Reoffered { .. }
        | CallInput::Ended { .. }
        | CallInput::DevicesGone
        | CallInput::HandOn(_)
        | CallInput::HandedOver(_)
        | CallInput::TakeOver(_)
        | CallInput::Voice(_)
        | CallInput::Steer(_)
        | CallInput::Sealed(_)
        | CallInput::RecordingFailed(_) => {}
    }
}

fn overflow(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    onward::lead(call, Unmet::WaitedTooLong, now, out);
}

fn nobody(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    onward::lead(call, Unmet::Nobody, now, out);
}

/// Rings at the chosen regulator: one leg per device.
fn offer(call: &mut Call, choice: Choice, now: Now, out: &mut Vec<Decision>) {
    let number = OfferNumber(call.record.offers.len() as u16 + 1);
    let first_leg = call.legs.len() as u16;
    if first_leg as usize + choice.devices.len() > LEGS_MAX as usize {
        out.push(Decision::Room(RoomChange::OfferEnded { regulator: choice.regulator, end: OfferEnd::Cancelled }));
        let detail = format!("{LEGS_MAX} devices were rung and nobody answered");
        let overflow = call.line.overflow.message.clone();
        return call.say_farewell(overflow, (Outcome::Overflowed, detail), now, out);
    }
    let mut ringing = Vec::with_capacity(choice.devices.len());
    for (device, leg_number) in choice.devices.iter().zip(first_leg..) {
        let id = LegId { call: call.id, number: leg_number };
        let mut leg = Leg::new(id, Side::Regulator, now);
        leg.regulator = Some(choice.regulator.clone());
        leg.device = Some(*device);
        call.legs.push(leg);
        ringing.push(id);
        out.push(Decision::Media(MediaCommand::Open { leg: id }));
    }
    let record = OfferRecord {
        number,
        regulator: choice.regulator.clone(),
        offered_at: now.utc,
        ended_at: None,
        end: None,
        detail: None,
        reasoning: Arc::new(choice.reasoning),
        handed_by: None,
    };
    let queued_at = call.record.queued_at.unwrap_or(now.utc);
    call.tell(
        EventKind::CallOffered {
            offer: number,
            regulator: choice.regulator.clone(),
            step: record.reasoning.step,
            wait_ms: now.utc.since(queued_at).as_millis() as u64,
        },
        out,
    );
    out.push(Decision::Count(Counter::OffersMade));
    out.push(Decision::KeepOffer(Box::new(record.clone())));
    call.record.offers.push(record);
    call.name_regulator(&choice.regulator);
    let until = now.moment + call.centre.offers.ring_duration_max;
    let nothing_to_ring = ringing.is_empty();
    call.state = State::Offering(LiveOffer {
        number,
        regulator: choice.regulator,
        until,
        ringing,
        refusals: Refusals::default(),
        has_rung: false,
    });
    call.deadline = Some(until.min(call.waits_until));
    if nothing_to_ring {
        end_offer(call, OfferEnd::Failed, Some("no device is registered".into()), now, out);
    }
}

/// An offer rings.
pub fn offering(call: &mut Call, input: CallInput, now: Now, out: &mut Vec<Decision>) {
    match input {
        CallInput::Opened { leg, rtp } => dial(call, leg, rtp, out),
        CallInput::OpenFailed { leg, why } => {
            let refusal = Refusal { kind: RefusalKind::Unreachable, detail: why };
            refused(call, leg, refusal, now, out);
        }
        CallInput::Refused { leg, refusal } => refused(call, leg, refusal, now, out),
        CallInput::Accepted { leg, remote } => talking::answer(call, leg, remote, now, out),
        CallInput::Ended { leg, .. } if leg.number == 0 => {
            end_offer(call, OfferEnd::Cancelled, Some("the caller hung up".into()), now, out);
            ending::abandon(call, now, out);
        }
        CallInput::Ended { leg, detail, .. } => {
            let detail = detail.unwrap_or_else(|| "the device ended the call".into());
            refused(call, leg, Refusal { kind: RefusalKind::Unreachable, detail }, now, out);
        }
        CallInput::Silent { leg } if leg.number == 0 => {
            end_offer(call, OfferEnd::Cancelled, Some("the caller fell silent".into()), now, out);
            ending::caller_is_silent(call, now, out);
        }
        CallInput::Closed { leg, .. } if leg.number == 0 => {
            end_offer(call, OfferEnd::Cancelled, None, now, out);
            ending::media_is_lost(call, now, out);
        }
        CallInput::Ringing { .. } => has_rung(call),
        CallInput::Due => due(call, now, out),
        CallInput::DevicesGone => {
            let detail = Some("the last device's registration is gone".to_owned());
            end_offer(call, OfferEnd::Failed, detail, now, out);
        }
        CallInput::End(by) => {
            end_offer(call, OfferEnd::Cancelled, None, now, out);
            ending::end(call, Ending::new(Outcome::Interrupted, by), now, out);
        }
        CallInput::Played { .. }
        | CallInput::Dtmf { .. }
        | CallInput::Silent { .. }
        | CallInput::Closed { .. }
        | CallInput::Confirmed { .. }
        | CallInput::Reoffered { .. }
        | CallInput::Chosen(_)
        | CallInput::HandOn(_)
        | CallInput::HandedOver(_)
        | CallInput::TakeOver(_)
        | CallInput::Voice(_)
        | CallInput::Steer(_)
        | CallInput::Nobody
        | CallInput::Sealed(_)
        | CallInput::RecordingFailed(_) => {}
    }
}

fn dial(call: &mut Call, leg: LegId, rtp: SocketAddr, out: &mut Vec<Decision>) {
    let opened = call.leg(leg).filter(|leg| leg.state == LegState::Opening);
    let to = opened.and_then(|leg| Some(Party::Device { regulator: leg.regulator.clone()?, device: leg.device? }));
    if let Some(to) = to {
        call.dial(leg, to, rtp, out);
    }
}

/// One device came to nothing; the offer ends when the person declined or no device is left.
fn refused(call: &mut Call, leg: LegId, refusal: Refusal, now: Now, out: &mut Vec<Decision>) {
    let State::Offering(offer) = &mut call.state else { return };
    if !offer.drop_leg(leg) {
        return;
    }
    match refusal.kind {
        RefusalKind::Declined => {
            return end_offer(call, OfferEnd::Refused, Some(refusal.detail), now, out);
        }
        RefusalKind::Busy => {
            offer.refusals.busy.get_or_insert(refusal.detail);
        }
        RefusalKind::Unreachable => {
            offer.refusals.unreachable.get_or_insert(refusal.detail);
        }
    }
    if !offer.ringing.is_empty() {
        return;
    }
    let refusals = std::mem::take(&mut offer.refusals);
    match (refusals.busy, refusals.unreachable) {
        (Some(detail), _) => end_offer(call, OfferEnd::Refused, Some(detail), now, out),
        (None, detail) => end_offer(call, OfferEnd::Failed, detail, now, out),
    }
}

fn has_rung(call: &mut Call) {
    if let State::Offering(offer) = &mut call.state {
        offer.has_rung = true;
    }
}

fn due(call: &mut Call, now: Now, out: &mut Vec<Decision>) {
    let State::Offering(offer) = &call.state else { return };
    if now.moment >= call.waits_until {
        end_offer(call, OfferEnd::Cancelled, Some("the caller waited too long".into()), now, out);
        return overflow(call, now, out);
    }
    if now.moment >= offer.until {
        let seconds = call.centre.offers.ring_duration_max.as_secs();
        // An INVITE times out only after 32 s (RFC 3261 §17.1.1.2, timer B): a dead phone must be known before that.
        let (end, detail) = match offer.has_rung {
            true => (OfferEnd::TimedOut, format!("no answer in {seconds} s")),
            false => (OfferEnd::Failed, format!("no phone rang in {seconds} s")),
        };
        end_offer(call, end, Some(detail), now, out);
    }
}

/// An offer ended without an answer: its legs are cancelled, the caller is back in its place.
pub fn end_offer(call: &mut Call, end: OfferEnd, detail: Option<String>, now: Now, out: &mut Vec<Decision>) {
    let State::Offering(offer) = std::mem::replace(&mut call.state, State::Waiting) else { return };
    call.deadline = Some(call.waits_until);
    let why = match end {
        OfferEnd::TimedOut => EndedBy::NoAnswer,
        OfferEnd::Cancelled => EndedBy::Caller,
        OfferEnd::Failed => EndedBy::DeviceLost,
        OfferEnd::Accepted | OfferEnd::Refused => EndedBy::Refused,
    };
    for leg in offer.ringing {
        call.hang_up(leg, why, now, out);
    }
    out.extend(close_offer_record(call, offer.number, (end, detail.clone()), now));
    out.push(Decision::Count(Counter::OffersUnanswered));
    call.tell(EventKind::CallOfferEnded { offer: offer.number, regulator: offer.regulator.clone(), end, detail }, out);
    out.push(Decision::Room(RoomChange::OfferEnded { regulator: offer.regulator, end }));
}

/// Writes into the offer's record how it ended.
pub fn close_offer_record(
    call: &mut Call,
    number: OfferNumber,
    (end, detail): (OfferEnd, Option<String>),
    now: Now,
) -> Option<Decision> {
    let record = call.record.offers.get_mut(number.0.saturating_sub(1) as usize)?;
    record.ended_at = Some(now.utc);
    record.end = Some(end);
    record.detail = detail;
    Some(Decision::KeepOffer(Box::new(record.clone())))
}
