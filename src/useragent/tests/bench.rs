//! A user agent in virtual time, and phones and a trunk that write SIP by hand: nothing here knows `crate::sip`.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::tz::TimeZone;
use md5::{Digest, Md5};
use sha2::Sha256;

use crate::call::signal::{LegOrder, Signal};
use crate::model::centre::{AddressBlock, DigestChoice, OfferRules, Weights};
use crate::model::{
    Alarm, Binding, Centre, Chance, Codec, Credential, Fact, LegId, Moment, Now, NumberPlan, Path, Regulator,
    RegulatorId, RemoteMedia, Target, Transport, Trunk, Utc,
};
use crate::useragent::{Effect, Rules, UserAgent};

pub const TRUNK: &str = "127.0.0.2:5080";
pub const PHONE: &str = "127.0.0.1:5070";
pub const PASSWORD: &str = "secret";

pub struct Bench {
    pub ua: UserAgent,
    pub now: Now,
    pub sent: Vec<(SocketAddr, String)>,
    pub signals: Vec<Signal>,
    pub facts: Vec<Fact>,
    pub alarms: Vec<Alarm>,
    /// How often the trunk's name was wanted looked up again.
    pub resolves: usize,
    /// What messages come in by.
    pub transport: Transport,
}

pub fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub fn centre(calls_max: u32) -> Centre {
    let person = |id: &str, digest| {
        let regulator = Regulator {
            id: id.into(),
            name: id.to_owned(),
            association: "sos".into(),
            skills: BTreeMap::new(),
            regions: BTreeMap::new(),
            ready_on_register: true,
            srtp: Default::default(),
            terms: Default::default(),
            digest,
        };
        (RegulatorId::from(id), regulator)
    };
    let trunk = Trunk {
        rate_max: 1000,
        reach: None,
        registration: None,
        options_every: None,
        srtp: Default::default(),
        codecs: Codec::USUAL.to_vec(),
        verified: Default::default(),
        dials: Vec::new(),
        outgoing: Default::default(),
        id: "carrier".into(),
        peers: vec![AddressBlock::parse("127.0.0.2").unwrap()],
        numbers: NumberPlan::default(),
        fallback_line: "line".into(),
        calls_max,
    };
    Centre {
        zone: TimeZone::UTC,
        associations: BTreeMap::new(),
        regions: BTreeMap::new(),
        lines: BTreeMap::new(),
        ddis: HashMap::new(),
        regulators: [
            person("ana", DigestChoice::Md5),
            person("bob", DigestChoice::Both),
            person("cleo", DigestChoice::Sha256),
        ]
        .into(),
        trunks: [("carrier".into(), trunk)].into(),
        menus: BTreeMap::new(),
        spoken: Default::default(),
        sounds: BTreeMap::new(),
        weights: Weights::default(),
        offers: OfferRules::default(),
        callers: Default::default(),
        outbound: Default::default(),
        lists: Default::default(),
        samu: crate::model::control::SAMU_NUMBER.into(),
        codes: Default::default(),
    }
}

pub fn credentials(rules: &Rules) -> HashMap<RegulatorId, Credential> {
    let credentials = ["ana", "bob", "cleo"].map(|id| {
        let text = format!("{id}:{}:{PASSWORD}", rules.realm);
        let credential = Credential { md5: hex(&Md5::digest(&text)), sha256: hex(&Sha256::digest(&text)) };
        (RegulatorId::from(id), credential)
    });
    credentials.into()
}

impl Bench {
    pub fn new() -> Bench {
        Bench::with(Rules::default(), 100)
    }

    pub fn with(rules: Rules, calls_max: u32) -> Bench {
        Bench::of(rules, centre(calls_max))
    }

    pub fn of(rules: Rules, centre: Centre) -> Bench {
        let credentials = credentials(&rules);
        let ua = UserAgent::new(rules, Arc::new(centre), credentials, Chance::from_number(1));
        let now = Now { moment: Moment(1_000_000_000), utc: Utc(1_763_762_400_000_000) };
        Bench {
            ua,
            now,
            sent: Vec::new(),
            signals: Vec::new(),
            facts: Vec::new(),
            alarms: Vec::new(),
            resolves: 0,
            transport: Transport::Udp,
        }
    }

    fn take(&mut self, effects: Vec<Effect>) -> Vec<String> {
        let mut texts = Vec::new();
        for effect in effects {
            match effect {
                Effect::Send { path, bytes } => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    self.sent.push((path.peer, text.clone()));
                    texts.push(text);
                }
                Effect::Signal(signal) => self.signals.push(signal),
                Effect::Remember(fact) => self.facts.push(fact),
                Effect::Alarm(alarm) => self.alarms.push(alarm),
                Effect::Resolve { .. } => self.resolves += 1,
                Effect::Count(_) | Effect::Notice(_) | Effect::Ban { .. } => {}
            }
        }
        texts
    }

    /// What the user agent sends at once in return for these bytes.
    pub fn receive_bytes(&mut self, from: &str, bytes: Vec<u8>) -> Vec<String> {
        let path = Path { listener: 0, transport: self.transport, peer: address(from) };
        let mut out = Vec::new();
        self.ua.receive(path, &Bytes::from(bytes), self.now, &mut out);
        self.ua.settle(self.now, &mut out);
        self.take(out)
    }

    /// The same for a text, whose lines may end in `\n` alone.
    pub fn receive(&mut self, from: &str, text: &str) -> Vec<String> {
        self.receive_bytes(from, text.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes())
    }

    pub fn order(&mut self, order: LegOrder) -> Vec<String> {
        let mut out = Vec::new();
        self.ua.order(order, self.now, &mut out);
        self.ua.settle(self.now, &mut out);
        self.take(out)
    }

    /// Another configuration, with the same passwords.
    pub fn recentre(&mut self, centre: Centre) -> Vec<String> {
        let mut out = Vec::new();
        self.ua.recentre(Arc::new(centre), credentials(&Rules::default()), self.now, &mut out);
        self.take(out)
    }

    /// The trunk's name leads to these places; to none when there is no such name.
    pub fn resolved(&mut self, places: &[&str]) -> Vec<String> {
        let target = |place: &&str| Target { transport: Transport::Udp, address: address(place) };
        let why = places.is_empty().then(|| "no such name".to_owned());
        let mut out = Vec::new();
        self.ua.resolved(&"carrier".into(), places.iter().map(target).collect(), why, self.now, &mut out);
        self.take(out)
    }

    /// Nothing can be sent to this place.
    pub fn cut(&mut self, place: &str) -> Vec<String> {
        let path = Path { listener: 0, transport: self.transport, peer: address(place) };
        let mut out = Vec::new();
        self.ua.cut(path, "connection refused", self.now, &mut out);
        self.take(out)
    }

    /// The server stops.
    pub fn retire(&mut self) -> Vec<String> {
        let mut out = Vec::new();
        self.ua.retire(self.now, &mut out);
        self.take(out)
    }

    pub fn restore(&mut self, bindings: Vec<Binding>) {
        let mut out = Vec::new();
        self.ua.restore(bindings, self.now, &mut out);
        self.take(out);
    }

    /// Lets time pass, stopping at every deadline; what was sent meanwhile.
    pub fn pass(&mut self, span: Duration) -> Vec<String> {
        let end = self.now.after(span);
        let mut texts = Vec::new();
        for _ in 0..1_000_000 {
            let next = self.ua.deadline().map(|(at, _)| at).filter(|at| *at <= end.moment);
            let Some(at) = next else {
                self.now = end;
                return texts;
            };
            self.now = self.now.after(at.since(self.now.moment));
            let mut out = Vec::new();
            self.ua.tick(self.now, &mut out);
            self.ua.settle(self.now, &mut out);
            texts.extend(self.take(out));
        }
        panic!("a deadline does not pass: {:?}", self.ua.deadline());
    }

    /// Takes the signals so far.
    pub fn signals(&mut self) -> Vec<Signal> {
        std::mem::take(&mut self.signals)
    }

    /// The leg of the newest incoming call.
    pub fn incoming_leg(&self) -> LegId {
        let found = self.signals.iter().rev().find_map(|signal| match signal {
            Signal::Incoming(incoming) => Some(incoming.leg),
            _ => None,
        });
        found.expect("a call came in")
    }

    /// The signalling ladder kept so far, a first line each.
    pub fn ladder(&self) -> Vec<String> {
        let line = |fact: &Fact| match fact {
            Fact::SipMessage(trace) => {
                let first = trace.text.lines().next().unwrap_or_default().to_owned();
                Some(format!("{} {first}", if trace.received { "<" } else { ">" }))
            }
            _ => None,
        };
        self.facts.iter().filter_map(line).collect()
    }

    /// Registers `user`'s phone at `from` with `algorithm`; the final response.
    pub fn register(&mut self, user: &str, from: &str, algorithm: &str) -> String {
        let first = register(user, from, 1, "");
        let challenge = self.receive(from, &first).pop().expect("a response");
        let authorization = answer(&challenge, user, "REGISTER", "sip:127.0.0.1", (algorithm, 1));
        self.receive(from, &register(user, from, 2, &authorization)).pop().expect("a response")
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The three digits of a response, or the method of a request.
pub fn status(text: &str) -> &str {
    let mut words = text.split(' ');
    match words.next() {
        Some("SIP/2.0") => words.next().unwrap_or_default(),
        first => first.unwrap_or_default(),
    }
}

/// What the messages are: `["100", "200"]`, `["BYE"]`.
pub fn statuses(texts: &[String]) -> Vec<&str> {
    texts.iter().map(|text| status(text)).collect()
}

/// Every value of a header, in order.
pub fn headers<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let value = |line: &'a str| {
        line.split_once(':').filter(|(n, _)| n.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    head.lines().filter_map(value).collect()
}

/// The first value of a header; empty without one.
pub fn header<'a>(text: &'a str, name: &str) -> &'a str {
    headers(text, name).first().copied().unwrap_or_default()
}

/// The tag of a From or To.
pub fn tag(value: &str) -> &str {
    value.split(";tag=").nth(1).and_then(|rest| rest.split(';').next()).unwrap_or_default()
}

/// A quoted or bare parameter of a challenge.
pub fn param<'a>(value: &'a str, name: &str) -> &'a str {
    let found = value.split([',', ' ']).find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_default().trim_matches('"')
}

pub fn body(text: &str) -> &str {
    text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

/// A REGISTER of one contact for 300 s; `more` holds further header lines.
pub fn register(user: &str, from: &str, cseq: u32, more: &str) -> String {
    format!(
        "REGISTER sip:127.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP {from};rport;branch=z9hG4bKr{user}{cseq}\nMax-Forwards: 70\n\
         From: <sip:{user}@127.0.0.1>;tag=r{user}\nTo: <sip:{user}@127.0.0.1>\nCall-ID: reg-{user}-{from}\nCSeq: {cseq} REGISTER\n\
         Contact: <sip:{user}@{from}>\nExpires: 300\n{more}Content-Length: 0\n\n"
    )
}

/// The Authorization line (or Proxy-Authorization, to a 407) that answers a challenge.
pub fn answer(challenge: &str, user: &str, method: &str, uri: &str, (algorithm, count): (&str, u32)) -> String {
    let (asked, given) = match status(challenge) {
        "407" => ("Proxy-Authenticate", "Proxy-Authorization"),
        _ => ("WWW-Authenticate", "Authorization"),
    };
    let challenges = headers(challenge, asked);
    let chosen = challenges.iter().find(|c| param(c, "algorithm") == algorithm);
    let chosen = chosen.unwrap_or_else(|| panic!("no {algorithm} in {challenges:?}"));
    let (realm, nonce) = (param(chosen, "realm"), param(chosen, "nonce"));
    let hash = |text: String| match algorithm {
        "MD5" => hex(&Md5::digest(text)),
        _ => hex(&Sha256::digest(text)),
    };
    let ha1 = hash(format!("{user}:{realm}:{PASSWORD}"));
    let ha2 = hash(format!("{method}:{uri}"));
    let response = hash(format!("{ha1}:{nonce}:{count:08x}:c0ffee:auth:{ha2}"));
    format!(
        "{given}: Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\", \
         algorithm={algorithm}, qop=auth, nc={count:08x}, cnonce=\"c0ffee\"\n"
    )
}

/// An SDP of one audio stream.
pub fn sdp(address: &str, port: u16, payloads: &str, direction: &str) -> String {
    format!(
        "v=0\no=- 7 7 IN IP4 {address}\ns=-\nc=IN IP4 {address}\nt=0 0\nm=audio {port} RTP/AVP {payloads}\n\
         a=rtpmap:8 PCMA/8000\na=rtpmap:0 PCMU/8000\na=rtpmap:101 telephone-event/8000\na={direction}\n"
    )
}

/// A request of the trunk's caller; `tags` is what follows the From and the To.
pub struct Request<'a> {
    pub method: &'a str,
    pub branch: &'a str,
    pub call: &'a str,
    pub cseq: u32,
    pub to_tag: &'a str,
    pub more: &'a str,
    pub body: &'a str,
}

impl Default for Request<'_> {
    fn default() -> Self {
        Request { method: "INVITE", branch: "z9hG4bK1", call: "call-1", cseq: 1, to_tag: "", more: "", body: "" }
    }
}

impl Request<'_> {
    pub fn text(&self) -> String {
        let Request { method, branch, call, cseq, more, .. } = self;
        let to_tag = if self.to_tag.is_empty() { String::new() } else { format!(";tag={}", self.to_tag) };
        let body = self.body.replace('\n', "\r\n");
        let (kind, length) = match body.len() {
            0 => ("", 0),
            length => ("Content-Type: application/sdp\n", length),
        };
        let forwards = if more.contains("Max-Forwards") { "" } else { "Max-Forwards: 70\n" };
        format!(
            "{method} sip:+33233010101@127.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP {TRUNK};rport;branch={branch}\n{forwards}\
             From: \"Jean\" <sip:0612345678@carrier.example>;tag=far\nTo: <sip:+33233010101@127.0.0.1>{to_tag}\n\
             Call-ID: {call}\nCSeq: {cseq} {method}\nContact: <sip:gw@{TRUNK}>\n{more}{kind}Content-Length: {length}\n\n{body}"
        )
    }
}

/// The media of the far end that was heard of last.
pub(super) fn remote_of(signals: &[Signal]) -> RemoteMedia {
    let found = signals.iter().rev().find_map(|signal| match signal {
        Signal::Incoming(incoming) => Some(incoming.remote.clone()),
        Signal::Accepted { remote, .. } | Signal::Reoffered { remote, .. } => Some(remote.clone()),
        _ => None,
    });
    found.expect("a far end's media")
}
