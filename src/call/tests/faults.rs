//! Faults of our own, planted: each ends its own call alone, and is told.

use super::*;

fn is_alarm(order: &Order) -> bool {
    matches!(order, Order::Alarm(alarm) if alarm.kind == "call-fault")
}

#[test]
fn a_fault_in_one_call_ends_that_call_alone() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    room.register("bruno", 2);
    let faulty = room.call();
    let other = room.call();
    let (faulty_leg, other_leg) = (room.dial(faulty, 1), room.dial(other, 1));
    room.answer(faulty_leg);
    room.answer(other_leg);
    room.switch.plant_fault(faulty.call);
    let orders = room.signal(Signal::Reoffered { leg: faulty_leg, remote: remote(Direction::Both) });
    assert!(orders.iter().any(|order| matches!(order, Order::Alarm(alarm) if alarm.kind == "call-fault")));
    assert!(orders.contains(&Order::Leg(LegOrder::Hangup { leg: faulty, why: EndedBy::Fault })));
    assert!(orders.iter().any(|order| matches!(order, Order::Recorder(RecorderCommand::Finish { .. }))));
    assert_eq!(room.last_record(faulty).outcome, Some(Outcome::Interrupted));
    let talking = |call: LegId| RegulatorState::Talking { call: call.call };
    let states = [room.state("anne"), room.state("bruno")];
    assert!(states.contains(&talking(other)) && !states.contains(&talking(faulty)), "{states:?}");
}

#[test]
fn a_fault_while_a_call_ends_leaves_its_end_told_and_its_recording_sealed() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    let caller = room.call();
    let leg = room.dial(caller, 1);
    room.answer(leg);
    room.signal(Signal::Ended { leg: caller, by: Gone::HungUp, detail: None });
    room.switch.plant_fault(caller.call);
    room.media(MediaReport::Closed { leg: caller, quality: Box::default() });
    assert!(room.has(|order| matches!(order, Order::Recorder(RecorderCommand::Finish { .. }))));
    let record = room.last_record(caller);
    assert_eq!((record.outcome, record.ended_by), (Some(Outcome::Answered), Some(EndedBy::Caller)));
    assert_eq!(room.events(caller).last().map(|(_, name)| *name), Some("call.ended"));
}

#[test]
fn a_fault_where_a_call_begins_refuses_it_and_keeps_nothing() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    room.register("bruno", 2);
    room.switch.faulty = true;
    let caller = room.ring();
    assert!(room.has(|o| *o == Order::Leg(LegOrder::Refuse { leg: caller, why: Unserved::Fault })));
    for digits in ["*10", "bruno"] {
        let (leg, orders) = room.dialled("anne", digits);
        assert!(orders.contains(&Order::Leg(LegOrder::Refuse { leg, why: Unserved::Fault })), "{digits}: {orders:?}");
        assert!(orders.iter().any(is_alarm));
    }
    assert!(room.switch.count_kept().iter().all(|(_, count)| *count == 0), "{:?}", room.switch.count_kept());
    assert_eq!(room.state("bruno"), RegulatorState::Ready);
}

#[test]
fn a_fault_in_a_feature_code_or_among_colleagues_ends_it_and_frees_both() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    room.register("bruno", 2);
    let caller = room.call();
    let own = if room.state("anne") == RegulatorState::Ready { "anne" } else { "bruno" };
    let (errand, _) = room.dialled(own, "*11");
    room.switch.faulty = true;
    let orders = room.media(MediaReport::Opened { leg: errand, rtp: rtp(4000) });
    room.switch.faulty = false;
    assert!(
        orders.contains(&Order::Leg(LegOrder::Hangup { leg: errand, why: EndedBy::Fault }))
            && orders.iter().any(is_alarm)
    );
    room.signal(Signal::Ended { leg: caller, by: Gone::HungUp, detail: None });
    let own = room.own_call("anne", "bruno");
    let other = room.dial(own, 1);
    room.answer(other);
    room.switch.plant_fault(own.call);
    let orders = room.signal(Signal::Reoffered { leg: own, remote: remote(Direction::Both) });
    assert!(orders.iter().any(is_alarm));
    for leg in [own, other] {
        assert!(orders.contains(&Order::Leg(LegOrder::Hangup { leg, why: EndedBy::Fault })));
    }
    assert_eq!((room.state("anne"), room.state("bruno")), (RegulatorState::Ready, RegulatorState::Ready));
    assert_eq!((room.kept("errands"), room.kept("calls among colleagues")), (0, 0));
}
