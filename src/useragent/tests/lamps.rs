//! Busy lamps: SUBSCRIBE to a colleague's calls, and the NOTIFYs that follow them.

use std::time::Duration;

use super::bench::*;
use super::talking::*;
use crate::call::signal::LegOrder;
use crate::model::{EndedBy, Path, Transport};

const BOB: &str = "127.0.0.1:5072";
const EXPIRES: &str = "Event: dialog\nAccept: application/dialog-info+xml\nExpires: 300\n";

/// Ana's phone, which watches.
pub struct Watch {
    user: &'static str,
    at: &'static str,
    call_id: String,
    watched: &'static str,
    our_tag: String,
    cseq: u32,
}

impl Watch {
    fn new(call_id: &str, watched: &'static str) -> Watch {
        Watch { user: "ana", at: PHONE, call_id: call_id.to_owned(), watched, our_tag: String::new(), cseq: 0 }
    }

    fn text(&mut self, more: &str) -> String {
        self.cseq += 1;
        let Watch { user, at, call_id, watched, our_tag, cseq } = self;
        let tag = if our_tag.is_empty() { String::new() } else { format!(";tag={our_tag}") };
        format!(
            "SUBSCRIBE sip:{watched}@vigie SIP/2.0\nVia: SIP/2.0/UDP {at};rport;branch=z9hG4bKs{call_id}{cseq}\nMax-Forwards: 70\n\
             From: <sip:{user}@vigie>;tag={call_id}-tag\nTo: <sip:{watched}@vigie>{tag}\nCall-ID: {call_id}\n\
             CSeq: {cseq} SUBSCRIBE\nContact: <sip:{user}@{at};ob>\n{more}Content-Length: 0\n\n"
        )
    }

    /// What an authenticated SUBSCRIBE gets.
    fn ask(&mut self, bench: &mut Bench, more: &str) -> Vec<String> {
        let text = self.text(more);
        let texts = bench.receive(self.at, &text);
        if status(&texts[0]) != "407" {
            return texts;
        }
        let uri = format!("sip:{}@vigie", self.watched);
        let authorization = answer(&texts[0], self.user, "SUBSCRIBE", &uri, ("MD5", self.cseq));
        let text = self.text(&format!("{more}{authorization}"));
        let texts = bench.receive(self.at, &text);
        if let Some(ok) = texts.first().filter(|ok| status(ok) == "200") {
            self.our_tag = tag(header(ok, "To")).to_owned();
        }
        texts
    }
}

/// The phone's answer to a NOTIFY; what comes of it.
fn reply(bench: &mut Bench, notify: &str, code: &str, more: &str) -> Vec<String> {
    let line = |name: &str| format!("{name}: {}\n", headers(notify, name).join(", "));
    let lines: String = ["Via", "From", "To", "Call-ID", "CSeq"].map(line).concat();
    bench.receive(PHONE, &format!("SIP/2.0 {code} Whatever\n{lines}{more}Content-Length: 0\n\n"))
}

fn registered() -> Bench {
    let mut bench = Bench::new();
    bench.register("ana", PHONE, "MD5");
    bench
}

/// Ana watches bob; the first NOTIFY is answered.
pub fn watching() -> (Bench, Watch) {
    let mut bench = registered();
    let mut watch = Watch::new("w1", "bob");
    let texts = watch.ask(&mut bench, EXPIRES);
    assert_eq!(statuses(&texts), ["200", "NOTIFY"]);
    assert!(reply(&mut bench, &texts[1], "200", "").is_empty());
    (bench, watch)
}

/// The states in a document, as `recipient early`.
fn states(notify: &str) -> Vec<String> {
    let of = |piece: &str| {
        let direction = piece.split("direction=\"").nth(1).and_then(|rest| rest.split('"').next());
        let state = piece.split("<state>").nth(1).and_then(|rest| rest.split('<').next());
        format!("{} {}", direction.unwrap_or_default(), state.unwrap_or_default())
    };
    body(notify).split("<dialog ").skip(1).map(of).collect()
}

#[test]
fn a_subscription_is_granted_and_told_at_once() {
    let mut bench = registered();
    let mut watch = Watch::new("w1", "bob");
    let more = format!("Record-Route: <sip:127.0.0.9;lr>\n{EXPIRES}");
    let texts = watch.ask(&mut bench, &more);
    assert_eq!(statuses(&texts), ["200", "NOTIFY"]);
    let (ok, notify) = (&texts[0], &texts[1]);
    assert_eq!((header(ok, "Expires"), header(ok, "Contact")), ("300", "<sip:vigie@127.0.0.1:5060>"));
    assert_eq!(header(ok, "Record-Route"), "<sip:127.0.0.9;lr>");
    assert!(notify.starts_with("NOTIFY sip:ana@127.0.0.1:5070;ob SIP/2.0\r\n"), "{notify}");
    assert_eq!(header(notify, "Route"), "<sip:127.0.0.9;lr>");
    assert_eq!(tag(header(notify, "From")), watch.our_tag);
    assert_eq!(header(notify, "To"), "<sip:ana@vigie>;tag=w1-tag");
    assert_eq!((header(notify, "Call-ID"), header(notify, "CSeq")), ("w1", "1 NOTIFY"));
    assert_eq!(header(notify, "Event"), "dialog");
    assert_eq!(header(notify, "Subscription-State"), "active;expires=300");
    assert_eq!(header(notify, "Content-Type"), "application/dialog-info+xml");
    assert_eq!(
        body(notify),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" \
         version=\"0\" state=\"full\" entity=\"sip:bob@vigie\">\r\n</dialog-info>\r\n"
    );
}

#[test]
fn a_lamp_follows_the_phone_from_the_invite_to_the_end() {
    let (mut bench, _) = watching();
    let invite = ring(&mut bench, "bob", BOB, name(6, 1));
    let notify = bench.sent.last().unwrap().1.clone();
    assert_eq!(
        (status(&invite), status(&notify), states(&notify)),
        ("NOTIFY", "NOTIFY", vec!["recipient trying".into()])
    );
    let invite = bench.sent.iter().rev().find(|(_, text)| status(text) == "INVITE").unwrap().1.clone();
    let call = name(6, 1).call;
    assert_eq!(
        body(&notify),
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" \
             version=\"1\" state=\"full\" entity=\"sip:bob@vigie\">\r\n<dialog id=\"{call}-1\" direction=\"recipient\">\r\n\
             <state>trying</state>\r\n</dialog>\r\n</dialog-info>\r\n"
        )
    );
    reply(&mut bench, &notify, "200", "");
    let early = answer_invite(&mut bench, (BOB, &invite), ("180", "bob-tag")).pop().unwrap();
    assert_eq!(states(&early), ["recipient early"]);
    reply(&mut bench, &early, "200", "");
    assert!(answer_invite(&mut bench, (BOB, &invite), ("180", "bob-tag")).is_empty(), "nothing is new");
    let talking = answer_invite(&mut bench, (BOB, &invite), ("200", "bob-tag")).pop().unwrap();
    assert_eq!(states(&talking), ["recipient confirmed"]);
    reply(&mut bench, &talking, "200", "");
    let over = bench.order(LegOrder::Hangup { leg: name(6, 1), why: EndedBy::Caller });
    assert_eq!((statuses(&over), states(&over[1])), (vec!["BYE", "NOTIFY"], vec!["recipient terminated".into()]));
    assert!(body(&over[1]).contains("version=\"4\""));
    reply(&mut bench, &over[1], "200", "");
    assert!(bench.pass(Duration::from_secs(40)).iter().all(|text| status(text) != "NOTIFY"), "told once");
    assert!(!bench.sent.iter().any(|(_, text)| status(text) == "NOTIFY" && text.contains("0612345678")));
}

#[test]
fn what_a_regulator_dials_lights_the_lamp_too() {
    let (mut bench, _) = watching();
    bench.register("bob", BOB, "MD5");
    let (texts, phone) = dial(&mut bench, ("bob", BOB), ("out", "cleo"), "");
    let notify = texts.last().unwrap();
    assert_eq!(states(notify), ["initiator trying"]);
    reply(&mut bench, notify, "200", "");
    let texts = bench.order(LegOrder::Accept { leg: phone.leg, local: address("127.0.0.1:30004") });
    assert_eq!(states(texts.last().unwrap()), ["initiator confirmed"]);
}

#[test]
fn a_notify_waits_for_the_answer_of_the_one_before_and_tells_the_newest_state() {
    let (mut bench, _) = watching();
    ring(&mut bench, "bob", BOB, name(6, 1));
    let first = bench.sent.last().unwrap().1.clone();
    let invite = bench.sent.iter().rev().find(|(_, text)| status(text) == "INVITE").unwrap().1.clone();
    assert!(answer_invite(&mut bench, (BOB, &invite), ("180", "b")).is_empty());
    assert_eq!(statuses(&answer_invite(&mut bench, (BOB, &invite), ("200", "b"))), ["ACK"]);
    let next = reply(&mut bench, &first, "200", "");
    assert_eq!((next.len(), states(&next[0])), (1, vec!["recipient confirmed".to_owned()]));
    assert!(body(&next[0]).contains("version=\"2\""));
}

#[test]
fn a_subscription_is_refreshed_ended_and_expires() {
    let (mut bench, mut watch) = watching();
    bench.pass(Duration::from_secs(200));
    let texts = watch.ask(&mut bench, "Event: dialog\nExpires: 7200\n");
    assert_eq!((statuses(&texts), header(&texts[0], "Expires")), (vec!["200", "NOTIFY"], "600"));
    assert_eq!(tag(header(&texts[0], "To")), watch.our_tag);
    reply(&mut bench, &texts[1], "200", "");
    assert!(!bench.pass(Duration::from_secs(599)).iter().any(|text| status(text) == "NOTIFY"));
    let last = bench.pass(Duration::from_secs(2)).pop().unwrap();
    assert_eq!((status(&last), header(&last, "Subscription-State")), ("NOTIFY", "terminated;reason=timeout"));
    assert_eq!(bench.ua.subscriptions.count_kept(), 0);
    assert_eq!(statuses(&watch.ask(&mut bench, EXPIRES)), ["481"], "it is over");

    let (mut bench, mut watch) = watching();
    let texts = watch.ask(&mut bench, "Event: dialog\nExpires: 0\n");
    assert_eq!((statuses(&texts), header(&texts[0], "Expires")), (vec!["200", "NOTIFY"], "0"));
    assert_eq!(header(&texts[1], "Subscription-State"), "terminated;reason=timeout");
    assert_eq!(bench.ua.subscriptions.count_kept(), 0);
}

#[test]
fn a_single_look_keeps_nothing() {
    let mut bench = registered();
    let texts = Watch::new("w1", "bob").ask(&mut bench, "Event: dialog\nExpires: 0\n");
    assert_eq!(statuses(&texts), ["200", "NOTIFY"]);
    assert_eq!(header(&texts[1], "Subscription-State"), "terminated;reason=timeout");
    assert_eq!(bench.ua.subscriptions.count_kept(), 0);
}

#[test]
fn what_cannot_be_granted_is_refused_with_its_own_answer() {
    let mut bench = registered();
    for (n, (watched, more, code, name, value)) in [
        ("bob", "Event: message-summary\n", "489", "Allow-Events", "dialog, refer"),
        ("bob", "Event: presence\n", "489", "Allow-Events", "dialog, refer"),
        ("bob", "", "489", "Allow-Events", "dialog, refer"),
        ("bob", "Event: dialog\nExpires: 59\n", "423", "Min-Expires", "60"),
        ("bob", "Event: dialog\nAccept: text/plain\n", "406", "Accept", "application/dialog-info+xml"),
        ("bob", "Event: dialog\nRequire: magic\n", "420", "Unsupported", "magic"),
        ("nobody", "Event: dialog\n", "404", "Expires", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let texts = Watch::new(&format!("w{n}"), watched).ask(&mut bench, more);
        assert_eq!((statuses(&texts), header(&texts[0], name)), (vec![code], value), "{more}");
    }
    assert_eq!(bench.ua.subscriptions.count_kept(), 0);
}

#[test]
fn only_a_registered_regulator_with_the_password_watches() {
    let mut bench = Bench::new();
    let texts = Watch::new("w1", "bob").ask(&mut bench, EXPIRES);
    assert_eq!(statuses(&texts), ["403"], "not registered");
    let mut trunk = Watch { at: TRUNK, ..Watch::new("w2", "bob") };
    assert_eq!(statuses(&trunk.ask(&mut bench, EXPIRES)), ["403"]);
    let stranger = Watch::new("w3", "bob").text(EXPIRES).replace("sip:ana@vigie>;tag", "sip:x@198.51.100.7>;tag");
    assert_eq!(statuses(&bench.receive("198.51.100.7:5060", &stranger)), ["403"]);
    bench.register("ana", PHONE, "MD5");
    let mut other = Watch::new("w4", "bob");
    let challenge = bench.receive(PHONE, &other.text(EXPIRES)).pop().unwrap();
    let wrong = answer(&challenge, "bob", "SUBSCRIBE", "sip:bob@vigie", ("MD5", 1));
    let texts = bench.receive(PHONE, &other.text(&format!("{EXPIRES}{wrong}")));
    assert_eq!(statuses(&texts), ["403"], "another's password");
    assert_eq!(bench.ua.subscriptions.count_kept(), 0);
}

#[test]
fn whoever_refuses_or_ignores_a_notify_is_told_no_more() {
    for (code, more, stays) in [("481", "", false), ("500", "", false), ("503", "Retry-After: 5\n", true)] {
        let mut bench = registered();
        let notify = Watch::new("w1", "bob").ask(&mut bench, EXPIRES).pop().unwrap();
        reply(&mut bench, &notify, code, more);
        assert_eq!(bench.ua.subscriptions.count_kept() > 0, stays, "{code}");
    }
    let mut bench = registered();
    Watch::new("w1", "bob").ask(&mut bench, EXPIRES);
    bench.pass(Duration::from_secs(33));
    assert_eq!(bench.ua.subscriptions.count_kept(), 0);
}

#[test]
fn an_unknown_or_overtaken_subscription_is_told_so() {
    let (mut bench, mut watch) = watching();
    watch.cseq -= 1;
    let overtaken = watch.text(EXPIRES).replace("z9hG4bKs", "z9hG4bKlate");
    assert_eq!(statuses(&bench.receive(PHONE, &overtaken)), ["500"]);
    let mut other = Watch { our_tag: "nothing".into(), ..Watch::new("w9", "bob") };
    assert_eq!(statuses(&other.ask(&mut bench, EXPIRES)), ["481"]);
    watch.cseq += 5;
    assert_eq!(statuses(&watch.ask(&mut bench, "Event: dialog;id=7\n")), ["481"]);
    assert_eq!(statuses(&watch.ask(&mut bench, EXPIRES)), ["200", "NOTIFY"], "it lives");
    let notify = watch.text("Event: dialog\n").replace("SUBSCRIBE", "NOTIFY").replace(&watch.our_tag, "x");
    assert_eq!(statuses(&bench.receive(PHONE, &notify)), ["481"]);
}

#[test]
fn an_event_s_id_comes_back_with_every_notify() {
    let mut bench = registered();
    let texts = Watch::new("w1", "bob").ask(&mut bench, "Event: dialog;id=42\n");
    assert_eq!(header(&texts[1], "Event"), "dialog;id=42");
    assert_eq!(header(&texts[0], "Expires"), "600", "without a wish, the longest");
}

#[test]
fn ten_thousand_subscriptions_find_the_bound() {
    let mut bench = registered();
    let mut granted = 0;
    let challenge = bench.receive(PHONE, &Watch::new("w", "bob").text(EXPIRES)).pop().unwrap();
    for n in 0..10_000 {
        let authorization = answer(&challenge, "ana", "SUBSCRIBE", "sip:bob@vigie", ("MD5", n + 1));
        let text = Watch::new(&format!("w{n}"), "bob").text(&format!("{EXPIRES}{authorization}"));
        let texts = bench.receive(PHONE, &text);
        match status(&texts[0]) {
            "200" => {
                granted += 1;
                reply(&mut bench, &texts[1], "200", "");
            }
            "503" => assert_eq!(header(&texts[0], "Retry-After"), "60"),
            other => panic!("{other}"),
        }
        bench.sent.clear();
    }
    assert_eq!((granted, bench.ua.subscriptions.count_kept()), (256, 256));
    bench.pass(Duration::from_secs(700));
    assert_eq!(bench.ua.subscriptions.count_kept(), 0);
}

#[test]
fn an_address_where_nobody_listens_takes_its_subscriptions_along() {
    let (mut bench, _) = watching();
    let path = |peer| Path { listener: 0, transport: Transport::Udp, peer: address(peer) };
    let mut out = Vec::new();
    bench.ua.cut(path(BOB), "refused", bench.now, &mut out);
    assert_eq!(bench.ua.subscriptions.count_kept(), 1);
    bench.ua.cut(path(PHONE), "refused", bench.now, &mut out);
    assert_eq!(bench.ua.subscriptions.count_kept(), 0);
}

#[test]
fn a_lamp_is_dark_while_its_connection_is_gone_and_comes_back_with_the_phone() {
    let (mut bench, _) = watching();
    let tcp = |peer| Path { listener: 0, transport: Transport::Tcp, peer: address(peer) };
    let tag = bench.ua.subscriptions.of_watcher(&"ana".into()).pop().unwrap();
    let mut subscription = bench.ua.subscriptions.take(&tag).unwrap();
    subscription.dialog.path = tcp(PHONE);
    bench.ua.subscriptions.put(subscription);
    let mut out = Vec::new();
    bench.ua.cut(tcp(PHONE), "closed", bench.now, &mut out);
    ring(&mut bench, "bob", BOB, name(6, 1));
    assert_ne!(status(&bench.sent.last().unwrap().1), "NOTIFY");

    let again = register("ana", PHONE, 3, "");
    let challenge = bench.receive(PHONE, &again).pop().unwrap();
    let line = answer(&challenge, "ana", "REGISTER", "sip:127.0.0.1", ("MD5", 1));
    let texts = bench.receive(PHONE, &register("ana", PHONE, 4, &line));
    let notify = texts.iter().find(|text| status(text) == "NOTIFY").expect("the lamp is lit");
    assert_eq!(states(notify), ["recipient trying"]);
}

#[test]
fn a_regulator_in_many_calls_fills_no_datagram() {
    let (mut bench, mut watch) = watching();
    bench.register("bob", BOB, "MD5");
    for n in 0..40 {
        dial(&mut bench, ("bob", BOB), (&format!("c{n}"), "cleo"), "");
    }
    let texts = watch.ask(&mut bench, EXPIRES);
    assert_eq!(states(&texts[1]).len(), 8);
    assert!(texts[1].len() < 2000, "{}", texts[1].len());
}
