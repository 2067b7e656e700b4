//! Nobody free beside somebody who waits: whatever makes a regulator free, it rings there at once, by the events' own times.

use std::time::Duration;

use super::harness::{let_pass, until};
use super::phone::{Manner, Phone};
use super::server::{Server, Setup};
use super::webhook::{Delivery, Webhook};

/// The longest that an eligible regulator may be free beside a waiting call.
const FREE_MAX: jiff::SignedDuration = jiff::SignedDuration::from_millis(100);

/// Somebody who waits behind the others.
async fn waits(server: &Server, n: usize) -> Phone {
    let caller = Phone::caller(server, &format!("+3361234560{n}")).await;
    caller.dial_in("0261910101").await;
    caller
}

fn state(one: &Delivery) -> &str {
    one.fields["state"]["state"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn whoever_becomes_free_by_registering_resting_resuming_or_refusing_is_rung_within_a_tenth_of_a_second() {
    let setup = Setup::new().change("waiting_max = \"30s\"", "waiting_max = \"10m\"");
    let server = setup.change("pause_refused = \"2s\"", "pause_refused = \"3s\"").start().await;
    let webhook = Webhook::open(&server.centre).await;
    let anne = Phone::regulator(&server, "anne").await;
    let mut callers = Vec::new();
    for n in 0..6 {
        callers.push(waits(&server, n).await);
    }
    anne.talks().await;
    until("the others wait", || async {
        (server.api.json("/room").await["waiting"].as_array()?.len() == 5).then_some(())
    })
    .await;

    // A call ends and its rest is over; a colleague registers, pauses, is back; one refuses and is passed over for a while.
    callers.remove(0).hang_up().await;
    anne.is_over().await;
    anne.talks().await;
    let bruno = Phone::start([127, 0, 0, 1], server.centre.sip, "bruno").await;
    assert_eq!(bruno.register(&server.password("bruno"), 600).await, 200);
    bruno.talks().await;
    let pause = serde_json::json!({ "reason": "coffee" });
    assert_eq!(server.api.post("/regulators/bruno/pause", Some(pause)).await, 200);
    bruno.hang_up().await;
    server.api.regulator_is("bruno", "paused operator").await;
    let_pass(Duration::from_millis(300)).await;
    assert_eq!(server.api.post("/regulators/bruno/ready", None).await, 200);
    bruno.talks().await;
    bruno.is(Manner::IsBusy);
    bruno.hang_up().await;
    until("bruno has refused", || std::future::ready((bruno.calls_received() == 3).then_some(()))).await;
    bruno.is(Manner::Answers);
    bruno.talks().await;

    // Whenever one of the two was ready, it rang there next: somebody waited all the time.
    let waiting = server.api.json("/room").await["waiting"].as_array().map(Vec::len);
    assert!(waiting >= Some(1), "nobody waits any more: {waiting:?}");
    let told = until("bruno's last call is told", || async {
        let told = webhook.delivered();
        let talks = |one: &&Delivery| one.fields["regulator"] == "bruno" && state(one) == "talking";
        (told.iter().filter(talks).count() == 3).then_some(told)
    })
    .await;
    let mut ready = 0;
    for who in ["anne", "bruno"] {
        let of = |one: &&Delivery| one.kind == "regulator.state" && one.fields["regulator"] == who;
        let turns: Vec<&Delivery> = told.iter().filter(of).collect();
        // Anne registered before anybody called.
        let turns = turns.iter().skip(usize::from(who == "anne"));
        for (free, next) in turns.clone().zip(turns.skip(1)).filter(|(free, _)| state(free) == "ready") {
            ready += 1;
            assert_eq!(state(next), "ringing", "{who} was free beside somebody who waits");
            let for_so_long = next.at.duration_since(&free.at);
            assert!(for_so_long <= FREE_MAX, "{who} was free for {for_so_long:?} beside somebody who waits");
        }
    }
    assert!(ready >= 4, "{ready} times ready");
}
