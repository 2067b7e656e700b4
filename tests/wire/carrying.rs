//! Over a carrier's trunk outwards: SIPp is the carrier that is dialled, and a softphone hands a caller on to it.

use serde_json::json;

use super::harness::free_port;
use super::phone::Phone;
use super::pjsua::Pjsua;
use super::server::{Server, Setup};
use super::sipp::{Sipp, voice};

/// A server whose carrier is dialled at a port of its own, where SIPp answers with a voice of 440 Hz.
async fn dialled() -> (Server, Sipp) {
    let setup = Setup::new();
    let (address, port) = (setup.place.trunk, free_port());
    let reach = format!(
        "[trunks.carrier]\nhost = \"{address}\"\nport = {port}\ndials = [\"+33\", \"15\"]\nnumber_shown = \"+33261910101\"\noptions_every = \"0s\"\n"
    );
    let server = setup.change("[trunks.carrier]\n", &reach).start().await;
    let said = voice(&server, vigie::model::Codec::Pcma, 440.0);
    let carrier = Sipp::answering(&server, "answers-a-number", (address, port), &[("VOICE", &said)]).await;
    (server, carrier)
}

#[tokio::test]
async fn a_softphone_dials_a_number_over_the_carrier_and_hears_it_answer() {
    let (server, carrier) = dialled().await;
    let anne = Pjsua::regulator(&server, "anne", 1000.0).await;
    let call = anne.dials(&server, "+33612345699").await;
    anne.call_is(call, "CONFIRMED").await;
    anne.hears(call, 440.0, 500).await;
    anne.does("hang_up", json!({ "call": call })).await;
    carrier.passes().await;
    server.api.lives(0).await;
}

#[tokio::test]
async fn a_softphone_hands_a_caller_on_to_the_samu_and_is_told_that_it_is_done() {
    let (server, carrier) = dialled().await;
    let anne = Pjsua::regulator(&server, "anne", 1000.0).await;
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.dial_in("0261910101").await;
    anne.hears(0, 440.0, 300).await;
    let samu = format!("sip:15@{}", server.centre.sip);
    anne.does("transfer", json!({ "call": 0, "to": samu })).await;
    anne.sees("transfer", |event| event["status"] == 200 && event["final"] == true).await;
    anne.call_is(0, "DISCONNECTED").await;
    caller.voice.hears(440.0, 500).await;
    caller.hang_up().await;
    carrier.passes().await;
    let types = super::api::event_types(&server.api.sealed().await);
    assert!(types.contains(&"call.transferred".to_owned()), "{types:?}");
    server.api.lives(0).await;
}
