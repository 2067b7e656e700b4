//! The demo phone's one dialog (RFC 3261 §12).

use std::net::SocketAddr;

use bytes::Bytes;

use super::PhoneSetup;
use crate::model::Chance;
use crate::sip::{ClientKey, Method, Request, Response, ServerKey};

/// A call of the phone's, from its INVITE on.
pub struct Dialog {
    /// The INVITE, ours or the server's.
    pub request: Request,
    /// Our tag.
    pub local_tag: String,
    /// Whether the 2xx came or went.
    pub is_established: bool,
    /// The transaction of the server's INVITE.
    pub incoming_key: Option<ServerKey>,
    local: String,
    remote: String,
    call_id: String,
    target: String,
    cseq: u32,
    invite: Option<Request>,
}

impl Dialog {
    /// A call that we make.
    pub fn outgoing(setup: &PhoneSetup, local: SocketAddr, number: &str, chance: &mut Chance) -> Dialog {
        let local_tag = chance.token();
        let mut request = Request::new(Method::Invite, format!("sip:{number}@{}", setup.server));
        request.headers.push("Contact", format!("<sip:{}@{local}>", setup.identity));
        let from = format!("\"{}\" <sip:{}@{}>;tag={local_tag}", setup.name, setup.identity, local.ip());
        let remote = format!("<sip:{number}@{}>", setup.server.ip());
        Dialog {
            local: from,
            remote,
            call_id: format!("{}@{}", chance.token(), local.ip()),
            target: request.uri.clone(),
            cseq: 1,
            request,
            local_tag,
            is_established: false,
            incoming_key: None,
            invite: None,
        }
    }

    /// A call that the server makes to us.
    pub fn incoming(request: &Request, local_tag: &str) -> Dialog {
        let text = |name: &str| request.headers.first(name).map(std::borrow::Cow::into_owned).unwrap_or_default();
        let contact = request.headers.contacts().ok();
        let target = match contact {
            Some(crate::sip::Contacts::List(list)) => list.first().map(|one| one.address.uri.clone()),
            Some(crate::sip::Contacts::Everything) | None => None,
        };
        Dialog {
            local: format!("{};tag={local_tag}", text("To")),
            remote: text("From"),
            call_id: text("Call-ID"),
            target: target.unwrap_or_else(|| request.uri.clone()),
            cseq: 1,
            request: request.clone(),
            local_tag: local_tag.to_owned(),
            // From our 200 on; a BYE before it does not happen in the demo.
            is_established: true,
            incoming_key: None,
            invite: None,
        }
    }

    /// The INVITE of a call that we make.
    pub fn invite(&self, branch: &str, offer: Bytes) -> Request {
        let mut invite = self.request.clone();
        let via_host = self.contact_host();
        invite.headers.push("Via", format!("SIP/2.0/UDP {via_host};rport;branch={branch}"));
        self.push_dialog(&mut invite, &Method::Invite);
        invite.headers.push("Content-Type", "application/sdp");
        invite.body = offer;
        invite
    }

    fn contact_host(&self) -> String {
        let contact = self.request.headers.first("Contact").map(std::borrow::Cow::into_owned).unwrap_or_default();
        contact.rsplit_once('@').map_or_else(String::new, |(_, host)| host.trim_end_matches('>').to_owned())
    }

    fn push_dialog(&self, request: &mut Request, method: &Method) {
        request.headers.push("Max-Forwards", "70");
        request.headers.push("From", self.local.clone());
        request.headers.push("To", self.remote.clone());
        request.headers.push("Call-ID", self.call_id.clone());
        request.headers.push("CSeq", format!("{} {}", self.cseq, method.as_str()));
    }

    /// The transaction of our INVITE, once it was sent.
    pub fn outgoing_key(&self) -> Option<ClientKey> {
        self.invite.as_ref().map(ClientKey::of)
    }

    /// Keeps the INVITE as sent, so that it can be cancelled.
    pub fn sent(&mut self, invite: Request) {
        self.invite = Some(invite);
    }

    /// The 2xx came.
    pub fn establish(&mut self, response: &Response) {
        self.is_established = true;
        if let Some(to) = response.headers.first("To") {
            self.remote = to.into_owned();
        }
        if let Ok(crate::sip::Contacts::List(list)) = response.headers.contacts()
            && let Some(one) = list.first()
        {
            self.target = one.address.uri.clone();
        }
    }

    /// The ACK of the 2xx.
    pub fn ack(&self, local: SocketAddr, branch: &str) -> Request {
        self.within(Method::Ack, local, branch)
    }

    /// The BYE.
    pub fn bye(&mut self, local: SocketAddr, branch: &str) -> Request {
        self.cseq += 1;
        self.within(Method::Bye, local, branch)
    }

    fn within(&self, method: Method, local: SocketAddr, branch: &str) -> Request {
        let mut request = Request::new(method.clone(), self.target.clone());
        request.headers.push("Via", format!("SIP/2.0/UDP {local};rport;branch={branch}"));
        self.push_dialog(&mut request, &method);
        request
    }
}
