//! A desk's states, seen through the waiting room.

use std::time::Duration;

use super::super::stage::Stage;
use super::super::{LentTo, WaitingError};
use crate::model::{CallId, Chance, DeviceId, OfferEnd, PauseReason, RegulatorState, Utc};
use crate::routing::sample::{centre, regulator};

fn paused(reason: PauseReason) -> RegulatorState {
    RegulatorState::Paused { reason }
}

/// Anne alone.
fn anne() -> Stage {
    Stage::new(vec![regulator("anne", &[("regulation", 80)], &[("cherbourg", 0)])])
}

fn anne_ready() -> Stage {
    let mut stage = anne();
    stage.register(&["anne"]);
    stage
}

fn pause(stage: &mut Stage, reason: PauseReason) {
    stage.room.pause(&"anne".into(), reason, stage.now, &mut stage.out).expect("a known regulator");
}

fn ready(stage: &mut Stage) -> Result<(), WaitingError> {
    stage.room.ready(&"anne".into(), stage.now, &mut stage.out)
}

#[test]
fn the_first_device_makes_a_regulator_ready_and_the_last_takes_him_away() {
    let mut stage = anne_ready();
    assert_eq!(stage.state("anne"), RegulatorState::Ready);
    stage.room.registered(&"anne".into(), DeviceId(2), stage.now, &mut stage.out);
    stage.unregister("anne");
    assert_eq!(stage.state("anne"), RegulatorState::Ready);
    stage.room.unregistered(&"anne".into(), DeviceId(2), stage.now, &mut stage.out);
    assert_eq!(stage.state("anne"), RegulatorState::Offline);
    assert_eq!(stage.out.len(), 2);
}

#[test]
fn registering_again_tells_nothing() {
    let mut stage = anne_ready();
    stage.register(&["anne", "anne", "nobody"]);
    assert_eq!(stage.out.len(), 1);
    assert_eq!(stage.room.devices_of(&"anne".into()), [DeviceId(1)]);
}

#[test]
fn where_registering_is_not_enough_the_regulator_reports_ready_himself() {
    let mut one = regulator("anne", &[], &[]);
    one.ready_on_register = false;
    let mut stage = Stage::of(centre(vec![one], Vec::new()));
    assert_eq!(ready(&mut stage), Err(WaitingError::Offline));
    stage.register(&["anne"]);
    assert_eq!(stage.state("anne"), paused(PauseReason::NotYetReady));
    assert_eq!(ready(&mut stage), Ok(()));
    assert_eq!(stage.state("anne"), RegulatorState::Ready);
}

#[test]
fn a_pause_asked_for_comes_back_with_the_next_registration_and_a_timed_one_does_not() {
    let mut stage = anne_ready();
    pause(&mut stage, PauseReason::Operator("lunch".into()));
    stage.unregister("anne");
    assert_eq!(stage.state("anne"), RegulatorState::Offline);
    stage.register(&["anne"]);
    assert_eq!(stage.state("anne"), paused(PauseReason::Operator("lunch".into())));
    ready(&mut stage).expect("online");
    stage.ring("anne");
    stage.end_offer("anne", OfferEnd::TimedOut);
    stage.unregister("anne");
    stage.register(&["anne"]);
    assert_eq!(stage.state("anne"), RegulatorState::Ready);
}

#[test]
fn a_pause_and_a_shift_survive_a_restart() {
    for (before, after) in [
        (paused(PauseReason::Own), paused(PauseReason::Own)),
        (RegulatorState::WrapUp, RegulatorState::Ready),
        (paused(PauseReason::NoAnswer), RegulatorState::Ready),
        (RegulatorState::Offline, paused(PauseReason::NotYetReady)),
    ] {
        let mut one = regulator("anne", &[], &[]);
        one.ready_on_register = false;
        let mut stage = Stage::of(centre(vec![one], Vec::new()));
        stage.room.restore(&[("anne".into(), before, Utc(0)), ("gone".into(), RegulatorState::Ready, Utc(0))]);
        assert!(stage.out.is_empty());
        stage.register(&["anne"]);
        assert_eq!(stage.state("anne"), after);
    }
}

#[test]
fn a_pause_during_a_call_waits_for_its_end_and_ready_takes_it_back() {
    let mut stage = anne_ready();
    stage.talk("anne");
    pause(&mut stage, PauseReason::Own);
    assert!(matches!(stage.state("anne"), RegulatorState::Talking { .. }));
    stage.release("anne", 5);
    assert_eq!(stage.state("anne"), paused(PauseReason::Own));
    ready(&mut stage).expect("online");
    stage.talk("anne");
    pause(&mut stage, PauseReason::Own);
    ready(&mut stage).expect("online");
    assert!(matches!(stage.state("anne"), RegulatorState::Talking { .. }));
    stage.release("anne", 5);
    assert_eq!(stage.state("anne"), RegulatorState::WrapUp);
}

#[test]
fn a_pause_asked_for_during_a_call_outlives_the_loss_of_the_phone() {
    let mut stage = anne_ready();
    stage.talk("anne");
    pause(&mut stage, PauseReason::Own);
    pause(&mut stage, PauseReason::Unreachable);
    stage.release("anne", 0);
    assert_eq!(stage.state("anne"), paused(PauseReason::Own));
}

#[test]
fn a_pause_while_it_rings_lets_the_offer_go_on() {
    let mut stage = anne_ready();
    let call = stage.ring("anne");
    pause(&mut stage, PauseReason::Own);
    assert_eq!(stage.state("anne"), RegulatorState::Ringing { call });
    stage.end_offer("anne", OfferEnd::TimedOut);
    assert_eq!(stage.state("anne"), paused(PauseReason::Own));
}

#[test]
fn an_offer_without_an_answer_pauses_for_as_long_as_its_kind_says() {
    for (end, reason, seconds) in [
        (OfferEnd::TimedOut, PauseReason::NoAnswer, 60),
        (OfferEnd::Refused, PauseReason::Refused, 10),
        (OfferEnd::Failed, PauseReason::Unreachable, 10),
    ] {
        let mut stage = anne_ready();
        let call = stage.ring("anne");
        stage.end_offer("anne", end);
        assert_eq!(stage.state("anne"), paused(reason));
        assert!(stage.choose().is_empty());
        assert_eq!(stage.room.deadline(), Some(stage.now.moment + Duration::from_secs(seconds)));
        stage.pass(seconds - 1);
        stage.tick();
        assert_ne!(stage.state("anne"), RegulatorState::Ready);
        stage.pass(1);
        stage.tick();
        assert_eq!(stage.state("anne"), RegulatorState::Ready);
        assert_eq!(stage.room.deadline(), None);
        assert_eq!(stage.pairs(), [(call, "anne".to_owned())]);
    }
}

#[test]
fn a_cancelled_offer_leaves_the_regulator_ready_and_his_rest_untouched() {
    let mut stage = anne_ready();
    stage.pass(120);
    let call = stage.ring("anne");
    stage.room.leave(call);
    stage.end_offer("anne", OfferEnd::Cancelled);
    assert_eq!(stage.state("anne"), RegulatorState::Ready);
    stage.enter_plain();
    assert_eq!(stage.choose()[0].reasoning.candidates[0].idle, -1.0);
}

#[test]
fn wrap_up_ends_by_itself_or_at_once_by_ready_and_none_is_no_state() {
    let mut stage = anne_ready();
    stage.talk("anne");
    stage.release("anne", 10);
    assert_eq!(stage.state("anne"), RegulatorState::WrapUp);
    stage.pass(10);
    stage.tick();
    assert_eq!(stage.state("anne"), RegulatorState::Ready);
    stage.talk("anne");
    stage.release("anne", 10);
    ready(&mut stage).expect("online");
    assert_eq!((stage.state("anne"), stage.room.deadline()), (RegulatorState::Ready, None));
    stage.talk("anne");
    stage.out.clear();
    stage.release("anne", 0);
    assert_eq!(stage.state("anne"), RegulatorState::Ready);
    assert_eq!(stage.out.len(), 1);
}

#[test]
fn a_phone_lost_in_mid_call_makes_its_regulator_offline_when_the_call_is_over() {
    let mut stage = anne_ready();
    stage.talk("anne");
    stage.unregister("anne");
    assert!(matches!(stage.state("anne"), RegulatorState::Talking { .. }));
    pause(&mut stage, PauseReason::Own);
    stage.release("anne", 10);
    assert_eq!(stage.state("anne"), RegulatorState::Offline);
    stage.register(&["anne"]);
    assert_eq!(stage.state("anne"), paused(PauseReason::Own));
}

#[test]
fn a_phone_lost_while_ringing_makes_its_regulator_offline_when_the_offer_ends() {
    let mut stage = anne_ready();
    let call = stage.ring("anne");
    stage.unregister("anne");
    assert_eq!(stage.state("anne"), RegulatorState::Ringing { call });
    stage.end_offer("anne", OfferEnd::Failed);
    assert_eq!(stage.state("anne"), RegulatorState::Offline);
    assert_eq!(stage.room.waiting(stage.now)[0].offered_to, None);
}

#[test]
fn only_the_call_that_rings_can_be_answered() {
    let mut stage = anne_ready();
    let call = stage.ring("anne");
    let other = stage.enter_plain();
    assert!(!stage.answer("anne", other));
    assert!(stage.answer("anne", call));
    assert!(!stage.answer("anne", call));
    assert_eq!(stage.state("anne"), RegulatorState::Talking { call });
    assert!(!stage.room.is_waiting(call) && stage.room.is_waiting(other));
}

fn lend(stage: &mut Stage, to: LentTo) -> CallId {
    let call = CallId::new(stage.now.utc, &mut Chance::from_number(9));
    stage.room.lend(&"anne".into(), call, to, stage.now, &mut stage.out).expect("free to be lent");
    assert_eq!(stage.state("anne"), RegulatorState::Ringing { call });
    call
}

#[test]
fn after_a_colleagues_call_a_regulator_is_what_he_was() {
    for (reason, rings_only) in [(None, false), (None, true), (Some(PauseReason::Own), false)] {
        let mut stage = anne_ready();
        let before = match reason {
            Some(reason) => {
                pause(&mut stage, reason.clone());
                paused(reason)
            }
            None => RegulatorState::Ready,
        };
        let call = lend(&mut stage, LentTo::Colleague);
        if rings_only {
            stage.end_offer("anne", OfferEnd::TimedOut);
        } else {
            assert!(stage.answer("anne", call));
            stage.release("anne", 10);
        }
        assert_eq!(stage.state("anne"), before);
    }
}

#[test]
fn a_rest_or_timed_pause_goes_on_counting_during_a_colleagues_call() {
    let mut stage = anne_ready();
    stage.talk("anne");
    stage.release("anne", 30);
    for (wait, after) in [(10, RegulatorState::WrapUp), (15, RegulatorState::WrapUp), (5, RegulatorState::Ready)] {
        let call = lend(&mut stage, LentTo::Colleague);
        assert!(stage.answer("anne", call));
        stage.pass(wait);
        stage.tick();
        assert_eq!(stage.state("anne"), RegulatorState::Talking { call });
        stage.release("anne", 0);
        assert_eq!(stage.state("anne"), after, "after {wait} s more");
    }
}

#[test]
fn whoever_is_handed_a_caller_rests_afterwards_or_goes_back_to_his_pause() {
    let mut stage = anne_ready();
    let call = lend(&mut stage, LentTo::Caller);
    assert!(stage.answer("anne", call));
    stage.release("anne", 10);
    assert_eq!(stage.state("anne"), RegulatorState::WrapUp);
    pause(&mut stage, PauseReason::Own);
    let call = lend(&mut stage, LentTo::Colleague);
    assert!(stage.answer("anne", call));
    let caller = CallId::new(Utc(0), &mut Chance::from_number(3));
    assert!(stage.room.hand_over(&"anne".into(), call, caller, stage.now, &mut stage.out));
    assert_eq!(stage.state("anne"), RegulatorState::Talking { call: caller });
    stage.release("anne", 10);
    assert_eq!(stage.state("anne"), paused(PauseReason::Own));
}

#[test]
fn a_free_regulator_who_does_not_take_a_caller_handed_on_is_passed_over_for_a_while() {
    let mut stage = anne_ready();
    lend(&mut stage, LentTo::Caller);
    stage.end_offer("anne", OfferEnd::TimedOut);
    assert_eq!(stage.state("anne"), paused(PauseReason::NoAnswer));
    lend(&mut stage, LentTo::Caller);
    stage.end_offer("anne", OfferEnd::TimedOut);
    assert_eq!(stage.state("anne"), paused(PauseReason::NoAnswer), "as before, and no longer");
    assert_eq!(stage.room.deadline(), Some(stage.now.moment + Duration::from_secs(60)));
}

#[test]
fn a_regulator_who_is_busy_or_away_cannot_be_lent() {
    let mut stage = anne();
    let call = CallId::new(Utc(0), &mut Chance::from_number(3));
    let lend = |stage: &mut Stage| stage.room.lend(&"anne".into(), call, LentTo::Colleague, stage.now, &mut stage.out);
    assert_eq!(lend(&mut stage), Err(WaitingError::Offline));
    stage.register(&["anne"]);
    stage.talk("anne");
    assert_eq!(lend(&mut stage), Err(WaitingError::Busy));
}

#[test]
fn a_phone_lost_in_a_colleagues_call_makes_its_regulator_offline_and_the_pause_comes_back() {
    let mut stage = anne_ready();
    pause(&mut stage, PauseReason::Own);
    let call = lend(&mut stage, LentTo::Colleague);
    assert!(stage.answer("anne", call));
    stage.unregister("anne");
    stage.release("anne", 0);
    assert_eq!(stage.state("anne"), RegulatorState::Offline);
    stage.register(&["anne"]);
    assert_eq!(stage.state("anne"), paused(PauseReason::Own));
}

#[test]
fn a_rest_that_ends_while_the_phone_rings_is_no_reason_to_ring_it_again_at_once() {
    let mut stage = anne_ready();
    stage.talk("anne");
    stage.release("anne", 5);
    lend(&mut stage, LentTo::Caller);
    stage.pass(15);
    stage.end_offer("anne", OfferEnd::TimedOut);
    assert_eq!(stage.state("anne"), paused(PauseReason::NoAnswer));
}
