//! Many calls over a network that loses, repeats and reorders SIP messages.

use std::collections::HashSet;

use super::harness::until;
use super::lossy::Lossy;
use super::server::Setup;
use super::sipp::Sipp;

const CALLS: usize = 60;
const REGULATORS: usize = 8;

#[tokio::test]
async fn sixty_calls_over_a_network_that_loses_repeats_and_reorders_all_end_well() {
    let more: String = (1..=REGULATORS)
        .map(|n| {
            format!(
                "[regulators.r{n}]\nassociation = \"sos-test\"\nskills = {{ regulation = 80 }}\n\
                 regions = {{ north = 0 }}\n\n"
            )
        })
        .collect();
    let server = Setup::new()
        .change("[regulators.bruno]", &format!("{more}[regulators.bruno]"))
        .change("silence_max = \"5s\"", "silence_max = \"60s\"")
        .change("wrap_up = \"1s\"", "wrap_up = \"0s\"")
        .start()
        .await;
    let sip = server.centre.sip;
    let (mut networks, mut phones) = (Vec::new(), Vec::new());
    for n in 1..=REGULATORS {
        let network = Lossy::open(sip, [127, 0, 0, 1].into(), n as u64).await;
        let (user, to) = (format!("r{n}"), network.front.to_string());
        phones.push(Sipp::phone(&server, &user, "picks-up", &[("TO", &to), ("CALLS", "1000")]).await);
        networks.push(network);
    }
    let network = Lossy::open(sip, server.centre.place.trunk, 4711).await;
    let to = network.front.to_string();
    let (calls, values) = (CALLS.to_string(), [("TO", to.as_str()), ("RATE", "8")]);
    let values = [&values[..], &[("CALLS", calls.as_str())]].concat();
    let caller = Sipp::start(&server, "calls-through-losses", server.centre.place.trunk, "0261910101", &values);
    networks.push(network);
    caller.passes().await;

    until("no call lives", || async {
        (server.api.json("/room").await["calls_live"].as_u64() == Some(0)).then_some(())
    })
    .await;
    let calls = until("every call is told", || async {
        let calls = server.api.json("/calls?limit=200").await["items"].as_array().expect("calls").clone();
        (calls.len() >= CALLS && calls.iter().all(|call| !call["outcome"].is_null())).then_some(calls)
    })
    .await;
    assert_eq!(calls.len(), CALLS, "one call for each INVITE");
    let (mut answered, mut sip_calls) = (0, HashSet::new());
    for call in &calls {
        let story = server.api.json(&format!("/calls/{}", call["id"].as_str().expect("an id"))).await;
        let outcome = story["call"]["outcome"].as_str();
        assert!(matches!(outcome, Some("answered" | "abandoned")), "{story:#}");
        answered += usize::from(outcome == Some("answered"));
        for leg in story["legs"].as_array().expect("legs") {
            assert!(leg["ended_by"].is_string(), "a leg that has not ended: {leg:#}");
        }
        sip_calls.insert(story["legs"][0]["sip_call_id"].to_string());
        let ends = story["events"].as_array().expect("events").iter().filter(|event| event["type"] == "call.ended");
        assert_eq!(ends.count(), 1, "{story:#}");
    }
    assert!(answered * 10 >= CALLS * 9, "{answered} of {CALLS} were answered");
    assert_eq!(sip_calls.len(), CALLS, "each call is an INVITE's own");
    let (lost, changed) = networks.iter().map(Lossy::harm).fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
    assert!(lost >= 20 && changed >= 60, "the network was too good: {lost} lost, {changed} repeated or late");
}
