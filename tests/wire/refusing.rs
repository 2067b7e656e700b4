//! Messages that are wrong, strange or a stranger's: each gets its answer, and none harms the server.

use super::phone::{Phone, with_body};
use super::server::{Server, Setup};

async fn is_alive(server: &Server, phone: &Phone) {
    let options = phone.plain("OPTIONS", &format!("sip:{}", server.centre.sip), "anybody");
    assert_eq!(phone.request(&options).await.status(), 200);
}

#[tokio::test]
async fn a_request_that_cannot_be_served_is_refused_with_the_status_that_says_why() {
    let server = Setup::new().start().await;
    let phone = Phone::caller(&server, "+33612345678").await;
    let cases: [(&str, &str, u16); 6] = [
        ("Max-Forwards: 70", "Max-Forwards: 0", 483),
        ("Max-Forwards: 70", "Max-Forwards: 70\r\nRequire: nothing-we-know", 420),
        (" SIP/2.0\r\nVia", " SIP/3.0\r\nVia", 505),
        ("RTP/AVP 8 101\r\na=rtpmap:8 PCMA", "RTP/AVP 18 101\r\na=rtpmap:18 G729", 488),
        ("CSeq: 1 INVITE", "CSeq: one INVITE", 400),
        ("application/sdp", "application/x-unheard-of", 415),
    ];
    for (from, to, status) in cases {
        let invite = phone.invite("0261910101");
        assert!(invite.contains(from), "{invite}");
        let invite = invite.replacen(from, to, 1);
        phone.send(invite.clone()).await;
        let answer = phone.receives(&format!("SIP/2.0 {status}")).await;
        assert!(answer.header("To").contains(";tag=") || status == 400 || status == 505, "{}", answer.0);
        if status == 420 {
            assert_eq!(answer.header("Unsupported"), "nothing-we-know");
        }
    }
    is_alive(&server, &phone).await;
    assert!(server.api.calls().await.is_empty(), "none of them became a call");
}

#[tokio::test]
async fn what_we_do_not_serve_is_named_and_what_we_do_not_know_is_not_implemented() {
    let server = Setup::new().start().await;
    let phone = Phone::start([127, 0, 0, 1], server.centre.sip, "anybody").await;
    let uri = format!("sip:{}", server.centre.sip);
    let options = phone.request(&phone.plain("OPTIONS", &uri, "anybody")).await;
    assert_eq!(options.status(), 200);
    assert!(options.header("Allow").contains("INVITE"), "{}", options.0);
    for (method, status) in [("MESSAGE", 405), ("SUBSCRIBE", 489), ("FROBNICATE", 501), ("BYE", 481)] {
        assert_eq!(phone.request(&phone.plain(method, &uri, "anybody")).await.status(), status, "{method}");
    }
}

#[tokio::test]
async fn rubbish_is_counted_and_the_server_lives() {
    let server = Setup::new().start().await;
    let phone = Phone::caller(&server, "+33612345678").await;
    let invite = phone.invite("0261910101");
    let half = &invite[..invite.len() / 3];
    let rubbish = ["\r\n\r\n", "\0\0\0\0", "INVITE", "SIP/2.0 200", "\u{ff}\u{fe} sip:x SIP/2.0\r\n\r\n", half];
    for one in rubbish {
        phone.send(one).await;
    }
    phone.send(invite.replace("Content-Length: ", "Content-Length: -")).await;
    phone.send(invite.replace("From: ", "Form: ")).await;
    phone.send(invite.replace("Via: ", &"Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKx\r\n".repeat(400))).await;
    is_alive(&server, &phone).await;
    assert!(server.metric("vigie_sip_malformed_total").await >= 4.0);
    assert!(server.api.calls().await.is_empty());
}

#[tokio::test]
async fn a_stranger_cannot_call_in_nor_pass_for_a_regulator() {
    let server = Setup::new().start().await;
    let stranger = Phone::start([127, 2, 0, 1], server.centre.sip, "+33612345678").await;
    assert_eq!(stranger.request(&stranger.invite("0261910101")).await.status(), 403);

    let claim = with_body(&stranger.plain("INVITE", &format!("sip:*11@{}", server.centre.sip), "anne"), "v=0\r\n");
    assert_eq!(stranger.request(&claim).await.status(), 407);
    assert!(server.api.calls().await.is_empty());
    assert_eq!(server.api.regulator("anne").await, "offline");
}

#[tokio::test]
async fn an_accented_name_in_latin_1_loses_no_call() {
    let server = Setup::new().start().await;
    let _anne = Phone::regulator(&server, "anne").await;
    let caller = Phone::caller(&server, "+33612345678").await;
    let invite = caller.invite("0261910101").replace("From: <", "From: \"Jos\u{e9} Le F\u{e8}vre\" <");
    caller.dial(invite).await;
    caller.talks().await;
    let accepted = caller.receives("SIP/2.0 200").await;
    assert!(accepted.header("From").starts_with("\"Jos\u{e9} Le F\u{e8}vre\" <"), "byte for byte: {}", accepted.0);
    server.api.regulator_is("anne", "talking").await;
    caller.hang_up().await;
    let story = server.api.ended().await;
    assert_eq!(story["call"]["outcome"].as_str(), Some("answered"));
    let name = story["call"]["caller"]["display_name"].as_str().expect("a name");
    assert!(name.starts_with("Jos") && name.contains("Le F") && name.ends_with("vre"), "{name}");
}

#[tokio::test]
async fn an_invite_without_content_length_keeps_its_body() {
    let server = Setup::new().start().await;
    let _anne = Phone::regulator(&server, "anne").await;
    let caller = Phone::caller(&server, "+33612345678").await;
    let invite = caller.invite("0261910101");
    let length = invite.lines().find(|line| line.starts_with("Content-Length")).expect("a length").to_owned();
    caller.dial(invite.replace(&format!("{length}\r\n"), "")).await;
    caller.talks().await;
    caller.voice.hears(440.0, 500).await;
    caller.hang_up().await;
}
