//! One caller's dialog (RFC 3261 §12), from its INVITE on.

use std::net::SocketAddr;

use bytes::Bytes;

use super::numbered::LegName;
use super::sip::SipPlan;
use crate::model::Chance;
use crate::sip::sdp::LocalMedia;
use crate::sip::{ClientKey, Contacts, Method, Request, Response};

/// Callers are told apart by so many numbers: those kept for fiction from 06 39 98 00 00 on.
pub const CALLERS_MAX: u64 = 10_000;

impl SipPlan {
    /// The SIP Call-ID of a caller's leg.
    fn call_id(&self, index: u32) -> String {
        format!("load-{:08x}-{index}@{}", self.run, self.callers)
    }

    /// The caller's leg of a SIP Call-ID; `None` when it is not of this run.
    pub fn index_of(&self, call_id: &str) -> Option<u32> {
        let rest = call_id.strip_prefix("load-")?.strip_prefix(&format!("{:08x}-", self.run))?;
        rest.split_once('@')?.0.parse().ok()
    }
}

/// A call that a caller makes.
pub struct CallerDialog {
    /// Its leg.
    pub leg: LegName,
    /// Its side of the media.
    pub media: LocalMedia,
    /// A 2xx came.
    pub is_established: bool,
    /// The INVITE's transaction.
    pub key: Option<ClientKey>,
    local: SocketAddr,
    from: String,
    to: String,
    call_id: String,
    target: String,
    routes: Vec<String>,
    cseq: u32,
}

impl CallerDialog {
    /// A call that is not dialled yet.
    pub fn new(plan: &SipPlan, side: (LegName, LocalMedia), local: SocketAddr, chance: &mut Chance) -> CallerDialog {
        let (leg, media) = side;
        let number = plan.caller_first + u64::from(leg.index) % CALLERS_MAX;
        CallerDialog {
            leg,
            media,
            is_established: false,
            key: None,
            local,
            from: format!("<sip:+{number}@{}>;tag={}", local.ip(), chance.token()),
            to: format!("<sip:{}@{}>", plan.user, plan.server.ip()),
            call_id: plan.call_id(leg.index),
            target: format!("sip:{}@{}", plan.user, plan.server),
            routes: Vec::new(),
            cseq: 1,
        }
    }

    /// The INVITE.
    pub fn invite(&mut self, offer: Bytes, branch: &str) -> Request {
        let mut invite = self.request(Method::Invite, branch);
        invite.headers.push("Contact", format!("<sip:load@{}>", self.local));
        invite.headers.push("Allow", "INVITE, ACK, CANCEL, BYE, UPDATE, OPTIONS");
        invite.headers.push("User-Agent", "vigie load");
        invite.headers.push("Content-Type", "application/sdp");
        invite.body = offer;
        invite
    }

    /// The 2xx came.
    pub fn establish(&mut self, response: &Response) {
        self.is_established = true;
        if let Some(to) = response.headers.first("To") {
            self.to = to.into_owned();
        }
        if let Ok(Contacts::List(list)) = response.headers.contacts()
            && let Some(one) = list.first()
        {
            self.target = one.address.uri.clone();
        }
        self.routes = response.headers.all("Record-Route").map(|route| route.into_owned()).collect();
        self.routes.reverse();
    }

    /// The ACK of the 2xx.
    pub fn ack(&self, branch: &str) -> Request {
        self.request(Method::Ack, branch)
    }

    /// The BYE.
    pub fn bye(&mut self, branch: &str) -> Request {
        self.cseq += 1;
        self.request(Method::Bye, branch)
    }

    fn request(&self, method: Method, branch: &str) -> Request {
        let cseq = format!("{} {}", self.cseq, method.as_str());
        let mut request = Request::new(method, self.target.clone());
        let headers = &mut request.headers;
        headers.push("Via", format!("SIP/2.0/UDP {};rport;branch={branch}", self.local));
        for route in &self.routes {
            headers.push("Route", route.clone());
        }
        headers.push("Max-Forwards", "70");
        headers.push("From", self.from.clone());
        headers.push("To", self.to.clone());
        headers.push("Call-ID", self.call_id.clone());
        headers.push("CSeq", cseq);
        request
    }
}
