//! What the waiting room tells of a call's wait: notes are kept in their order, a step's message is heard.

use std::time::Duration;

use super::*;
use crate::model::centre::Step;
use crate::model::media::AfterSounds;
use crate::model::{RoutingNote, RoutingTurn};

fn notes(room: &Room, call: LegId) -> Vec<RoutingNote> {
    let notes = room.facts().filter_map(|fact| match fact {
        Fact::Routing { call: of, note } if *of == call.call => Some((**note).clone()),
        _ => None,
    });
    notes.collect()
}

#[test]
fn a_steps_message_is_heard_and_then_the_music_again() {
    let message = Step { after: Some(Duration::from_secs(20)), message: Some("patience".into()), ..Step::default() };
    let mut room = Room::new(|line| line.demand.steps = vec![message]);
    room.register("anne", 1);
    let first = room.call();
    let leg = room.dial(first, 1);
    room.answer(leg);
    let caller = room.call();
    let orders = room.wait(20);
    let (sounds, after) = (vec!["patience".into(), "music".into()], AfterSounds::RepeatLast);
    assert!(orders.contains(&Order::Media(MediaCommand::Play { leg: caller, sounds, after })), "{orders:?}");
    assert_eq!(notes(&room, caller).len(), 2);
}

#[test]
fn the_notes_of_a_caller_who_comes_back_go_on_where_they_were() {
    let mut room = Room::new(|_| {});
    room.register("anne", 1);
    let caller = room.call();
    let leg = room.dial(caller, 1);
    room.answer(leg);
    room.wait(60);
    room.media(MediaReport::Silent { leg });
    let notes = notes(&room, caller);
    assert_eq!(notes.iter().map(|note| note.number).collect::<Vec<_>>(), [1, 2]);
    assert!(notes.iter().all(|note| matches!(note.turn, RoutingTurn::Entered { .. })));
    assert_eq!(notes.last().map(|note| note.wait_ms), Some(60_000));
}
