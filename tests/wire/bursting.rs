//! Losses in bursts, as a bad radio has them: the API says how they lay, and what a listener would say of it.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval};

use super::phone::Phone;
use super::server::Setup;
use super::voice::{FRAME, Words, packet};

/// So many packets come between two bursts; more than 16 end one (RFC 3611 §4.7.2).
const HEARD: u16 = 50;
/// So many are lost in a row.
const LOST: u16 = 6;
const BURSTS: u16 = 5;

#[tokio::test]
async fn losses_in_bursts_are_told_as_such_and_cost_more_than_the_same_losses_one_by_one() {
    let server = Setup::new().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    anne.voice.says(Words::Tone(1000.0));
    let caller = Phone::caller(&server, "+33612345678").await;
    caller.voice.says(Words::Nothing);
    caller.dial_in("0261910101").await;
    anne.talks().await;
    let (target, mut clock) = (caller.voice.far_end(), interval(Duration::from_millis(20)));
    // What the machine holds up it sends at once, as a phone does.
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let period = HEARD + LOST;
    for sequence in 0..period * BURSTS + HEARD {
        clock.tick().await;
        if sequence % period < HEARD {
            caller.voice.throws(&packet(sequence, 0x0051_ED07, &[0x2a; FRAME]), target).await;
        }
    }
    let is_it = |story: &Value| story["legs"][0]["quality"]["packets_lost"] == BURSTS * LOST;
    let live = server.api.story("the losses are seen while the call lives", is_it).await;
    assert!(live["call"]["outcome"].is_null() && live["legs"][0]["quality"]["bursts"] == BURSTS, "{:#}", live["legs"]);
    caller.hang_up().await;

    let story = server.api.sealed().await;
    let quality = &story["legs"][0]["quality"];
    let number = |what: &str| quality[what].as_f64().unwrap_or_else(|| panic!("{what}: {quality:#}"));
    assert_eq!((number("packets_lost"), number("bursts")), ((BURSTS * LOST).into(), BURSTS.into()), "{quality:#}");
    assert_eq!(
        (number("loss_longest_packets"), number("burst_ms")),
        (LOST.into(), f64::from(LOST) * 20.0),
        "{quality:#}"
    );
    assert_eq!((number("burst_loss_fraction"), number("gap_loss_fraction")), (1.0, 0.0), "{quality:#}");
    // ITU-T G.107 §7.5 with Bpl 25.1: 30 of 330 lost by sixes have an effective impairment of 32 (R 61, MOS 3.2); one by one it
    // were 25 (R 68, MOS 3.5). A slow machine's late packets only lower it.
    let mos = number("mos");
    assert!((1.5..3.3).contains(&mos), "{mos}");
    assert_eq!(quality["mos_scale"], "narrowband");
    // The other way nothing was lost.
    let other = &story["legs"][1]["quality"];
    assert_eq!((other["bursts"].as_u64(), other["packets_lost"].as_u64()), (Some(0), Some(0)), "{other:#}");
    assert!(other["mos"].as_f64() > Some(4.0), "{other:#}");
}
