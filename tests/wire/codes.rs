//! Feature codes on softphones: baresip presses and dials them, SIPp is the doctor on the road; the recording is whole.

use std::time::Duration;

use serde_json::Value;

use super::api::event_types;
use super::baresip::{Baresip, Ear};
use super::harness::{free_port, let_pass, until};
use super::joining::{ANNE, BRUNO, CALLER, OUTSIDE, far_end, hears_only};
use super::phone::{Manner, Phone};
use super::server::{Server, Setup};
use super::sipp::{Sipp, voice};
use super::sound::length_of_tone_ms;
use super::voice::Words;

/// Keys as a person presses them.
pub(super) async fn press(ear: &Ear, keys: &str) {
    for key in keys.chars() {
        ear.command("sndcode", &key.to_string());
        let_pass(Duration::from_millis(350)).await;
    }
}

/// Anne on a baresip, and a caller who hears her.
pub(super) async fn talk(server: &Server) -> (Baresip, Phone, String) {
    let anne = Baresip::regulator(server, "anne", ANNE).await;
    let caller = Phone::caller(server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    caller.voice.hears(ANNE, 300).await;
    let id = server.api.calls().await[0]["id"].as_str().expect("an id").to_owned();
    (anne, caller, id)
}

pub(super) async fn acts(server: &Server) -> Vec<(String, String)> {
    let rows = server.api.json("/audit").await["items"].as_array().expect("items").clone();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    rows.iter().map(|row| (text(row, "actor"), text(row, "act"))).collect()
}

pub(super) fn did(act: &str, by: &str) -> (String, String) {
    (format!("regulator:{by}"), act.to_owned())
}

#[tokio::test]
async fn a_baresip_hands_its_caller_to_the_samu_by_keys_and_leaves() {
    let (server, samu) = far_end(Setup::new()).await;
    samu.is(Manner::Rings);
    let (anne, caller, _) = talk(&server).await;
    press(&anne.listens(), "*15").await;
    samu.rings().await;
    assert!(samu.received("INVITE")[0].0.starts_with("INVITE sip:15@"), "{}", samu.received("INVITE")[0].0);
    samu.pick_up().await;
    hears_only(&caller, &[ANNE, OUTSIDE], &[CALLER]).await;
    anne.hears(OUTSIDE, 300).await;
    anne.command("hangup", "");
    hears_only(&caller, &[OUTSIDE], &[ANNE]).await;
    samu.hang_up().await;
    caller.is_over().await;
    let story = server.api.sealed().await;
    let expected =
        ["call.handed-to-samu", "call.joined", "call.transferred", "call.ended", "recording.sealed"].map(String::from);
    assert!(event_types(&story).ends_with(&expected), "{:?}", event_types(&story));
    let [left, right] = server.api.audio(&story).await;
    let lengths =
        [(&left, CALLER), (&right, ANNE), (&right, OUTSIDE)].map(|(side, tone)| length_of_tone_ms(side, tone));
    assert!(lengths[0] >= 4000 && lengths[1] >= 2500 && lengths[2] >= 2000, "{lengths:?}");
    assert!(acts(&server).await.contains(&did("call.samu", "anne")));
    server.assert_sound();
}

#[tokio::test]
async fn a_baresip_brings_a_doctor_of_sipp_into_the_call_by_keys_and_all_is_recorded() {
    let setup = Setup::new();
    let (address, port) = (setup.place.trunk, free_port());
    let reach =
        format!("[trunks.carrier]\nhost = \"{address}\"\nport = {port}\ndials = [\"+33\"]\noptions_every = \"0s\"\n");
    let server = setup.change("[trunks.carrier]\n", &reach).start().await;
    let said = voice(&server, vigie::model::Codec::Pcma, OUTSIDE);
    let doctor = Sipp::answering(&server, "answers-a-number", (address, port), &[("VOICE", &said)]).await;
    let (anne, caller, _) = talk(&server).await;
    press(&anne.listens(), "*30698765432#").await;
    hears_only(&caller, &[ANNE, OUTSIDE], &[CALLER]).await;
    anne.hears(OUTSIDE, 500).await;
    caller.hang_up().await;
    doctor.passes().await;
    let story = server.api.sealed().await;
    let legs = story["legs"].as_array().expect("legs");
    assert_eq!((legs.len(), legs[2]["dialled"].as_str()), (3, Some("+33698765432")), "{legs:#?}");
    let [left, right] = server.api.audio(&story).await;
    assert_eq!(length_of_tone_ms(&left, OUTSIDE), 0);
    let lengths =
        [(&left, CALLER), (&right, ANNE), (&right, OUTSIDE)].map(|(side, tone)| length_of_tone_ms(side, tone));
    assert!(lengths[0] >= 5000 && lengths[1] >= 5000 && lengths[2] >= 1200, "{lengths:?}");
    server.assert_sound();
}

#[tokio::test]
async fn a_tutor_listens_to_the_own_trainee_by_a_dialled_code_and_barges_in_by_keys() {
    let trainee = "name = \"Anne\"\ntrainee_of = \"bruno\"\n";
    let server = Setup::new().change("name = \"Anne\"\n", trainee).start().await;
    let (anne, caller, id) = talk(&server).await;
    let bruno = Baresip::regulator(&server, "bruno", BRUNO).await;
    bruno.dial(&server, "*61anne");
    bruno.hears(ANNE, 500).await;
    bruno.hears(CALLER, 500).await;
    hears_only(&caller, &[ANNE], &[BRUNO]).await;
    let ear = bruno.listens();
    press(&ear, "*62").await;
    anne.hears(BRUNO, 500).await;
    hears_only(&caller, &[ANNE], &[BRUNO]).await;
    press(&ear, "*63").await;
    hears_only(&caller, &[ANNE, BRUNO], &[CALLER]).await;
    // The trainee is nobody's tutor, and hears that it cannot be.
    drop(ear);
    bruno.command("hangup", "");
    hears_only(&caller, &[ANNE], &[BRUNO]).await;
    let acts = acts(&server).await;
    for act in ["call.listen", "call.whisper", "call.barge-in"] {
        assert!(acts.contains(&did(act, "bruno")), "{act}: {acts:?}");
    }
    server.api.regulator_is("bruno", "ready").await;
    caller.hang_up().await;
    let story = server.api.sealed().await;
    assert_eq!((story["call"]["id"].as_str(), story["call"]["regulator"].as_str()), (Some(id.as_str()), Some("anne")));
    let [_, right] = server.api.audio(&story).await;
    let supervised = length_of_tone_ms(&right, BRUNO);
    assert!((500..=4000).contains(&supervised), "only what the caller heard: {supervised} ms");
    server.assert_sound();
}

#[tokio::test]
async fn who_is_no_tutor_is_refused_and_a_code_of_the_centre_s_own_counts() {
    let own = "[codes]\nlisten = \"*77\"\nrequeue = \"*8\"\n[skills]";
    let server = Setup::new().change("[skills]", own).start().await;
    let (anne, caller, _) = talk(&server).await;
    let bruno = Phone::regulator(&server, "bruno").await;
    bruno.voice.says(Words::Tone(BRUNO));
    let password = server.password("bruno");
    for (code, status) in [("*77anne", "SIP/2.0 403"), ("*61anne", "SIP/2.0 404"), ("*15", "SIP/2.0 404")] {
        bruno.dial_as(&password, code).await;
        assert!(!bruno.receives(status).await.0.is_empty(), "{code}");
    }
    assert_eq!(server.api.regulator("bruno").await, "ready");
    press(&anne.listens(), "*8").await;
    bruno.talks().await;
    hears_only(&caller, &[BRUNO], &[ANNE]).await;
    let story = server.api.story("it waits no more", |story| story["call"]["regulator"] == "bruno").await;
    let waited = event_types(&story).iter().filter(|kind| *kind == "call.queued").count();
    assert_eq!(waited, 2, "it was put back by *8");
    caller.hang_up().await;
    until("all is over", || async { (server.api.json("/room").await["calls_live"] == 0).then_some(()) }).await;
}
