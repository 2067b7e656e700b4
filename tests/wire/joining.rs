//! Three in a call, from outside: the doctor on the road, the SAMU, supervisors. Each hears the others and not himself, and
//! the recording is whole across all of it.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::api::event_types;
use super::baresip::Baresip;
use super::harness::{free_port, let_pass};
use super::phone::{Manner, Phone};
use super::server::{Server, Setup};
use super::sound::{frequency, length_of_tone_ms};
use super::voice::Words;
use super::webhook::Webhook;

/// What each says.
pub(super) const CALLER: f64 = 440.0;
pub(super) const ANNE: f64 = 1000.0;
pub(super) const BRUNO: f64 = 1600.0;
pub(super) const OUTSIDE: f64 = 2300.0;

/// A server whose carrier is dialled at a far end of its own, which picks up.
async fn with_far_end() -> (Server, Phone) {
    far_end(Setup::new()).await
}

/// The same with other settings.
pub(super) async fn far_end(setup: Setup) -> (Server, Phone) {
    let place = SocketAddr::from((setup.place.trunk, free_port()));
    let reach = format!(
        "[trunks.carrier]\nhost = \"{}\"\nport = {}\ndials = [\"+33\", \"15\"]\noptions_every = \"0s\"\n",
        place.ip(),
        place.port()
    );
    let server = setup.change("[trunks.carrier]\n", &reach).start().await;
    let outside = Phone::at(place, server.centre.sip, "outside").await;
    outside.voice.says(Words::Tone(OUTSIDE));
    (server, outside)
}

/// Anne and a caller in conversation; the call's id.
pub(super) async fn talk(server: &Server) -> (Phone, Phone, String) {
    let anne = Phone::regulator(server, "anne").await;
    anne.voice.says(Words::Tone(ANNE));
    let caller = Phone::caller(server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    caller.voice.hears(ANNE, 300).await;
    let id = server.api.calls().await[0]["id"].as_str().expect("an id").to_owned();
    (anne, caller, id)
}

async fn order(server: &Server, call: &str, what: &str, body: Option<Value>) {
    assert_eq!(server.api.post(&format!("/calls/{call}/{what}"), body).await, 204, "{what}");
}

/// Whether a phone hears exactly these for a second from now on.
pub(super) async fn hears_only(phone: &Phone, heard: &[f64], silent: &[f64]) {
    for tone in heard {
        phone.voice.hears(*tone, 500).await;
    }
    phone.voice.forget();
    let_pass(std::time::Duration::from_millis(1000)).await;
    for tone in heard {
        assert!(phone.voice.heard_ms(*tone) >= 600, "{tone} Hz is not heard: {} ms", phone.voice.heard_ms(*tone));
    }
    for tone in silent {
        assert!(phone.voice.heard_ms(*tone) <= 100, "{tone} Hz is heard: {} ms", phone.voice.heard_ms(*tone));
    }
}

/// The tones of a sealed recording in milliseconds: caller left; Anne, Bruno, outside right.
pub(super) async fn recorded(server: &Server, story: &Value) -> [u32; 4] {
    let [left, right] = server.api.audio(story).await;
    assert_eq!(length_of_tone_ms(&left, ANNE), 0, "the caller's side is the caller's alone");
    [
        length_of_tone_ms(&left, CALLER),
        length_of_tone_ms(&right, ANNE),
        length_of_tone_ms(&right, BRUNO),
        length_of_tone_ms(&right, OUTSIDE),
    ]
}

#[tokio::test]
async fn a_doctor_on_the_road_joins_by_one_order_and_each_hears_the_others_and_not_himself() {
    let (server, doctor) = with_far_end().await;
    let (anne, caller, call) = talk(&server).await;
    order(&server, &call, "add", Some(json!({"to": "+33698765432"}))).await;
    doctor.talks().await;
    hears_only(&caller, &[ANNE, OUTSIDE], &[CALLER]).await;
    hears_only(&anne, &[CALLER, OUTSIDE], &[ANNE]).await;
    hears_only(&doctor, &[CALLER, ANNE], &[OUTSIDE]).await;
    // He has said what he knows; the two go on.
    doctor.hang_up().await;
    hears_only(&caller, &[ANNE], &[OUTSIDE]).await;
    anne.hang_up().await;
    caller.is_over().await;

    let story = server.api.sealed().await;
    let types = event_types(&story);
    assert!(
        types.ends_with(&["call.joined", "call.left", "call.ended", "recording.sealed"].map(String::from)),
        "{types:?}"
    );
    let [left, said, _, outside] = recorded(&server, &story).await;
    assert!(left >= 3000 && said >= 3000 && outside >= 1500, "{left} {said} {outside}");
    let legs = story["legs"].as_array().expect("legs");
    assert_eq!((legs.len(), legs[2]["side"].as_str()), (3, Some("outside")), "{legs:#?}");
    server.assert_sound();
}

#[tokio::test]
async fn the_samu_takes_a_caller_in_one_order_and_the_regulator_leaves() {
    let (server, samu) = with_far_end().await;
    let webhook = Webhook::open(&server.centre).await;
    samu.is(Manner::Rings);
    let (anne, caller, call) = talk(&server).await;
    order(&server, &call, "samu", None).await;
    samu.rings().await;
    let told = webhook.has("call.handed-to-samu").await;
    assert_eq!(
        (told.fields["to"].as_str(), told.fields["by"].as_str()),
        (Some("15"), Some("anne")),
        "{:#}",
        told.fields
    );
    hears_only(&caller, &[ANNE], &[frequency("music")]).await;
    samu.pick_up().await;
    hears_only(&caller, &[ANNE, OUTSIDE], &[CALLER]).await;
    hears_only(&samu, &[CALLER, ANNE], &[OUTSIDE]).await;
    anne.hang_up().await;
    hears_only(&caller, &[OUTSIDE], &[ANNE]).await;
    server.api.regulator_is("anne", "ready").await;
    samu.hang_up().await;
    caller.is_over().await;

    let story = server.api.sealed().await;
    let types = event_types(&story);
    let expected =
        ["call.handed-to-samu", "call.joined", "call.transferred", "call.ended", "recording.sealed"].map(String::from);
    assert!(types.ends_with(&expected), "{types:?}");
    let [left, said, _, outside] = recorded(&server, &story).await;
    assert!(left >= 3000 && said >= 2000 && outside >= 2000, "{left} {said} {outside}");
    server.assert_sound();
}

#[tokio::test]
async fn a_samu_that_does_not_come_leaves_the_caller_with_the_regulator() {
    let (server, samu) = with_far_end().await;
    samu.is(Manner::IsBusy);
    let (anne, caller, call) = talk(&server).await;
    order(&server, &call, "samu", None).await;
    let is_told = |story: &Value| event_types(story).contains(&"call.join-failed".to_owned());
    server.api.story("the failure is told", is_told).await;
    hears_only(&caller, &[ANNE], &[frequency("music"), OUTSIDE]).await;
    hears_only(&anne, &[CALLER], &[ANNE]).await;
    caller.hang_up().await;
    let story = server.api.sealed().await;
    assert_eq!(story["call"]["regulator"].as_str(), Some("anne"));
    // The recording goes on over the attempt, and holds nothing of a far end that never came.
    let [left, said, _, outside] = recorded(&server, &story).await;
    let length = story["recording"]["duration_ms"].as_u64().expect("a length") as u32;
    assert!(left >= 3000 && said >= 3000 && outside == 0, "{left} {said} {outside}");
    assert!(left + 500 >= length && said + 500 >= length, "of {length} ms {left} and {said} are there");
    assert_eq!(story["recording"]["gaps"].as_u64(), Some(0));
    server.assert_sound();
}

#[tokio::test]
async fn a_supervisor_listens_whispers_barges_in_and_takes_over() {
    let server = Setup::new().start().await;
    let (anne, caller, call) = talk(&server).await;
    let bruno = Phone::regulator(&server, "bruno").await;
    bruno.voice.says(Words::Tone(BRUNO));
    let supervise = |way: &str| Some(json!({"by": "bruno", "way": way, "reason": "training"}));
    order(&server, &call, "supervise", supervise("listen")).await;
    bruno.talks().await;
    hears_only(&bruno, &[CALLER, ANNE], &[BRUNO]).await;
    hears_only(&caller, &[ANNE], &[BRUNO]).await;
    hears_only(&anne, &[CALLER], &[BRUNO]).await;
    order(&server, &call, "supervise", supervise("whisper")).await;
    hears_only(&anne, &[CALLER, BRUNO], &[ANNE]).await;
    hears_only(&caller, &[ANNE], &[BRUNO]).await;
    order(&server, &call, "supervise", supervise("barge-in")).await;
    hears_only(&caller, &[ANNE, BRUNO], &[CALLER]).await;
    order(&server, &call, "supervise", supervise("take-over")).await;
    anne.is_over().await;
    hears_only(&caller, &[BRUNO], &[ANNE]).await;
    hears_only(&bruno, &[CALLER], &[ANNE]).await;
    bruno.hang_up().await;
    caller.is_over().await;

    let story = server.api.sealed().await;
    assert_eq!(story["call"]["regulator"].as_str(), Some("bruno"));
    let [left, said, supervised, _] = recorded(&server, &story).await;
    assert!(left >= 6000 && said >= 4000, "{left} {said}");
    // Barging in and after: about 4 s; not the 4 s before.
    assert!((2000..=left - said + 3500).contains(&supervised), "{left} {said} {supervised}");
    server.assert_sound();
    let acts = server.api.json("/audit").await;
    let acts: Vec<&str> =
        acts["items"].as_array().expect("items").iter().filter_map(|one| one["act"].as_str()).collect();
    for act in ["call.listen", "call.whisper", "call.barge-in", "call.take-over"] {
        assert!(acts.contains(&act), "{act}: {acts:?}");
    }
}

#[tokio::test]
async fn a_colleague_on_a_softphone_joins_and_has_the_caller_afterwards() {
    let server = Setup::new().start().await;
    let (anne, caller, call) = talk(&server).await;
    let bruno = Baresip::regulator(&server, "bruno", BRUNO).await;
    order(&server, &call, "add", Some(json!({"to": "bruno"}))).await;
    bruno.hears(ANNE, 500).await;
    bruno.hears(CALLER, 500).await;
    hears_only(&caller, &[ANNE, BRUNO], &[CALLER]).await;
    order(&server, &call, "leave", None).await;
    anne.is_over().await;
    hears_only(&caller, &[BRUNO], &[ANNE]).await;
    bruno.hears(CALLER, 500).await;
    assert_eq!(server.api.regulator("bruno").await, "talking");
    caller.hang_up().await;
    let story = server.api.sealed().await;
    assert_eq!(story["call"]["regulator"].as_str(), Some("bruno"));
    server.assert_sound();
}

#[tokio::test]
async fn a_held_caller_hears_music_and_one_put_back_is_rung_for_again() {
    let server = Setup::new().start().await;
    let (anne, caller, call) = talk(&server).await;
    order(&server, &call, "hold", None).await;
    hears_only(&caller, &[frequency("music")], &[ANNE]).await;
    order(&server, &call, "resume", None).await;
    hears_only(&caller, &[ANNE], &[frequency("music")]).await;
    let bruno = Phone::regulator(&server, "bruno").await;
    bruno.voice.says(Words::Tone(BRUNO));
    order(&server, &call, "requeue", None).await;
    anne.is_over().await;
    bruno.talks().await;
    hears_only(&caller, &[BRUNO], &[ANNE]).await;
    caller.hang_up().await;
    let story = server.api.sealed().await;
    assert_eq!(event_types(&story).iter().filter(|kind| *kind == "call.queued").count(), 2);
    server.assert_sound();
}
