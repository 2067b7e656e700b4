//! The regulators' registrations: one REGISTER each, with digest.

use std::net::SocketAddr;

use super::setup::CallNews;
use crate::model::Chance;
use crate::sip::digest::{Authorization, Challenge, Login};
use crate::sip::{ClientKey, Method, Request, Response};

/// How long they register for, in seconds: longer than a run.
const REGISTRATION_S: u32 = 3600;

struct Account {
    user: String,
    password: String,
    cseq: u32,
    /// A challenge was answered: a second one means a wrong password.
    has_answered: bool,
}

/// Every regulator that registers.
pub struct Registrations {
    run: u32,
    server: SocketAddr,
    local: SocketAddr,
    accounts: Vec<Account>,
    /// The next one to send, and whether it is to leave.
    next: usize,
    leaving: bool,
}

impl Registrations {
    /// Nobody is registered yet.
    pub fn new(run: u32, server: SocketAddr, local: SocketAddr, accounts: Vec<(String, String)>) -> Registrations {
        let account = |(user, password)| Account { user, password, cseq: 0, has_answered: false };
        let accounts = accounts.into_iter().map(account).collect();
        Registrations { run, server, local, accounts, next: 0, leaving: false }
    }

    /// The next regulator's REGISTER.
    pub fn next(&mut self, leaving: bool, chance: &mut Chance) -> Option<Request> {
        if leaving && !self.leaving {
            (self.leaving, self.next) = (true, 0);
        }
        let index = self.next;
        let account = self.accounts.get_mut(index)?;
        self.next += 1;
        account.has_answered = false;
        self.register(index, None, chance)
    }

    /// Takes an answer; the next try when a challenge is to be answered.
    pub fn take(&mut self, response: &Response, news: &mut Vec<CallNews>, chance: &mut Chance) -> Option<Request> {
        let call_id = response.headers.call_id()?;
        let index: usize = call_id.split_once('@')?.0.rsplit_once('-')?.1.parse().ok()?;
        let account = self.accounts.get_mut(index)?;
        if response.is_success() {
            news.push(if self.leaving { CallNews::Unregistered } else { CallNews::Registered });
            return None;
        }
        let challenge = response.headers.auth_params("WWW-Authenticate").iter().find_map(Challenge::read);
        let challenge = challenge.filter(|_| response.status == 401 && !account.has_answered);
        let Some(challenge) = challenge else {
            let why = format!("{}'s REGISTER was answered {} {}", account.user, response.status, response.reason);
            news.push(CallNews::NotRegistered { why });
            return None;
        };
        account.has_answered = true;
        let login = Login { user: &account.user, password: &account.password };
        let uri = format!("sip:{}", self.server.ip());
        let answer = Authorization::answer(&challenge, &login, &Method::Register, &uri, (&chance.token(), 1));
        self.register(index, Some(answer.to_string()), chance)
    }

    /// Why a registration failed whose REGISTER was not answered; `None` when it is no REGISTER.
    pub fn time_out(&self, key: &ClientKey) -> Option<String> {
        (key.method() == Method::Register).then(|| "a REGISTER was not answered".to_owned())
    }

    fn register(&mut self, index: usize, authorization: Option<String>, chance: &mut Chance) -> Option<Request> {
        let account = self.accounts.get_mut(index)?;
        account.cseq += 1;
        let (user, host, local) = (&account.user, self.server.ip(), self.local);
        let mut request = Request::new(Method::Register, format!("sip:{host}"));
        let headers = &mut request.headers;
        headers.push("Via", format!("SIP/2.0/UDP {local};rport;branch=z9hG4bK{}", chance.token()));
        headers.push("Max-Forwards", "70");
        headers.push("From", format!("<sip:{user}@{host}>;tag={}", chance.token()));
        headers.push("To", format!("<sip:{user}@{host}>"));
        headers.push("Call-ID", format!("load-{:08x}-register-{index}@{}", self.run, local.ip()));
        headers.push("CSeq", format!("{} REGISTER", account.cseq));
        headers.push("Contact", format!("<sip:{user}@{local}>"));
        headers.push("Expires", if self.leaving { 0 } else { REGISTRATION_S }.to_string());
        headers.push("User-Agent", "vigie load");
        if let Some(authorization) = authorization {
            headers.push("Authorization", authorization);
        }
        Some(request)
    }
}
