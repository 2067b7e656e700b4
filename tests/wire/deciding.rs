//! Who is offered what, when: the steps of a line, the place of who was not answered, the end of the wait, wrap-up.

use serde_json::Value;

use super::phone::{Manner, Phone};
use super::server::Setup;
use super::sound::frequency;
use super::voice::Words;

const PLAIN: &str = "wrap_up = \"1s\"\nwaiting_max = \"30s\"";
const ANNE: &str = "name = \"Anne\"\nassociation = \"sos-test\"\nskills = { regulation = 80 }";
const BRUNO: &str = "skills = { regulation = 80, lang-en = 60 }";

/// How long a regulator's state lasts that ends by itself.
fn lasts_ms(regulator: &Value) -> i64 {
    let at = |key: &str| -> jiff::Timestamp { regulator[key].as_str().and_then(|t| t.parse().ok()).expect("a time") };
    at("until").as_millisecond() - at("since").as_millisecond()
}

#[tokio::test]
async fn the_demand_relaxes_with_the_wait_and_each_offer_says_at_which_step() {
    let steps = format!("{PLAIN}\nsteps = [{{ after = \"2s\", lowered_by = 20 }}, ")
        + "{ after = \"4s\", skills = { regulation = 1 } }]";
    let setup = Setup::new().change(PLAIN, &steps).change("pause_refused = \"2s\"", "pause_refused = \"30s\"");
    let setup = setup.change(ANNE, &ANNE.replace("80", "40")).change(BRUNO, "skills = { regulation = 10 }");
    // The other lines need somebody who could answer them.
    let claire = "[regulators.claire]\nname = \"Claire\"\nassociation = \"sos-test\"\nskills = { regulation = 80 }\n\n";
    let setup = setup.change("[trunks.carrier]", &format!("{claire}[trunks.carrier]"));
    let server = setup.start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let bruno = Phone::regulator(&server, "bruno").await;
    anne.is(Manner::Declines);
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    bruno.talks().await;
    caller.hang_up().await;

    let story = server.api.ended().await;
    let offered = |n: usize| {
        let (offer, reasoning) = (&story["offers"][n], &story["offers"][n]["reasoning"]);
        let excluded: u64 = reasoning["excluded"].as_object().expect("counts").values().filter_map(Value::as_u64).sum();
        (offer["regulator"].as_str(), reasoning["step"].as_u64(), reasoning["skills"]["regulation"].as_u64(), excluded)
    };
    assert_eq!(offered(0), (Some("anne"), Some(1), Some(30), 2), "{:#}", story["offers"]);
    assert_eq!(offered(1), (Some("bruno"), Some(2), Some(1), 2), "{:#}", story["offers"]);
    let waits: Vec<u64> = story["events"]
        .as_array()
        .expect("events")
        .iter()
        .filter(|event| event["type"] == "call.offered")
        .filter_map(|event| event["data"]["wait_ms"].as_u64())
        .collect();
    assert!(waits[0] >= 2000 && waits[1] >= 4000, "{waits:?}");
}

#[tokio::test]
async fn who_was_not_answered_keeps_the_place_and_the_regulator_is_paused_for_a_minute() {
    let server = Setup::new().ringing("3s").start().await;
    let anne = Phone::regulator(&server, "anne").await;
    anne.is(Manner::Rings);
    let first = Phone::caller(&server, "+33612345678").await;
    first.dial_in("0261910101").await;
    anne.rings().await;
    let second = Phone::caller(&server, "+33687654321").await;
    second.dial_in("0261910101").await;
    server.api.regulator_is("anne", "paused no-answer").await;
    let regulator = server.api.json("/regulators/anne").await;
    assert_eq!(lasts_ms(&regulator), 60_000, "{regulator:#}");

    let room = server.api.json("/room").await;
    let waiting = |n: usize| room["waiting"][n]["caller"]["e164"].as_str();
    assert_eq!((waiting(0), waiting(1)), (Some("+33612345678"), Some("+33687654321")), "{room:#}");
    anne.is(Manner::Answers);
    anne.voice.says(Words::Tone(1000.0));
    assert!(server.api.post("/regulators/anne/ready", None).await < 300);
    first.voice.hears(1000.0, 300).await;
    let room = server.api.json("/room").await;
    assert_eq!(room["waiting"][0]["caller"]["e164"].as_str(), Some("+33687654321"), "{room:#}");
    first.hang_up().await;
    second.voice.hears(1000.0, 300).await;
    second.hang_up().await;
}

#[tokio::test]
async fn the_longest_wait_ends_with_a_message_and_wrap_up_is_the_line_s() {
    let server = Setup::new().change(PLAIN, "wrap_up = \"4s\"\nwaiting_max = \"5s\"").start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let first = Phone::caller(&server, "+33612345678").await;
    first.dial_in("0261910101").await;
    anne.talks().await;
    let second = Phone::caller(&server, "+33687654321").await;
    second.dial_in("0261910101").await;
    second.is_over().await;
    assert!(second.voice.heard_ms(frequency("music")) >= 2000);
    assert!(second.voice.heard_ms(frequency("sorry")) >= 300);
    let story = server.api.ended().await;
    let call = &story["call"];
    assert_eq!((call["outcome"].as_str(), call["ended_by"].as_str()), (Some("overflowed"), Some("message")));
    assert!(call["detail"].as_str().is_some_and(|detail| detail.contains("5 s")), "{call:#}");

    first.hang_up().await;
    server.api.regulator_is("anne", "wrap-up").await;
    let regulator = server.api.json("/regulators/anne").await;
    assert_eq!(lasts_ms(&regulator), 4000, "{regulator:#}");
    server.api.regulator_is("anne", "ready").await;
}
