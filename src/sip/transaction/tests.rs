//! The machines in virtual time: every timer, every repetition, and the messages that cross.

use std::time::Duration;

use bytes::Bytes;

use super::table::SERVERS_MAX;
use super::*;
use crate::model::{Moment, Transport};
use crate::sip::compose;
use crate::sip::header::Via;
use crate::sip::message::Message;
use crate::sip::method::Method;

const START: Moment = Moment(1_000_000_000);

fn path() -> Path {
    Path { listener: 0, transport: Transport::Udp, peer: "192.0.2.7:5070".parse().expect("address") }
}

fn request(method: Method, branch: &str) -> Request {
    let mut request = Request::new(method, "sip:t@10.0.0.1");
    let via = Via::new("UDP", "192.0.2.7:5070".parse().expect("address"), branch);
    request.headers.push("Via", via.to_string());
    request.headers.push("From", "<sip:f@h>;tag=f");
    request.headers.push("To", "<sip:t@h>");
    request.headers.push("Call-ID", "call");
    let cseq = format!("1 {}", request.method);
    request.headers.push("CSeq", cseq);
    request.headers.push("Route", "<sip:proxy;lr>");
    request
}

/// One side of the wire, with its clock.
struct Bench {
    side: Transactions,
    now: Moment,
}

impl Bench {
    fn new() -> Bench {
        Bench { side: Transactions::new(), now: START }
    }

    fn receive(&mut self, message: impl Into<Message>) -> Vec<Happening> {
        let mut out = Vec::new();
        // Over the wire, so that what is written is also what is read.
        let message = Message::parse(&message.into().to_bytes()).expect("well formed");
        self.side.receive(path(), message, self.now, &mut out);
        out
    }

    fn ask(&mut self, request: Request) -> (ClientKey, Vec<Happening>) {
        let mut out = Vec::new();
        (self.side.request(path(), request, self.now, &mut out), out)
    }

    /// Receives an INVITE or another request and hands back its key.
    fn serve(&mut self, request: &Request) -> ServerKey {
        match self.receive(request.clone()).as_slice() {
            [Happening::Request { key, .. }] => key.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn answer(&mut self, key: &ServerKey, request: &Request, status: u16) -> Vec<Happening> {
        let mut out = Vec::new();
        self.side.respond(key, compose::response(request, status, Some("t")), self.now, &mut out);
        out
    }

    fn cancel(&mut self, key: &ClientKey) -> Vec<Happening> {
        let mut out = Vec::new();
        self.side.cancel(key, self.now, &mut out);
        out
    }

    /// Lets `span` pass, waking at every deadline; what happened, with its distance from now in milliseconds.
    fn pass(&mut self, span: Duration) -> Vec<(u64, Happening)> {
        let (from, until) = (self.now, self.now + span);
        let mut all = Vec::new();
        while let Some(at) = self.side.deadline().filter(|at| *at <= until) {
            let mut out = Vec::new();
            self.side.tick(at, &mut out);
            all.extend(out.into_iter().map(|h| (at.since(from).as_millis() as u64, h)));
            assert!(self.side.deadline().is_none_or(|next| next > at), "a tick leaves nothing due");
        }
        self.now = until;
        all
    }
}

impl From<Request> for Message {
    fn from(request: Request) -> Message {
        Message::Request(request)
    }
}

impl From<Response> for Message {
    fn from(response: Response) -> Message {
        Message::Response(response)
    }
}

fn sent_at(all: &[(u64, Happening)]) -> Vec<u64> {
    all.iter().filter(|(_, h)| matches!(h, Happening::Send { .. })).map(|(at, _)| *at).collect()
}

fn sent(out: &[Happening]) -> Vec<Message> {
    let bytes = out.iter().filter_map(|h| match h {
        Happening::Send { bytes, .. } => Some(bytes),
        _ => None,
    });
    bytes.map(|b: &Bytes| Message::parse(b).expect("well formed")).collect()
}

fn first_lines(out: &[Happening]) -> Vec<String> {
    let line = |message: &Message| match message {
        Message::Request(request) => request.method.to_string(),
        Message::Response(response) => response.status.to_string(),
    };
    sent(out).iter().map(line).collect()
}

fn statuses(out: &[Happening]) -> Vec<u16> {
    let status = |h: &Happening| match h {
        Happening::Response { response, .. } => Some(response.status),
        _ => None,
    };
    out.iter().filter_map(status).collect()
}

const LONG: Duration = Duration::from_secs(100);

#[test]
fn an_unanswered_invite_is_sent_seven_times_and_times_out_at_32_s() {
    let mut bench = Bench::new();
    let (key, out) = bench.ask(request(Method::Invite, "z9hG4bKa"));
    assert_eq!(first_lines(&out), ["INVITE"]);
    let all = bench.pass(LONG);
    assert_eq!(sent_at(&all), [500, 1500, 3500, 7500, 15_500, 31_500]);
    assert_eq!(all.last(), Some(&(32_000, Happening::TimedOut { key })));
    assert_eq!(bench.side.count(), (0, 0));
    assert_eq!(bench.side.deadline(), None);
}

#[test]
fn a_provisional_answer_stops_the_repetition_of_an_invite() {
    let mut bench = Bench::new();
    let invite = request(Method::Invite, "z9hG4bKa");
    bench.ask(invite.clone());
    assert_eq!(statuses(&bench.receive(compose::response(&invite, 180, Some("x")))), [180]);
    assert_eq!(bench.pass(LONG), []);
}

#[test]
fn a_refusal_gets_its_ack_as_often_as_it_comes_and_the_user_hears_it_once() {
    let mut bench = Bench::new();
    let invite = request(Method::Invite, "z9hG4bKa");
    bench.ask(invite.clone());
    let busy = compose::response(&invite, 486, Some("x"));
    let out = bench.receive(busy.clone());
    assert_eq!(statuses(&out), [486]);
    let [Message::Request(ack)] = &sent(&out)[..] else { panic!("an ACK") };
    assert_eq!((&ack.method, ack.to_tag().as_deref()), (&Method::Ack, Some("x")));
    assert_eq!(ack.headers.first("Route").as_deref(), Some("<sip:proxy;lr>"));
    assert_eq!(ack.headers.via().and_then(|v| v.branch().map(str::to_owned)).as_deref(), Some("z9hG4bKa"));
    let again = bench.receive(busy);
    assert_eq!((first_lines(&again), statuses(&again)), (vec!["ACK".to_owned()], vec![]));
    assert_eq!(bench.pass(Duration::from_millis(31_999)), []);
    assert_eq!(bench.side.count(), (0, 1));
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.side.count(), (0, 0), "timer D");
}

#[test]
fn every_repeated_2xx_reaches_the_user_until_timer_m() {
    let mut bench = Bench::new();
    let invite = request(Method::Invite, "z9hG4bKa");
    bench.ask(invite.clone());
    for tag in ["x", "x", "other fork"] {
        assert_eq!(statuses(&bench.receive(compose::response(&invite, 200, Some(tag)))), [200]);
    }
    assert_eq!(bench.receive(compose::response(&invite, 486, Some("y"))), [], "not after a 2xx");
    bench.pass(Duration::from_secs(32));
    assert_eq!(bench.receive(compose::response(&invite, 200, Some("x"))), []);
    assert_eq!(bench.side.count(), (0, 0));
}

#[test]
fn a_request_is_repeated_up_to_every_4_s_and_times_out_at_32_s() {
    let mut bench = Bench::new();
    let (key, _) = bench.ask(request(Method::Bye, "z9hG4bKa"));
    let all = bench.pass(LONG);
    assert_eq!(sent_at(&all), [500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    assert_eq!(all.last(), Some(&(32_000, Happening::TimedOut { key })));
}

#[test]
fn a_provisional_answer_slows_the_repetition_of_a_request() {
    let mut bench = Bench::new();
    let options = request(Method::Options, "z9hG4bKa");
    bench.ask(options.clone());
    bench.receive(compose::response(&options, 100, None));
    assert_eq!(sent_at(&bench.pass(Duration::from_secs(10))), [500, 4500, 8500]);
}

#[test]
fn an_answered_request_absorbs_repetitions_until_timer_k() {
    let mut bench = Bench::new();
    let options = request(Method::Options, "z9hG4bKa");
    bench.ask(options.clone());
    let ok = compose::response(&options, 200, Some("x"));
    assert_eq!(statuses(&bench.receive(ok.clone())), [200]);
    assert_eq!(bench.receive(ok), []);
    assert_eq!(bench.pass(Duration::from_millis(4999)), []);
    assert_eq!(bench.side.count(), (0, 1));
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.side.count(), (0, 0));
}

#[test]
fn a_cancel_waits_for_the_first_provisional_answer() {
    let mut bench = Bench::new();
    let invite = request(Method::Invite, "z9hG4bKa");
    let (key, _) = bench.ask(invite.clone());
    assert_eq!(bench.cancel(&key), []);
    let out = bench.receive(compose::response(&invite, 100, None));
    let [Message::Request(cancel)] = &sent(&out)[..] else { panic!("a CANCEL") };
    assert_eq!((&cancel.method, cancel.uri.as_str()), (&Method::Cancel, "sip:t@10.0.0.1"));
    assert_eq!(cancel.headers.cseq().map(|c| c.to_string()).as_deref(), Some("1 CANCEL"));
    assert_eq!(first_lines(&bench.cancel(&key)), Vec::<String>::new(), "only once");
    let ok = compose::response(cancel, 200, Some("x"));
    assert_eq!(bench.receive(ok), [], "the CANCEL's own answer concerns nobody");
    assert_eq!(statuses(&bench.receive(compose::response(&invite, 487, Some("x")))), [487]);
}

#[test]
fn a_cancel_that_crosses_the_200_leaves_the_200_to_the_user() {
    let mut bench = Bench::new();
    let invite = request(Method::Invite, "z9hG4bKa");
    let (key, _) = bench.ask(invite.clone());
    bench.receive(compose::response(&invite, 180, Some("x")));
    let cancel = sent(&bench.cancel(&key));
    assert_eq!(statuses(&bench.receive(compose::response(&invite, 200, Some("x")))), [200]);
    let [Message::Request(cancel)] = &cancel[..] else { panic!("a CANCEL") };
    assert_eq!(bench.receive(compose::response(cancel, 481, Some("y"))), []);
    let all = bench.pass(LONG);
    assert!(all.iter().all(|(_, h)| !matches!(h, Happening::TimedOut { .. })));
    assert_eq!(bench.side.count(), (0, 0));
}

#[test]
fn a_cancelled_invite_without_any_final_answer_times_out_32_s_after_the_cancel() {
    let mut bench = Bench::new();
    let invite = request(Method::Invite, "z9hG4bKa");
    let (key, _) = bench.ask(invite.clone());
    bench.receive(compose::response(&invite, 180, Some("x")));
    bench.pass(LONG);
    bench.cancel(&key);
    let ended: Vec<_> = bench.pass(LONG).into_iter().filter(|(_, h)| matches!(h, Happening::TimedOut { .. })).collect();
    assert_eq!(ended, [(32_000, Happening::TimedOut { key })]);
}

#[test]
fn a_cancelled_invite_that_nobody_answers_times_out_without_a_cancel() {
    let mut bench = Bench::new();
    let (key, _) = bench.ask(request(Method::Invite, "z9hG4bKa"));
    bench.cancel(&key);
    let all = bench.pass(LONG);
    let outs: Vec<_> = all.iter().map(|(_, h)| h.clone()).collect();
    assert!(first_lines(&outs).iter().all(|line| line == "INVITE"));
    assert_eq!(all.last(), Some(&(32_000, Happening::TimedOut { key })));
}

#[test]
fn a_repeated_invite_gets_the_last_provisional_answer_again() {
    let mut bench = Bench::new();
    let invite = request(Method::Invite, "z9hG4bKa");
    let key = bench.serve(&invite);
    assert_eq!(bench.receive(invite.clone()), [Happening::Retransmitted], "nothing to repeat yet");
    bench.answer(&key, &invite, 100);
    bench.answer(&key, &invite, 180);
    assert_eq!(first_lines(&bench.receive(invite)), ["180"]);
}

#[test]
fn a_refusal_is_repeated_until_its_ack_comes() {
    let mut bench = Bench::new();
    let invite = request(Method::Invite, "z9hG4bKa");
    let key = bench.serve(&invite);
    bench.answer(&key, &invite, 486);
    assert_eq!(sent_at(&bench.pass(Duration::from_secs(8))), [500, 1500, 3500, 7500]);
    assert_eq!(first_lines(&bench.receive(invite.clone())), ["486"]);
    let ack = compose::ack_of_refusal(&invite, &compose::response(&invite, 486, Some("t")));
    assert_eq!(bench.receive(ack.clone()), [], "absorbed");
    assert_eq!(bench.receive(ack), [], "absorbed again");
    assert_eq!(bench.receive(invite), [Happening::Retransmitted], "no answer after the ACK");
    assert_eq!(bench.pass(Duration::from_millis(4999)), []);
    assert_eq!(bench.side.count(), (1, 0));
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.side.count(), (0, 0), "timer I");
}

#[test]
fn a_refusal_whose_ack_is_lost_ends_at_32_s() {
    let mut bench = Bench::new();
    let invite = request(Method::Invite, "z9hG4bKa");
    let key = bench.serve(&invite);
    bench.answer(&key, &invite, 486);
    let all = bench.pass(LONG);
    assert_eq!(sent_at(&all), [500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    assert_eq!(bench.side.count(), (0, 0));
}

#[test]
fn an_accepted_invite_absorbs_repetitions_and_leaves_the_2xx_and_its_ack_to_the_user() {
    let mut bench = Bench::new();
    let invite = request(Method::Invite, "z9hG4bKa");
    let key = bench.serve(&invite);
    assert_eq!(first_lines(&bench.answer(&key, &invite, 200)), ["200"]);
    assert_eq!(bench.receive(invite.clone()), [Happening::Retransmitted]);
    assert_eq!(first_lines(&bench.answer(&key, &invite, 200)), ["200"], "the user repeats it");
    assert_eq!(bench.answer(&key, &invite, 486), [], "no refusal after acceptance");
    for branch in ["z9hG4bKother", "z9hG4bKa"] {
        let out = bench.receive(request(Method::Ack, branch));
        assert!(matches!(&out[..], [Happening::Ack { .. }]), "{branch}");
    }
    assert_eq!(bench.pass(LONG), []);
    assert_eq!(bench.side.count(), (0, 0), "timer L");
}

#[test]
fn an_answered_request_answers_its_repetitions_until_timer_j() {
    let mut bench = Bench::new();
    let bye = request(Method::Bye, "z9hG4bKa");
    let key = bench.serve(&bye);
    assert_eq!(bench.receive(bye.clone()), [Happening::Retransmitted], "nothing to repeat yet");
    bench.answer(&key, &bye, 200);
    assert_eq!(first_lines(&bench.receive(bye.clone())), ["200"]);
    assert_eq!(bench.answer(&key, &bye, 500), []);
    bench.pass(Duration::from_secs(32));
    assert_eq!(bench.side.count(), (0, 0));
}

#[test]
fn a_cancel_is_answered_here_and_the_user_told_once() {
    let mut bench = Bench::new();
    let invite = request(Method::Invite, "z9hG4bKa");
    let key = bench.serve(&invite);
    bench.answer(&key, &invite, 180);
    let cancel = request(Method::Cancel, "z9hG4bKa");
    let out = bench.receive(cancel.clone());
    let [Message::Response(ok)] = &sent(&out)[..] else { panic!("a 200") };
    assert_eq!((ok.status, ok.to_tag().as_deref()), (200, Some("t")), "the tag of the INVITE's answers");
    assert!(matches!(&out[..], [_, Happening::Cancelled { invite, .. }] if *invite == key));
    assert_eq!(first_lines(&bench.receive(cancel)), ["200"], "a repeated CANCEL");
    assert_eq!(first_lines(&bench.answer(&key, &invite, 487)), ["487"]);
}

#[test]
fn a_cancel_after_the_final_answer_changes_nothing() {
    let mut bench = Bench::new();
    let invite = request(Method::Invite, "z9hG4bKa");
    let key = bench.serve(&invite);
    bench.answer(&key, &invite, 200);
    let out = bench.receive(request(Method::Cancel, "z9hG4bKa"));
    assert_eq!((out.len(), first_lines(&out)), (1, vec!["200".to_owned()]));
}

#[test]
fn a_cancel_of_nothing_is_answered_481() {
    let mut bench = Bench::new();
    let out = bench.receive(request(Method::Cancel, "z9hG4bKa"));
    assert_eq!((out.len(), first_lines(&out)), (1, vec!["481".to_owned()]));
}

#[test]
fn a_strangers_cancel_cancels_nothing() {
    let mut bench = Bench::new();
    bench.serve(&request(Method::Invite, "z9hG4bKa"));
    let stranger = Path { peer: "198.51.100.1:5070".parse().expect("address"), ..path() };
    let mut out = Vec::new();
    bench.side.receive(stranger, request(Method::Cancel, "z9hG4bKa").into(), bench.now, &mut out);
    assert_eq!((out.len(), first_lines(&out)), (1, vec!["481".to_owned()]));
}

#[test]
fn a_merged_request_is_answered_482_and_its_ack_absorbed() {
    let mut bench = Bench::new();
    let key = bench.serve(&request(Method::Invite, "z9hG4bKa"));
    let twin = request(Method::Invite, "z9hG4bKb");
    let out = bench.receive(twin.clone());
    assert_eq!((out.len(), first_lines(&out)), (1, vec!["482".to_owned()]));
    let loop_answer = compose::response(&twin, 482, Some("x"));
    assert_eq!(bench.receive(compose::ack_of_refusal(&twin, &loop_answer)), []);
    bench.answer(&key, &request(Method::Invite, "z9hG4bKa"), 486);
    bench.pass(LONG);
    assert_eq!(bench.side.count(), (0, 0));
    bench.serve(&request(Method::Invite, "z9hG4bKc"));
}

#[test]
fn a_request_within_a_dialog_is_never_merged() {
    let mut bench = Bench::new();
    for branch in ["z9hG4bKa", "z9hG4bKb"] {
        let mut bye = request(Method::Bye, branch);
        bye.headers.set("To", "<sip:t@h>;tag=t");
        bench.serve(&bye);
    }
}

#[test]
fn an_ack_without_magic_cookie_finds_its_invite() {
    let mut bench = Bench::new();
    let invite = request(Method::Invite, "1");
    let key = bench.serve(&invite);
    assert_eq!(bench.receive(invite.clone()), [Happening::Retransmitted]);
    bench.answer(&key, &invite, 486);
    let ack = compose::ack_of_refusal(&invite, &compose::response(&invite, 486, Some("t")));
    assert_eq!(bench.receive(ack), []);
    assert_eq!(bench.pass(Duration::from_secs(4)), []);
}

#[test]
fn an_answer_goes_back_to_the_source_port_with_rport_and_to_sent_by_without() {
    let mut bench = Bench::new();
    for (via, port) in [
        ("SIP/2.0/UDP 10.9.9.9:6000;branch=z9hG4bKa;rport", 5070),
        ("SIP/2.0/UDP 10.9.9.9:6000;branch=z9hG4bKb", 6000),
        ("SIP/2.0/UDP 10.9.9.9;branch=z9hG4bKc;maddr=8.8.8.8", 5060),
    ] {
        let mut bye = request(Method::Bye, "x");
        bye.headers.set("Via", via);
        bye.headers.set("To", "<sip:t@h>;tag=t");
        let key = bench.serve(&bye);
        let out = bench.answer(&key, &bye, 200);
        let [Happening::Send { path, .. }] = &out[..] else { panic!("{out:?}") };
        assert_eq!(path.peer.to_string(), format!("192.0.2.7:{port}"), "{via}");
    }
}

#[test]
fn a_full_table_refuses_new_work_and_keeps_what_it_has() {
    let mut bench = Bench::new();
    let mut first = None;
    for number in 0..SERVERS_MAX {
        let mut bye = request(Method::Bye, &format!("z9hG4bK{number}"));
        bye.headers.set("Call-ID", number.to_string());
        first.get_or_insert((bench.serve(&bye), bye));
    }
    let out = bench.receive(request(Method::Invite, "z9hG4bKnew"));
    assert_eq!((out.len(), first_lines(&out)), (1, vec!["503".to_owned()]));
    assert_eq!(bench.side.count(), (SERVERS_MAX, 0));
    let (key, bye) = first.expect("served");
    assert_eq!(first_lines(&bench.answer(&key, &bye, 200)), ["200"]);
}

#[test]
fn the_state_survives_being_written_down() {
    let mut bench = Bench::new();
    let invite = request(Method::Invite, "z9hG4bKa");
    let key = bench.serve(&invite);
    bench.answer(&key, &invite, 486);
    bench.ask(request(Method::Options, "z9hG4bKo"));
    let written = serde_json::to_string(&bench.side).expect("writable");
    let mut back = Bench { side: serde_json::from_str(&written).expect("readable"), now: bench.now };
    assert_eq!(back.pass(LONG), bench.pass(LONG));
}

#[test]
fn a_stray_response_is_left() {
    let mut bench = Bench::new();
    assert_eq!(bench.receive(compose::response(&request(Method::Invite, "z9hG4bKa"), 200, Some("x"))), []);
}
