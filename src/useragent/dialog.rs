//! One dialog (RFC 3261 §12): who is at its ends, the way between them, and the order of its requests.

use std::net::SocketAddr;

use bytes::Bytes;

use serde::{Deserialize, Serialize};

use crate::model::{Moment, Path, Transport};
use crate::sip::{Method, NameAddr, Request, Response, Scheme, Uri};

use super::rules::{ROUTES_MAX, Rules, TEXT_LENGTH_MAX, URI_LENGTH_MAX};

/// The longest From or To kept, in bytes: a name, a URI and a tag.
const ADDRESS_LENGTH_MAX: usize = 1024;

/// One dialog, or what will become one with the far end's tag.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Dialog {
    /// The Call-ID.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// The far end's tag; a dialled dialog has none before the first answer that carries one.
    pub remote_tag: Option<String>,
    /// Where the far end's last message within the dialog came from. Without a Route our requests go there, and
    /// not to the address in its Contact: behind NAT only this way is open.
    pub path: Path,
    /// Whether we began the dialog, and so made its Call-ID (RFC 3261 §14.1).
    pub is_call_id_ours: bool,
    /// Since when nothing can be sent along `path`: its connection is gone.
    pub cut_since: Option<Moment>,
    local: Bytes,
    remote: Bytes,
    target: String,
    routes: Vec<String>,
    cseq_local: u32,
    cseq_remote: Option<u32>,
}

/// What a request's CSeq says within its dialog (RFC 3261 §12.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    InOrder,
    OutOfOrder,
}

impl Dialog {
    /// The dialog that our 2xx to this INVITE makes (RFC 3261 §12.1.1); `None` when what it must keep is
    /// missing or too long.
    pub(super) fn of_invite(invite: &Request, path: Path, local_tag: String) -> Option<Dialog> {
        let headers = &invite.headers;
        let routes = routes(headers.addresses("Record-Route"))?;
        let mut local = headers.first_bytes("To")?.to_vec();
        local.extend_from_slice(b";tag=");
        local.extend_from_slice(local_tag.as_bytes());
        let remote = headers.first_bytes("From")?.clone();
        let (call_id, remote_tag) = (headers.call_id()?.into_owned(), invite.from_tag());
        // A Contact is due (RFC 3261 §8.1.1.8), but its want shall not lose a call: then it is where the INVITE came from.
        let contacts = headers.contacts().ok();
        let given = contacts.as_ref().and_then(|c| c.first()).and_then(|c| contact(c.address.uri.clone()));
        let target = given.unwrap_or_else(|| format!("sip:{}", path.peer));
        let is_bounded = call_id.len() <= TEXT_LENGTH_MAX
            && remote_tag.as_ref().is_none_or(|tag| tag.len() <= TEXT_LENGTH_MAX)
            && local.len().max(remote.len()) <= ADDRESS_LENGTH_MAX;
        is_bounded.then(|| Dialog {
            call_id,
            local_tag,
            remote_tag,
            path,
            is_call_id_ours: false,
            cut_since: None,
            local: local.into(),
            remote,
            target,
            routes,
            cseq_local: 0,
            cseq_remote: headers.cseq().map(|cseq| cseq.number),
        })
    }

    /// The start of a dialog that we dial, from one address to another; `target` is the device's Contact.
    pub(super) fn dialling(
        call_id: String,
        local_tag: String,
        (from, to): (NameAddr, NameAddr),
        target: String,
        path: Path,
    ) -> Dialog {
        let local = from.with_tag(&local_tag).to_string().into();
        let remote = to.to_string().into();
        let (remote_tag, routes, cseq_remote) = (None, Vec::new(), None);
        let (is_call_id_ours, cut_since, cseq_local) = (true, None, 0);
        Dialog {
            call_id,
            local_tag,
            remote_tag,
            path,
            is_call_id_ours,
            cut_since,
            local,
            remote,
            target,
            routes,
            cseq_local,
            cseq_remote,
        }
    }

    /// The dialog that this answer to our INVITE makes or updates (RFC 3261 §12.1.2, §13.2.2.4).
    pub(super) fn answered(&self, response: &Response, path: Path) -> Dialog {
        let headers = &response.headers;
        let mut dialog = self.clone();
        dialog.remote_tag = response.to_tag().filter(|tag| tag.len() <= TEXT_LENGTH_MAX);
        if let Some(to) = headers.first_bytes("To").filter(|to| to.len() <= ADDRESS_LENGTH_MAX) {
            dialog.remote = to.clone();
        }
        dialog.retarget(headers.contacts().ok().as_ref().and_then(|c| c.first()).map(|c| c.address.uri.clone()));
        // RFC 3261 §12.1.2: for the caller the recorded route is read backwards.
        if let Some(routes) = routes(headers.addresses("Record-Route")) {
            dialog.routes = routes.into_iter().rev().collect();
        }
        dialog.came_by(path);
        dialog
    }

    /// A message of the far end came this way: ours go back along it (RFC 5626 §5.3).
    pub(super) fn came_by(&mut self, path: Path) {
        self.path = path;
        self.cut_since = None;
    }

    /// Takes a new remote target (RFC 3261 §12.2.1.2, §12.2.2).
    pub(super) fn retarget(&mut self, uri: Option<String>) {
        if let Some(target) = uri.and_then(contact) {
            self.target = target;
        }
    }

    /// Counts a request of the far end.
    pub(super) fn count(&mut self, number: u32) -> Order {
        if self.cseq_remote.is_some_and(|last| number <= last) {
            return Order::OutOfOrder;
        }
        self.cseq_remote = Some(number);
        Order::InOrder
    }

    /// Whether a request or response with these tags belongs here; a dialog without a remote tag yet takes any.
    pub(super) fn is_with(&self, call_id: &str, remote_tag: Option<&str>) -> bool {
        self.call_id == call_id && (self.remote_tag.is_none() || self.remote_tag.as_deref() == remote_tag)
    }

    /// A new request within the dialog, numbered; without its Via (RFC 3261 §12.2.1.1).
    pub(super) fn request(&mut self, method: Method, rules: &Rules) -> Request {
        self.cseq_local += 1;
        self.numbered(method, self.cseq_local, rules)
    }

    /// The next number, for a request that is sent again otherwise.
    pub(super) fn number(&mut self) -> u32 {
        self.cseq_local += 1;
        self.cseq_local
    }

    /// The far end's address, as its last Contact has it.
    pub(super) fn target(&self) -> &str {
        &self.target
    }

    /// The ACK of a 2xx to our INVITE: it has the INVITE's number (RFC 3261 §13.2.2.4).
    pub(super) fn ack(&self, number: u32, rules: &Rules) -> Request {
        self.numbered(Method::Ack, number, rules)
    }

    fn numbered(&self, method: Method, number: u32, rules: &Rules) -> Request {
        let (uri, routes) = self.way();
        let mut request = Request::new(method, uri);
        for route in routes {
            request.headers.push("Route", format!("<{route}>"));
        }
        request.headers.push("Max-Forwards", "70");
        request.headers.push("From", self.local.clone());
        request.headers.push("To", self.remote.clone());
        request.headers.push("Call-ID", self.call_id.clone());
        request.headers.push("CSeq", format!("{number} {}", request.method));
        request.headers.push("User-Agent", rules.software.clone());
        request
    }

    /// Request-URI and Route (RFC 3261 §12.2.1.1): a first route without `lr` is a strict router.
    fn way(&self) -> (String, Vec<String>) {
        match self.routes.split_first() {
            Some((strict, rest)) if !Uri::parse(strict).is_some_and(|uri| uri.is_loose_router()) => {
                (strict.clone(), rest.iter().chain([&self.target]).cloned().collect())
            }
            Some(_) | None => (self.target.clone(), self.routes.clone()),
        }
    }

    /// Where our next request is sent: to the first Route when it is an address, else back where the far end's
    /// messages come from; when that connection is gone, to the address in the Contact (RFC 3263 §4).
    pub(super) fn next_path(&self, rules: &Rules) -> Path {
        let is_cut = self.cut_since.is_some() && self.path.transport.is_reliable();
        let way = match self.routes.first() {
            Some(route) => Uri::parse(route),
            None => Uri::parse(&self.target).filter(|_| is_cut),
        };
        way.and_then(|uri| self.path_to(&uri, rules, is_cut)).unwrap_or(self.path)
    }

    /// The way to a URI's address; a connection that is open to that host already is used again (RFC 5923).
    fn path_to(&self, uri: &Uri, rules: &Rules, is_cut: bool) -> Option<Path> {
        let transport = match (uri.transport(), &uri.scheme) {
            (Some(named), _) => Transport::parse(named)?,
            (None, Scheme::Sips) => Transport::Tls,
            (None, Scheme::Sip | Scheme::Tel | Scheme::Other(_)) => self.path.transport,
        };
        let peer = SocketAddr::new(uri.ip()?, uri.port.unwrap_or(transport.default_port()));
        let is_connected = !is_cut && transport.is_reliable() && peer.ip() == self.path.peer.ip();
        if transport == self.path.transport && is_connected {
            return Some(self.path);
        }
        if transport == self.path.transport && peer.is_ipv4() == self.path.peer.is_ipv4() {
            return Some(Path { peer, ..self.path });
        }
        let serves = |l: &super::rules::Listener| l.transport == transport && l.address.is_ipv4() == peer.is_ipv4();
        let listener = u8::try_from(rules.listeners.iter().position(serves)?).ok()?;
        Some(Path { listener, transport, peer })
    }
}

fn contact(uri: String) -> Option<String> {
    (uri.len() <= URI_LENGTH_MAX).then_some(uri)
}

fn routes(addresses: Vec<NameAddr>) -> Option<Vec<String>> {
    let is_bounded = addresses.len() <= ROUTES_MAX && addresses.iter().all(|a| a.uri.len() <= URI_LENGTH_MAX);
    is_bounded.then(|| addresses.into_iter().map(|address| address.uri).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::useragent::Listener;

    fn dialog(transport: Transport, contact: &str, record_routes: &[&str]) -> Dialog {
        let mut invite = Request::new(Method::Invite, "sip:us".to_owned());
        for route in record_routes {
            invite.headers.push("Record-Route", format!("<{route}>"));
        }
        for (name, value) in [("From", "<sip:a@b>;tag=far"), ("To", "<sip:us>"), ("Call-ID", "c"), ("CSeq", "1 INVITE")]
        {
            invite.headers.push(name, value);
        }
        invite.headers.push("Contact", format!("<{contact}>"));
        let path = Path { listener: 0, transport, peer: ([192, 0, 2, 1], 40_000).into() };
        Dialog::of_invite(&invite, path, "ours".into()).expect("a dialog")
    }

    fn rules() -> Rules {
        let listener = |transport, port| Listener { transport, address: ([192, 0, 2, 9], port).into() };
        Rules { listeners: vec![listener(Transport::Udp, 5060), listener(Transport::Tcp, 5060)], ..Rules::default() }
    }

    fn way(dialog: &Dialog) -> String {
        let path = dialog.next_path(&rules());
        format!("{}:{} of {}", path.transport.name(), path.peer, path.listener)
    }

    #[test]
    fn requests_go_to_the_first_route_or_back_where_messages_came_from() {
        let of = |contact, routes: &[&str]| way(&dialog(Transport::Udp, contact, routes));
        assert_eq!(
            of("sip:x@198.51.100.7", &[]),
            "udp:192.0.2.1:40000 of 0",
            "never to the Contact: it may be behind NAT"
        );
        assert_eq!(of("sip:x@y", &["sip:192.0.2.5;lr"]), "udp:192.0.2.5:5060 of 0");
        assert_eq!(of("sip:x@y", &["sip:192.0.2.5:5070;transport=tcp;lr"]), "tcp:192.0.2.5:5070 of 1");
        assert_eq!(of("sip:x@y", &["sip:proxy.example;lr"]), "udp:192.0.2.1:40000 of 0", "a name: where it came from");
        assert_eq!(
            of("sip:x@y", &["sip:192.0.2.5;transport=tls;lr"]),
            "udp:192.0.2.1:40000 of 0",
            "no listener for it"
        );
    }

    #[test]
    fn an_open_connection_is_used_until_it_is_cut() {
        let mut dialog = dialog(Transport::Tcp, "sip:x@192.0.2.1:5062", &[]);
        assert_eq!(way(&dialog), "tcp:192.0.2.1:40000 of 0");
        dialog.cut_since = Some(Moment(1));
        assert_eq!(way(&dialog), "tcp:192.0.2.1:5062 of 0");
        dialog.came_by(Path { peer: ([192, 0, 2, 1], 40_002).into(), ..dialog.path });
        assert_eq!(way(&dialog), "tcp:192.0.2.1:40002 of 0");
    }

    #[test]
    fn a_strict_router_becomes_the_request_uri_and_the_target_the_last_route() {
        let of = |routes: &[&str]| {
            let request = dialog(Transport::Udp, "sip:x@y", routes).request(Method::Bye, &rules());
            let routes: Vec<_> = request.headers.all("Route").map(|route| route.into_owned()).collect();
            (request.uri, routes)
        };
        assert_eq!(
            of(&["sip:p1;lr", "sip:p2;lr"]),
            ("sip:x@y".into(), vec!["<sip:p1;lr>".into(), "<sip:p2;lr>".into()])
        );
        assert_eq!(of(&["sip:p1", "sip:p2;lr"]), ("sip:p1".into(), vec!["<sip:p2;lr>".into(), "<sip:x@y>".into()]));
    }
}
