//! What else than voice runs between the two sides: keys, losses, reports.

use super::harness::until;
use super::phone::Phone;
use super::server::Setup;
use tokio::net::UdpSocket;

#[tokio::test]
async fn keys_are_relayed_both_ways_and_losses_and_reports_stand_in_the_record() {
    let server = Setup::new().start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let caller = Phone::caller(&server, "+33612345678").await;
    // RFC 3550 §11: RTCP beside RTP.
    let beside = (caller.voice.local.ip(), caller.voice.local.port() + 1);
    let reports = UdpSocket::bind(beside).await.expect("the port beside the phone's RTP");
    caller.dial_in("0261910101").await;
    anne.talks().await;
    caller.voice.hears(440.0, 300).await;

    for (from, to, key) in [(&caller, &anne, 5), (&anne, &caller, 11), (&caller, &anne, 5)] {
        let before = to.voice.keys_heard().len();
        from.voice.press(key);
        until("the key arrives", || std::future::ready((to.voice.keys_heard().len() > before).then_some(()))).await;
        assert_eq!(to.voice.keys_heard().last(), Some(&key));
        to.voice.hears(440.0, 100).await;
    }
    caller.voice.loses(7);
    anne.voice.hears(440.0, 300).await;

    // A receiver report: a quarter lost, jitter 80 ticks = 10 ms.
    let mut far_end = caller.voice.far_end();
    far_end.set_port(far_end.port() + 1);
    let mut report = vec![0x81, 201, 0, 7];
    report.extend(0x0051_ED00_u32.to_be_bytes());
    report.extend(caller.voice.source_heard().to_be_bytes());
    report.extend([64, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0]);
    reports.send_to(&report, far_end).await.expect("a report is sent");
    let got = until("the server reports", || async {
        let (length, from) = reports.try_recv_from(&mut [0; 1500]).ok()?;
        (from == far_end).then_some(length)
    });
    assert!(got.await >= 28, "a sender report has 28 bytes at least");
    caller.hang_up().await;

    let story = server.api.sealed().await;
    let quality = &story["legs"][0]["quality"];
    assert_eq!(quality["packets_lost"].as_u64(), Some(7), "{quality:#}");
    assert_eq!(quality["remote_loss_fraction"].as_f64(), Some(0.25), "{quality:#}");
    assert_eq!(quality["remote_jitter_ms"].as_f64(), Some(10.0), "{quality:#}");
    assert!(
        quality["jitter_ms"].as_f64().is_some() && quality["rtcp_packets_received"].as_u64() == Some(1),
        "{quality:#}"
    );
    assert_eq!(story["legs"][1]["quality"]["packets_lost"].as_u64(), Some(0), "{:#}", story["legs"][1]);
}
