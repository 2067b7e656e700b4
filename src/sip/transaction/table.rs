//! Every transaction of this machine, by key, with the next waking of each.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::invite_client::InviteClient;
use super::invite_server::{AckFate, InviteServer};
use super::key::{ClientKey, ServerKey};
use super::other_client::OtherClient;
use super::other_server::OtherServer;
use super::timers::{Owner, Timers};
use super::{Ended, Happening};
use crate::model::{Moment, Path};
use crate::sip::compose;
use crate::sip::header::Reason;
use crate::sip::message::{Message, Request, Response};
use crate::sip::method::Method;

/// The most requests being answered or lately answered: each lingers 32 s, so this is 1,000 a second, some 64 MB at worst.
pub const SERVERS_MAX: usize = 32_768;

/// How long a peer that we cannot serve should wait, in seconds.
const RETRY_AFTER: &str = "10";

/// Every transaction of this machine.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Transactions {
    servers: BTreeMap<ServerKey, Server>,
    clients: BTreeMap<ClientKey, Client>,
    /// Requests outside dialogs by what they say of themselves, so that one that came twice on two ways is known.
    origins: BTreeMap<Arc<str>, ServerKey>,
    timers: Timers,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Server {
    machine: ServerMachine,
    origin: Option<Arc<str>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum ServerMachine {
    Invite(InviteServer),
    Other(OtherServer),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Client {
    Invite(InviteClient),
    Other(OtherClient),
}

impl ServerMachine {
    fn new(request: &Request, path: Path) -> ServerMachine {
        if request.method == Method::Invite {
            ServerMachine::Invite(InviteServer::new(path))
        } else {
            ServerMachine::Other(OtherServer::new(path))
        }
    }

    fn next(&self) -> Option<Moment> {
        match self {
            ServerMachine::Invite(invite) => invite.wake.next(),
            ServerMachine::Other(other) => other.wake.next(),
        }
    }
}

impl Client {
    fn next(&self) -> Option<Moment> {
        match self {
            Client::Invite(invite) => invite.wake.next(),
            Client::Other(other) => other.wake.next(),
        }
    }
}

impl Transactions {
    /// None yet.
    pub fn new() -> Transactions {
        Transactions::default()
    }

    /// How many there are, in which we answer and in which we ask.
    pub fn count(&self) -> (usize, usize) {
        (self.servers.len(), self.clients.len())
    }

    /// Whether this request came before and is being answered, or was lately.
    pub fn answers(&self, request: &Request) -> bool {
        self.servers.contains_key(&ServerKey::of(request))
    }

    /// A message came in.
    pub fn receive(&mut self, path: Path, message: Message, now: Moment, out: &mut Vec<Happening>) {
        match message {
            Message::Request(request) => self.receive_request(path, request, now, out),
            Message::Response(response) => self.receive_response(path, response, now, out),
        }
    }

    /// Sends a request of ours in a transaction of its own; its topmost Via, with a fresh branch, is the caller's work.
    /// Not for an ACK, which is sent as it is.
    pub fn request(&mut self, path: Path, request: Request, now: Moment, out: &mut Vec<Happening>) -> ClientKey {
        let key = ClientKey::of(&request);
        let client = if request.method == Method::Invite {
            Client::Invite(InviteClient::new(path, request, now, out))
        } else {
            Client::Other(OtherClient::new(path, &request, now, out))
        };
        let new = client.next();
        let old = self.clients.insert(key.clone(), client).and_then(|c| c.next());
        self.timers.shift(Owner::Client(key.clone()), old, new);
        key
    }

    /// Answers a request; an answer to a transaction that is over is left. A 2xx to an INVITE may be given again and again.
    pub fn respond(&mut self, key: &ServerKey, response: Response, now: Moment, out: &mut Vec<Happening>) {
        let Some(server) = self.servers.get_mut(key) else { return };
        let old = server.machine.next();
        match &mut server.machine {
            ServerMachine::Invite(invite) => invite.respond(&response, now, out),
            ServerMachine::Other(other) => other.respond(&response, now, out),
        }
        self.timers.shift(Owner::Server(key.clone()), old, server.machine.next());
    }

    /// Cancels an INVITE of ours: at once, or when its first provisional answer comes (RFC 3261 §9.1). `Response` or `TimedOut` follows.
    pub fn cancel(&mut self, key: &ClientKey, now: Moment, out: &mut Vec<Happening>) {
        self.cancel_because(key, None, now, out);
    }

    /// The same, with a Reason for the phone to show (RFC 3326).
    pub fn cancel_because(&mut self, key: &ClientKey, reason: Option<&Reason>, now: Moment, out: &mut Vec<Happening>) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let old = client.next();
        let due = match client {
            Client::Invite(invite) => invite.cancel(reason, now).map(|cancel| (invite.path, cancel)),
            Client::Other(_) => None,
        };
        self.timers.shift(Owner::Client(key.clone()), old, client.next());
        if let Some((path, cancel)) = due {
            self.request(path, cancel, now, out);
        }
    }

    /// Nothing can be sent that way now: every request of ours that still waits for its final answer there has failed
    /// (RFC 3261 §17.1.4). Requests that we answer go on: their answers may find another connection (§18.2.2).
    pub fn fail_path(&mut self, path: Path, why: &str, out: &mut Vec<Happening>) {
        let waits = |client: &Client| match client {
            Client::Invite(invite) => invite.path == path && invite.is_waiting(),
            Client::Other(other) => other.path == path && other.is_waiting(),
        };
        let failed: Vec<ClientKey> =
            self.clients.iter().filter(|(_, client)| waits(client)).map(|(key, _)| key.clone()).collect();
        for key in failed {
            let old = self.clients.remove(&key).and_then(|client| client.next());
            self.timers.shift(Owner::Client(key.clone()), old, None);
            if !key.is_cancel() {
                out.push(Happening::Cut { key, why: why.to_owned() });
            }
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Moment, out: &mut Vec<Happening>) {
        while let Some(owner) = self.timers.take_due(now) {
            match owner {
                Owner::Server(key) => self.tick_server(key, now, out),
                Owner::Client(key) => self.tick_client(key, now, out),
            }
        }
    }

    /// When `tick` is wanted next.
    pub fn deadline(&self) -> Option<Moment> {
        self.timers.soonest()
    }

    fn receive_request(&mut self, path: Path, mut request: Request, now: Moment, out: &mut Vec<Happening>) {
        compose::stamp_via(&mut request, path.peer);
        let key = ServerKey::of(&request);
        if request.method == Method::Ack {
            return self.receive_ack(path, request, now, out);
        }
        if let Some(server) = self.servers.get_mut(&key) {
            out.push(Happening::Retransmitted);
            return match &mut server.machine {
                ServerMachine::Invite(invite) => invite.repeat(out),
                ServerMachine::Other(other) => other.repeat(out),
            };
        }
        if request.method == Method::Cancel {
            return self.receive_cancel(path, request, now, out);
        }
        if self.servers.len() >= SERVERS_MAX {
            return refuse_for_load(path, &request, out);
        }
        let origin = origin(&request);
        if origin.as_ref().is_some_and(|origin| self.origins.contains_key(origin)) {
            // RFC 3261 §8.2.2.2: the same request on another way.
            self.open(&key, path, &request, None);
            let tag = compose::stateless_tag(&request);
            return self.respond(&key, compose::response(&request, 482, Some(&tag)), now, out);
        }
        self.open(&key, path, &request, origin);
        out.push(Happening::Request { key, path, request });
    }

    fn open(&mut self, key: &ServerKey, path: Path, request: &Request, origin: Option<Arc<str>>) {
        let back = request.headers.via().map_or(path, |via| compose::response_path(path, &via));
        if let Some(origin) = &origin {
            self.origins.insert(origin.clone(), key.clone());
        }
        self.servers.insert(key.clone(), Server { machine: ServerMachine::new(request, back), origin });
    }

    fn receive_ack(&mut self, path: Path, request: Request, now: Moment, out: &mut Vec<Happening>) {
        let key = ServerKey::of(&request);
        let fate = match self.servers.get_mut(&key) {
            Some(Server { machine: ServerMachine::Invite(invite), .. }) => {
                let old = invite.wake.next();
                let fate = invite.acknowledge(now);
                self.timers.shift(Owner::Server(key), old, invite.wake.next());
                fate
            }
            Some(Server { machine: ServerMachine::Other(_), .. }) | None => AckFate::ForUser,
        };
        match fate {
            AckFate::Absorbed => {}
            AckFate::ForUser => out.push(Happening::Ack { path, request }),
        }
    }

    /// RFC 3261 §9.2. A CANCEL is answered even when the table is full, without being kept; one from another address
    /// than its INVITE's is a stranger's, and finds nothing.
    fn receive_cancel(&mut self, path: Path, cancel: Request, now: Moment, out: &mut Vec<Happening>) {
        let key = ServerKey::of(&cancel);
        let invite = ServerKey::of_cancelled(&cancel);
        let (status, tag, is_proceeding) = match self.servers.get(&invite).map(|s| &s.machine) {
            Some(ServerMachine::Invite(server)) if server.is_from(path) => {
                (200, server.to_tag.clone(), server.is_proceeding())
            }
            Some(ServerMachine::Invite(_) | ServerMachine::Other(_)) | None => (481, None, false),
        };
        let tag = tag.unwrap_or_else(|| compose::stateless_tag(&cancel));
        let answer = compose::response(&cancel, status, Some(&tag));
        if self.servers.len() < SERVERS_MAX {
            self.open(&key, path, &cancel, None);
            self.respond(&key, answer, now, out);
        } else {
            send_without_state(path, &cancel, &answer, out);
        }
        if is_proceeding {
            out.push(Happening::Cancelled { invite, cancel });
        }
    }

    fn receive_response(&mut self, path: Path, response: Response, now: Moment, out: &mut Vec<Happening>) {
        let Some(key) = ClientKey::answered_by(&response) else { return };
        let Some(client) = self.clients.get_mut(&key) else { return };
        let old = client.next();
        let mut cancel = None;
        let tells_user = match client {
            Client::Invite(invite) => {
                let heard = invite.hear(&response, now, out);
                cancel = heard.cancel.map(|request| (invite.path, request));
                heard.tells_user
            }
            Client::Other(other) => other.hear(&response, now) && !key.is_cancel(),
        };
        self.timers.shift(Owner::Client(key.clone()), old, client.next());
        if let Some((path, cancel)) = cancel {
            self.request(path, cancel, now, out);
        }
        if tells_user {
            out.push(Happening::Response { key, path, response });
        }
    }

    fn tick_server(&mut self, key: ServerKey, now: Moment, out: &mut Vec<Happening>) {
        let Some(server) = self.servers.get_mut(&key) else { return };
        let is_over = match &mut server.machine {
            ServerMachine::Invite(invite) => invite.tick(now, out),
            ServerMachine::Other(other) => other.tick(now),
        };
        let new = server.machine.next().filter(|_| !is_over);
        self.timers.shift(Owner::Server(key.clone()), None, new);
        if is_over && let Some(origin) = self.servers.remove(&key).and_then(|server| server.origin) {
            self.origins.remove(&origin);
        }
    }

    fn tick_client(&mut self, key: ClientKey, now: Moment, out: &mut Vec<Happening>) {
        let Some(client) = self.clients.get_mut(&key) else { return };
        let ended = match client {
            Client::Invite(invite) => invite.tick(now, out),
            Client::Other(other) => other.tick(now, out),
        };
        let new = client.next().filter(|_| ended == Ended::No);
        self.timers.shift(Owner::Client(key.clone()), None, new);
        match ended {
            Ended::No => {}
            Ended::Quietly => drop(self.clients.remove(&key)),
            Ended::TimedOut => {
                self.clients.remove(&key);
                if !key.is_cancel() {
                    out.push(Happening::TimedOut { key });
                }
            }
        }
    }
}

/// RFC 3261 §8.2.2.2: From-tag, Call-ID and CSeq, of a request without To-tag.
fn origin(request: &Request) -> Option<Arc<str>> {
    if request.to_tag().is_some() {
        return None;
    }
    let headers = &request.headers;
    let from = request.from_tag()?;
    Some(format!("{} {} {from}", headers.cseq()?, headers.call_id()?).into())
}

fn refuse_for_load(path: Path, request: &Request, out: &mut Vec<Happening>) {
    let tag = compose::stateless_tag(request);
    let mut answer = compose::response(request, 503, Some(&tag));
    answer.headers.push("Retry-After", RETRY_AFTER);
    send_without_state(path, request, &answer, out);
}

fn send_without_state(path: Path, request: &Request, answer: &Response, out: &mut Vec<Happening>) {
    let path = request.headers.via().map_or(path, |via| compose::response_path(path, &via));
    out.push(Happening::Send { path, bytes: answer.to_bytes() });
}
