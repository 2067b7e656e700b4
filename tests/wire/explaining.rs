//! Why a caller waited: held for a region, passed over for a skill, relaxed by a step with its message, and told so.

use super::harness::until;
use super::phone::{Manner, Phone};
use super::server::Setup;
use super::sound::frequency;

/// The plain line asks for an expression, in its own region at first.
fn held() -> Setup {
    Setup::new().change(
        "ddis = [\"+33261910101\"]\nregion = \"north\"\nskills = { regulation = 50 }\n",
        "ddis = [\"+33261910101\"]\nregion = \"north\"\nneeds = \"regulation >= 50 and (lang-en >= 30 or regulation >= 90)\"\n\
         reach = \"home\"\nsteps = [{ after = \"2s\", reach = \"neighbours\", message = \"sorry\" }]\n",
    )
}

#[tokio::test]
async fn a_caller_held_for_a_region_hears_the_steps_message_and_the_api_says_why_it_waited() {
    let server = held().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let bruno = Phone::regulator(&server, "bruno").await;
    bruno.is(Manner::Rings);
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    let waiting = until("the caller waits", || async {
        server.api.json("/room").await["waiting"].as_array().and_then(|all| all.first().cloned())
    })
    .await;
    assert_eq!(waiting["needs"], "regulation >= 50 and (lang-en >= 30 or regulation >= 90)");
    assert_eq!((&waiting["reach"], &waiting["step"]), (&"home".into(), &0.into()));
    assert_eq!(waiting["forecast"]["pool"], 0, "nobody at home can answer it: {waiting}");
    bruno.rings().await;
    caller.voice.hears(frequency("sorry"), 300).await;
    bruno.pick_up().await;
    bruno.talks().await;
    assert_eq!(anne.calls_received(), 0, "anne is free, and has not the skills");
    caller.hang_up().await;
    let story = server.api.ended().await;
    let id = story["call"]["id"].as_str().expect("an id");
    let why = server.api.json(&format!("/calls/{id}/routing?lang=en")).await;
    let turns: Vec<(&str, &str)> = why["turns"]
        .as_array()
        .expect("turns")
        .iter()
        .map(|turn| (turn["turn"].as_str().expect("a word"), turn["text"].as_str().expect("a text")))
        .collect();
    let [("entered", entered), ("step", step), ("offered", offered), ("answered", _)] = turns.as_slice() else {
        panic!("{turns:#?}")
    };
    assert!(entered.contains("only region north") && entered.contains("1 too far away: Bruno"), "{entered}");
    assert!(entered.contains("1 without the skills: anne"), "{entered}");
    assert!(step.starts_with("Step 1, after waiting 2 s:") && step.contains("Message played: sorry"), "{step}");
    assert!(offered.starts_with("Rings at Bruno: cost") && offered.contains("the cheapest of 1"), "{offered}");
    let wait_ms = why["wait_ms"].as_u64().expect("a wait");
    assert!((2_000..20_000).contains(&wait_ms) && why["nobody_free_ms"].as_u64() >= Some(1_900), "{why:#}");
    assert!(why["summary"].as_str().is_some_and(|text| text.contains("nobody who could answer was free")), "{why:#}");
}

#[tokio::test]
async fn whoever_waits_behind_another_is_told_who_went_first_and_how_long_it_will_take() {
    let server = Setup::new().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let first = Phone::caller(&server, "+33612345678").await;
    first.dial_in("0261910101").await;
    anne.talks().await;
    let (second, third) = (Phone::caller(&server, "+33612345679").await, Phone::caller(&server, "+33612345680").await);
    for (caller, number) in [(&second, 1), (&third, 2)] {
        caller.dial_in("0261910101").await;
        until("it waits", || async {
            (server.api.json("/room").await["waiting"].as_array().map(Vec::len) == Some(number)).then_some(())
        })
        .await;
    }
    let room = server.api.json("/room").await;
    let foreseen = |n: usize, what: &str| room["waiting"][n]["forecast"][what].as_u64().expect("a forecast");
    assert_eq!((foreseen(0, "ahead"), foreseen(1, "ahead"), foreseen(1, "pool")), (0, 1, 1));
    assert!(foreseen(0, "median_ms") < foreseen(0, "nine_in_ten_ms"), "{room}");
    assert!(foreseen(0, "nine_in_ten_ms") < foreseen(1, "nine_in_ten_ms"), "{room}");
    let last = room["waiting"][1]["call"].as_str().expect("an id").to_owned();
    first.hang_up().await;
    let why = until("somebody else went first", || async {
        let why = server.api.json(&format!("/calls/{last}/routing?lang=en")).await;
        (why["turns"].as_array().is_some_and(|turns| turns.len() > 1)).then_some(why)
    })
    .await;
    // Only who was answered is judged, or who left later than was told.
    until("anne has the second caller", || async {
        (server.api.json("/room").await["waiting"].as_array().map(Vec::len) == Some(1)).then_some(())
    })
    .await;
    let passed = why["turns"].as_array().expect("turns").iter().find(|turn| turn["turn"] == "passed");
    let told = passed.and_then(|turn| turn["text"].as_str()).unwrap_or_default();
    assert!(told.starts_with("anne became free and was given call") && told.ends_with("came earlier."), "{why:#}");
    assert!(why["summary"].as_str().is_some_and(|text| text.starts_with("The caller has waited")), "{why:#}");
    second.hang_up().await;
    third.hang_up().await;
    until("the forecasts are judged", || async {
        let days = server.api.json("/forecasts").await;
        (days[0]["judged"].as_u64() >= Some(1)).then_some(())
    })
    .await;
}
