//! A phone written for the tests alone, from the standards and not from Vigie's code: one call at a time, a manner of
//! answering, and a voice whose frames can be told apart.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::task::JoinHandle;

use super::digest;
use super::harness::until;
use super::link::Link;
use super::text::{Text, token};
use super::voice::Voice;

/// What a phone does when it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Picks up.
    Answers,
    /// Rings.
    Rings,
    /// 486.
    IsBusy,
    /// 603.
    Declines,
    /// Rings, and picks up in the instant in which it is cancelled.
    PicksUpTooLate,
    /// Nothing at all.
    IsDead,
}

/// The one call.
#[derive(Clone, Debug)]
struct Dialog {
    /// Our side as From or To has it, with its tag.
    local: String,
    remote: String,
    call_id: String,
    target: String,
    cseq: u32,
    /// The INVITE, ours or theirs.
    invite: Text,
}

struct State {
    manner: Manner,
    dialog: Option<Dialog>,
    is_talking: bool,
    acks: u32,
    invites: u32,
    received: Vec<Text>,
}

/// A running phone.
pub struct Phone {
    /// Where it is.
    pub local: SocketAddr,
    /// Its RTP.
    pub voice: Arc<Voice>,
    server: SocketAddr,
    user: String,
    claims: Mutex<String>,
    body: Arc<Body>,
    tasks: [JoinHandle<()>; 2],
}

struct Body {
    link: Link,
    local: SocketAddr,
    voice: Arc<Voice>,
    state: Mutex<State>,
}

impl Phone {
    /// A phone of `user` at `address`.
    pub async fn start(address: impl Into<IpAddr>, server: SocketAddr, user: &str) -> Phone {
        Phone::over(Link::udp(address.into()).await, server, user).await
    }

    /// A far end of the carrier, where the server dials it.
    pub async fn at(place: SocketAddr, server: SocketAddr, user: &str) -> Phone {
        Phone::over(Link::udp_at(place).await, server, user).await
    }

    /// A phone of `user` over an open way to the server.
    pub async fn over(link: Link, server: SocketAddr, user: &str) -> Phone {
        let local = link.local;
        let voice = Arc::new(Voice::bind(local.ip()).await);
        let state = State {
            manner: Manner::Answers,
            dialog: None,
            is_talking: false,
            acks: 0,
            invites: 0,
            received: Vec::new(),
        };
        let body = Arc::new(Body { link, local, voice: voice.clone(), state: Mutex::new(state) });
        let tasks = [tokio::spawn(body.clone().listen()), tokio::spawn(voice.clone().speak())];
        Phone { local, voice, server, user: user.into(), claims: Mutex::default(), body, tasks }
    }

    /// A regulator's phone: registers and waits for calls.
    pub async fn regulator(server: &super::server::Server, user: &str) -> Phone {
        let phone = Phone::start([127, 0, 0, 1], server.centre.sip, user).await;
        assert_eq!(phone.register(&server.password(user), 600).await, 200, "{user} registers");
        server.api.regulator_is(user, "ready").await;
        phone
    }

    /// A caller over the trunk.
    pub async fn caller(server: &super::server::Server, number: &str) -> Phone {
        Phone::start(server.centre.place.trunk, server.centre.sip, number).await
    }

    /// Anne and a caller who has dialled this number, in conversation.
    pub async fn pair(server: &super::server::Server, number: &str) -> (Phone, Phone) {
        let anne = Phone::regulator(server, "anne").await;
        let caller = Phone::caller(server, "+33612345678").await;
        caller.dial_in(number).await;
        anne.talks().await;
        (anne, caller)
    }

    /// From now on it answers like this.
    pub fn is(&self, manner: Manner) {
        self.body.state().manner = manner;
    }

    /// Its requests outside a call have these headers too, each with its line's end.
    pub fn claims(&self, headers: &str) {
        *self.claims.lock().expect("the claims") = headers.to_owned();
    }

    /// Sends a request; its first final answer.
    pub async fn request(&self, text: &str) -> Text {
        let (call_id, cseq) = (header(text, "Call-ID"), header(text, "CSeq"));
        self.send(text).await;
        self.answer_of(&call_id, &cseq).await
    }

    /// Sends a text as it is, a byte a character.
    pub async fn send(&self, text: impl Into<String>) {
        self.body.send(self.server, text.into()).await;
    }

    async fn answer_of(&self, call_id: &str, cseq: &str) -> Text {
        until(&format!("a final answer to {cseq}"), || {
            let state = self.body.state();
            let is_it =
                |one: &&Text| one.status() >= 200 && one.header("Call-ID") == call_id && one.header("CSeq") == cseq;
            std::future::ready(state.received.iter().rfind(is_it).cloned())
        })
        .await
    }

    /// Everything that came whose first line begins like this.
    pub fn received(&self, begin: &str) -> Vec<Text> {
        self.body.state().received.iter().filter(|one| one.0.starts_with(begin)).cloned().collect()
    }

    /// Waits until something came whose first line begins like this; it.
    pub async fn receives(&self, begin: &str) -> Text {
        until(&format!("{} receives {begin}", self.user), || {
            std::future::ready(self.received(begin).into_iter().next_back())
        })
        .await
    }

    /// A request outside any dialog, without a body: with every header that it must have.
    pub fn plain(&self, method: &str, uri: &str, user: &str) -> String {
        let (local, tag, branch) = (self.local, token(), token());
        let (host, claims) = (host(self.server.ip()), self.claims.lock().expect("the claims"));
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {local};rport;branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
             From: <sip:{user}@{host}>;tag={tag}\r\nTo: <{uri}>\r\nCall-ID: {branch}@{}\r\nCSeq: 1 {method}\r\n\
             Contact: <sip:{user}@{local}>\r\n{claims}Content-Length: 0\r\n\r\n",
            local.ip()
        )
    }

    /// Registers, answering the challenge; the last status.
    pub async fn register(&self, password: &str, expires: u32) -> u16 {
        let host = host(self.server.ip());
        let request = self.plain("REGISTER", &format!("sip:{host}"), &self.user);
        let request = request
            .replace(&format!("To: <sip:{host}>"), &format!("To: <sip:{}@{host}>", self.user))
            .replace("Content-Length", &format!("Expires: {expires}\r\nContent-Length"));
        let answer = self.request(&request).await;
        if answer.status() != 401 {
            return answer.status();
        }
        let login = (self.user.as_str(), password);
        let proof = digest::answer(&answer.header("WWW-Authenticate"), login, ("REGISTER", &format!("sip:{host}")));
        self.request(&digest::again(&request, &format!("Authorization: {proof}"))).await.status()
    }

    /// An INVITE to a number, with an SDP offer.
    pub fn invite(&self, number: &str) -> String {
        let request = self.plain("INVITE", &format!("sip:{number}@{}", self.server), &self.user);
        let from = format!("From: <sip:{}@{}>", self.user, host(self.server.ip()));
        let request = request.replace(&from, &format!("From: <sip:{}@{}>", self.user, host(self.local.ip())));
        with_body(&request, &self.voice.sdp("sendrecv"))
    }

    /// Sends an INVITE that begins the phone's one call; a 200 is acknowledged, and then it talks.
    pub async fn dial(&self, invite: String) {
        let invite = Text(invite);
        let number = invite.header("CSeq").split(' ').next().and_then(|number| number.parse().ok());
        self.body.state().dialog = Some(Dialog {
            local: invite.header("From"),
            remote: invite.header("To"),
            call_id: invite.header("Call-ID"),
            target: invite.uri(),
            cseq: number.unwrap_or(1),
            invite: invite.clone(),
        });
        self.send(invite.0).await;
    }

    /// Dials, and waits until the call is accepted.
    pub async fn dial_in(&self, number: &str) {
        self.dial(self.invite(number)).await;
        self.talks().await;
    }

    /// A regulator's phone dials, answering the challenge.
    pub async fn dial_as(&self, password: &str, whom: &str) {
        let uri = format!("sip:{whom}@{}", self.server);
        let request = with_body(&self.plain("INVITE", &uri, &self.user), &self.voice.sdp("sendrecv"));
        self.dial(request.clone()).await;
        let challenged = self.answer_of(&header(&request, "Call-ID"), &header(&request, "CSeq")).await;
        assert_eq!(challenged.status(), 407, "{}", challenged.0);
        let login = (self.user.as_str(), password);
        let proof = digest::answer(&challenged.header("Proxy-Authenticate"), login, ("INVITE", &uri));
        let tagged = header(&request, "From");
        let again = digest::again(&request, &format!("Proxy-Authorization: {proof}"));
        self.dial(again.replace(&tagged, &format!("{tagged}b"))).await;
    }

    /// Picks up what rings.
    pub async fn pick_up(&self) {
        let (invite, server) = {
            let mut state = self.body.state();
            state.is_talking = true;
            (state.dialog.as_ref().expect("a call that rings").invite.clone(), self.server)
        };
        self.voice.aim(invite.body());
        let contact = format!("Contact: <sip:{}>\r\n", self.local);
        self.body.send(server, invite.respond("200 OK", &contact, &self.voice.sdp("sendrecv"))).await;
    }

    /// The transfer button: hands the other side on to this URI; the REFER's answer.
    pub async fn refer(&self, to: &str) -> u16 {
        let refer = self.body.within("REFER", None);
        let refer = refer.replace("Content-Length: 0", &format!("Refer-To: <{to}>\r\nContent-Length: 0"));
        self.request(&refer).await.status()
    }

    /// The same, to whoever talks with another phone of the same person (RFC 5589 §7).
    pub async fn refer_to_partner_of(&self, other: &Phone) -> u16 {
        let dialog = other.body.state().dialog.clone().expect("a call to join with");
        let tag = |side: &str| side.split_once(";tag=").map_or(String::new(), |(_, tag)| tag.to_owned());
        let (to, from) = (tag(&dialog.remote), tag(&dialog.local));
        let call_id = dialog.call_id.replace('@', "%40");
        self.refer(&format!("sip:partner@{}?Replaces={call_id}%3Bto-tag%3D{to}%3Bfrom-tag%3D{from}", self.server.ip()))
            .await
    }

    /// Waits for a NOTIFY that a transfer has come so far.
    pub async fn is_told(&self, status: u16) {
        let told = || {
            let is_it = |one: &Text| one.body().starts_with(&format!("SIP/2.0 {status}"));
            std::future::ready(self.received("NOTIFY").iter().any(is_it).then_some(()))
        };
        until(&format!("{} is told {status}", self.user), told).await;
    }

    /// Gives up a call that is not yet accepted.
    pub async fn cancel(&self) {
        let invite = self.body.state().dialog.as_ref().expect("a call to cancel").invite.clone();
        let headers = ["Via", "From", "To", "Call-ID"].map(|name| format!("{name}: {}\r\n", invite.header(name)));
        let uri = invite.uri();
        self.send(format!(
            "CANCEL {uri} SIP/2.0\r\n{}CSeq: {} CANCEL\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
            headers.concat(),
            invite.header("CSeq").split(' ').next().unwrap_or_default()
        ))
        .await;
    }

    /// The number of the next request within its call.
    pub fn next_number(&self) -> u32 {
        let mut state = self.body.state();
        let dialog = state.dialog.as_mut().expect("a call");
        dialog.cseq += 1;
        dialog.cseq
    }

    /// Hangs up, and waits for the answer.
    pub async fn hang_up(&self) {
        let bye = self.body.within("BYE", None);
        assert_eq!(self.request(&bye).await.status(), 200);
        self.body.over();
    }

    /// Offers other media within the call: `sendonly` is hold, `sendrecv` takes back.
    pub async fn reoffer(&self, direction: &str) -> Text {
        let invite = self.body.within("INVITE", Some(self.voice.sdp(direction)));
        self.request(&invite).await
    }

    /// Waits until it is in conversation.
    pub async fn talks(&self) {
        until(&format!("{} talks", self.user), || std::future::ready(self.is_talking().then_some(()))).await;
    }

    /// Waits until its call is over.
    pub async fn is_over(&self) {
        let over = || std::future::ready(self.body.state().dialog.is_none().then_some(()));
        until(&format!("the call of {} is over", self.user), over).await;
    }

    /// Whether it is in conversation.
    pub fn is_talking(&self) -> bool {
        self.body.state().is_talking
    }

    /// Waits until it rings.
    pub async fn rings(&self) {
        let rings = || std::future::ready((self.body.state().dialog.is_some() && !self.is_talking()).then_some(()));
        until(&format!("{} rings", self.user), rings).await;
    }

    /// INVITEs that came, each call once.
    pub fn calls_received(&self) -> u32 {
        self.body.state().invites
    }

    /// Ends its call without telling anybody.
    pub fn forget_call(&self) {
        self.body.over();
    }

    /// Vanishes as a phone does whose battery is empty: nothing is sent or answered any more.
    pub fn vanish(self) {
        drop(self);
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Body {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the phone's state")
    }

    async fn send(&self, to: SocketAddr, text: String) {
        self.link.send(to, Text(self.link.adapt(&text)).to_bytes()).await;
    }

    async fn listen(self: Arc<Body>) {
        while let Some((bytes, from)) = self.link.receive().await {
            let message = Text::read(&bytes);
            for answer in self.take(&message) {
                self.send(from, answer).await;
            }
            self.state().received.push(message);
        }
    }

    /// What is sent because of a message.
    fn take(&self, message: &Text) -> Vec<String> {
        match message.method() {
            None => self.take_answer(message).into_iter().collect(),
            Some(_) if self.state().manner == Manner::IsDead => Vec::new(),
            Some("INVITE") => self.take_invite(message),
            Some("ACK") => {
                self.state().acks += 1;
                Vec::new()
            }
            Some("BYE") => {
                self.over();
                vec![message.respond("200 OK", "", "")]
            }
            Some("CANCEL") => self.take_cancel(message),
            Some(_) => vec![message.respond("200 OK", "", "")],
        }
    }

    fn take_answer(&self, answer: &Text) -> Option<String> {
        if !answer.header("CSeq").ends_with("INVITE") || answer.status() < 200 {
            return None;
        }
        let mut state = self.state();
        let dialog = state.dialog.as_mut().filter(|dialog| dialog.call_id == answer.header("Call-ID"))?;
        if answer.status() >= 300 {
            let ack = failure_ack(&dialog.invite, answer);
            // A refused re-INVITE leaves the call as it was (RFC 3261 §14.1).
            if !state.is_talking {
                state.dialog = None;
            }
            return Some(ack);
        }
        dialog.remote = answer.header("To");
        dialog.target = answer.contact();
        let number = answer.header("CSeq").split(' ').next().unwrap_or_default().to_owned();
        let ack = request_within(dialog, "ACK", &number, self.local, None);
        state.is_talking = true;
        self.voice.aim(answer.body());
        Some(ack)
    }

    fn take_invite(&self, invite: &Text) -> Vec<String> {
        let mut state = self.state();
        let is_again = state.received.iter().any(|one| one.header("Via") == invite.header("Via"));
        if is_again {
            return Vec::new();
        }
        state.invites += 1;
        let tag = token();
        let to = format!("{};tag={tag}", invite.header("To"));
        let tagged = Text(invite.0.replacen(&invite.header("To"), &to, 1));
        match state.manner {
            Manner::IsBusy => return vec![tagged.respond("486 Busy Here", "", "")],
            Manner::Declines => return vec![tagged.respond("603 Decline", "", "")],
            Manner::IsDead => return Vec::new(),
            Manner::Answers | Manner::Rings | Manner::PicksUpTooLate => {}
        }
        let answers = state.manner == Manner::Answers;
        state.dialog = Some(Dialog {
            local: to,
            remote: invite.header("From"),
            call_id: invite.header("Call-ID"),
            target: invite.contact(),
            cseq: 1,
            invite: tagged.clone(),
        });
        let contact = format!("Contact: <sip:{}>\r\n", self.local);
        let ringing = tagged.respond("180 Ringing", &contact, "");
        if !answers {
            return vec![ringing];
        }
        state.is_talking = true;
        self.voice.aim(invite.body());
        vec![ringing, tagged.respond("200 OK", &contact, &self.voice.sdp("sendrecv"))]
    }

    fn take_cancel(&self, cancel: &Text) -> Vec<String> {
        if self.state().manner == Manner::PicksUpTooLate {
            let invite = self.state().dialog.as_ref().expect("a call").invite.clone();
            let contact = format!("Contact: <sip:{}>\r\n", self.local);
            let accepted = invite.respond("200 OK", &contact, &self.voice.sdp("sendrecv"));
            return vec![cancel.respond("200 OK", "", ""), accepted];
        }
        let Some(dialog) = self.state().dialog.take() else { return vec![cancel.respond("481 Gone", "", "")] };
        vec![cancel.respond("200 OK", "", ""), dialog.invite.respond("487 Request Terminated", "", "")]
    }

    fn over(&self) {
        let mut state = self.state();
        state.dialog = None;
        state.is_talking = false;
        self.voice.aim("");
    }

    fn within(&self, method: &str, sdp: Option<String>) -> String {
        let mut state = self.state();
        let dialog = state.dialog.as_mut().expect("a call");
        dialog.cseq += 1;
        let number = dialog.cseq.to_string();
        request_within(dialog, method, &number, self.local, sdp)
    }
}

/// An address as a URI has it.
fn host(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

fn header(text: &str, name: &str) -> String {
    Text(text.to_owned()).header(name)
}

fn request_within(dialog: &Dialog, method: &str, number: &str, local: SocketAddr, sdp: Option<String>) -> String {
    let Dialog { local: from, remote, call_id, target, .. } = dialog;
    let request = format!(
        "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {local};rport;branch=z9hG4bK{}\r\nMax-Forwards: 70\r\n\
         From: {from}\r\nTo: {remote}\r\nCall-ID: {call_id}\r\nCSeq: {number} {method}\r\nContact: <sip:{local}>\r\n\
         Content-Length: 0\r\n\r\n",
        token()
    );
    match sdp {
        Some(sdp) => with_body(&request, &sdp),
        None => request,
    }
}

/// RFC 3261 §17.1.1.3: the ACK of a refusal belongs to the INVITE's transaction.
fn failure_ack(invite: &Text, answer: &Text) -> String {
    let number = answer.header("CSeq").split(' ').next().unwrap_or_default().to_owned();
    let headers = [("Via", answer), ("From", answer), ("To", answer), ("Call-ID", answer)];
    let headers = headers.map(|(name, from)| format!("{name}: {}\r\n", from.header(name)));
    let uri = invite.uri();
    format!("ACK {uri} SIP/2.0\r\n{}CSeq: {number} ACK\r\nContent-Length: 0\r\n\r\n", headers.concat())
}

/// The same request with an SDP body.
pub fn with_body(request: &str, sdp: &str) -> String {
    let length = format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}", sdp.len());
    request.replace("Content-Length: 0\r\n\r\n", &length)
}
