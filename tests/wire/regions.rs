//! Who is nearest has the call: neighbours before strangers, the second region of a second region; and of several phones of
//! one person the first that is picked up.

use serde_json::Value;

use super::api::event_types;
use super::phone::{Manner, Phone};
use super::server::Setup;

/// Somebody far from everywhere, who is the first by name.
const ALICE: &str = "[regulators.alice]\nname = \"Alice\"\nassociation = \"sos-test\"\nskills = { regulation = 80 }\n\
                     regions = { east = 0 }\n\n[regulators.anne]\n";

fn regions(more: &str) -> Setup {
    let before = "[regions.north]\nneighbours = [\"south\"]\n[regions.south]\n";
    Setup::new().change(before, &format!("{before}[regions.east]\n{more}")).change("[regulators.anne]\n", ALICE)
}

/// What the region cost each candidate of the first offer, in whole points: it fades with the wait, which was none.
fn costs(story: &Value) -> Vec<(String, i64)> {
    let candidates = story["offers"][0]["reasoning"]["candidates"].as_array().expect("candidates");
    let cost = |one: &Value| one["cost_region"].as_f64().expect("a cost").round() as i64;
    candidates.iter().map(|one| (one["regulator"].as_str().unwrap_or_default().to_owned(), cost(one))).collect()
}

#[tokio::test]
async fn a_call_goes_to_the_neighbour_regions_regulator_and_not_to_one_farther_away() {
    let server = regions("").start().await;
    let alice = Phone::regulator(&server, "alice").await;
    let bruno = Phone::regulator(&server, "bruno").await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    bruno.talks().await;
    caller.hang_up().await;
    let story = server.api.ended().await;
    assert_eq!(costs(&story), [("bruno".to_owned(), 10), ("alice".to_owned(), 40)]);
    assert_eq!(alice.calls_received(), 0);
}

#[tokio::test]
async fn a_call_goes_on_along_second_regions_and_one_that_is_far_is_preferred_to_nobody() {
    let chain = "[regions.west]\nsecond = \"middle\"\n[regions.middle]\nsecond = \"south\"\n";
    let line = "ddis = [\"+33261910101\"]\nregion = \"north\"";
    let server = regions(chain).change(line, "ddis = [\"+33261910101\"]\nregion = \"west\"").start().await;
    let alice = Phone::regulator(&server, "alice").await;
    let bruno = Phone::regulator(&server, "bruno").await;
    let first = Phone::caller(&server, "+33612345678").await;
    first.dial_in("0261910101").await;
    bruno.talks().await;
    let second = Phone::caller(&server, "+33612345679").await;
    second.dial_in("0261910101").await;
    alice.talks().await;
    let calls = server.api.calls().await;
    let id = calls[1]["id"].as_str().expect("the first call's id");
    let story = server.api.json(&format!("/calls/{id}")).await;
    assert_eq!(costs(&story), [("bruno".to_owned(), 10), ("alice".to_owned(), 40)]);
    first.hang_up().await;
    second.hang_up().await;
}

#[tokio::test]
async fn all_phones_of_a_person_ring_as_one_offer_the_first_that_is_picked_up_wins_and_the_others_stop() {
    let server = Setup::new().start().await;
    let phones = [
        Phone::regulator(&server, "anne").await,
        Phone::regulator(&server, "anne").await,
        Phone::regulator(&server, "anne").await,
    ];
    let [desk, second, mobile] = &phones;
    for phone in &phones {
        phone.is(Manner::Rings);
    }
    // One of them refuses: the others go on ringing.
    second.is(Manner::IsBusy);
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    desk.rings().await;
    mobile.rings().await;
    assert_eq!(second.calls_received(), 1);
    assert_eq!(server.api.regulator("anne").await, "ringing");
    mobile.pick_up().await;
    let cancel = desk.receives("CANCEL").await;
    assert!(cancel.header("Reason").contains("elsewhere"), "{}", cancel.0);
    desk.is_over().await;
    server.api.regulator_is("anne", "talking").await;
    mobile.voice.hears(440.0, 300).await;
    caller.hang_up().await;
    let story = server.api.sealed().await;
    assert_eq!(story["offers"].as_array().map(Vec::len), Some(1), "{:#}", story["offers"]);
    assert_eq!(story["offers"][0]["end"].as_str(), Some("accepted"));
    let offered = event_types(&story).into_iter().filter(|kind| kind == "call.offered").count();
    assert_eq!(offered, 1);
    assert_eq!((desk.calls_received(), mobile.calls_received()), (1, 1));
    server.assert_sound();
}
