//! REGISTER (RFC 3261 §10.3): from an authenticated request to bindings and its answer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Chance, Now, Path, RegulatorId, Validity};
use crate::sip::{Contacts, NameAddr, Request, Response, Scheme, Uri};

use super::Effect;
use super::admission::{Admission, Gate, Proof};
use super::answer::{answer, date};
use super::bindings::{Bindings, Registration, Unbound, Wishes};
use super::incoming::check_required;
use super::rules::{CONTACTS_MAX, RETRY_AFTER_S, Rules, TEXT_LENGTH_MAX, URI_LENGTH_MAX};

/// RFC 3261 §10.3, step 7: what is asked for an hour or more is never too brief.
const HOUR_S: u64 = 3600;

/// The registrar: what is bound, and the chance that names devices.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Registrar {
    pub bindings: Bindings,
    chance: Chance,
}

/// Why a REGISTER cannot be granted.
enum Refused {
    Bad(&'static str),
    Brief,
    Unbound(Unbound),
}

impl Registrar {
    pub(super) fn new(chance: Chance) -> Registrar {
        Registrar { bindings: Bindings::default(), chance }
    }

    /// Answers a REGISTER that did not come from a trunk.
    pub(super) fn register(
        &mut self,
        (path, request): (Path, &Request),
        admission: &mut Admission,
        rules: &Rules,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Response {
        let claimed = user_of(request.headers.to()).unwrap_or_default();
        let proof = admission.prove((path, request), Gate::Registrar, now.moment);
        let regulator = match proof {
            Proof::Is(regulator) => regulator,
            Proof::Nothing | Proof::Stale => {
                let mut response = answer(request, Gate::Registrar.status(), rules);
                let is_stale = proof == Proof::Stale;
                admission.challenge(&mut response, Gate::Registrar, (path, &claimed, is_stale), now.moment);
                return response;
            }
        };
        // RFC 3261 §10.3, step 2.
        if let Err(refusal) = check_required(request) {
            return refusal.response(request, rules);
        }
        // RFC 3261 §10.3, step 4: nobody binds a device to somebody else's name.
        if regulator.as_str() != claimed || user_of(request.headers.from()).as_deref() != Some(regulator.as_str()) {
            return answer(request, 403, rules);
        }
        let left = match admission.validity(&regulator, now.utc) {
            Validity::Always => Duration::MAX,
            Validity::For(left) => left,
            Validity::Not => {
                let mut response = answer(request, 403, rules);
                response.reason = "Account Not Good Now".to_owned();
                return response;
            }
        };
        let asked = read(request, path, &regulator, rules);
        let applied = asked.and_then(|mut asked| {
            asked.end_within(left);
            let devices_max = rules.devices_max;
            self.bindings.apply(&asked, devices_max, &mut self.chance, now, out).map_err(Refused::Unbound)
        });
        match applied {
            Ok(()) => self.list(request, &regulator, rules, now),
            Err(Refused::Bad(why)) => {
                let mut response = answer(request, 400, rules);
                response.reason = why.to_owned();
                response
            }
            Err(Refused::Brief) => {
                let mut response = answer(request, 423, rules);
                response.headers.push("Min-Expires", rules.expires_min.as_secs().to_string());
                response
            }
            Err(Refused::Unbound(Unbound::OutOfOrder)) => answer(request, 500, rules),
            Err(Refused::Unbound(Unbound::Full)) => {
                let mut response = answer(request, 503, rules);
                response.headers.push("Retry-After", RETRY_AFTER_S.to_string());
                response
            }
        }
    }

    /// RFC 3261 §10.3, step 8: every binding with what is left of it.
    fn list(&self, request: &Request, regulator: &RegulatorId, rules: &Rules, now: Now) -> Response {
        let mut response = answer(request, 200, rules);
        for device in self.bindings.of(regulator) {
            let contact = format!("<{}>;expires={}", device.binding.contact, device.expires_s(now.utc));
            response.headers.push("Contact", contact);
        }
        response.headers.push("Date", date(now.utc));
        response
    }
}

/// The user that an address of record names.
pub(super) fn user_of(address: Option<NameAddr>) -> Option<String> {
    address?.to_uri()?.user_decoded().filter(|user| !user.is_empty())
}

fn read(request: &Request, path: Path, regulator: &RegulatorId, rules: &Rules) -> Result<Registration, Refused> {
    let headers = &request.headers;
    let sip_call_id = headers.call_id().map(|id| id.into_owned()).unwrap_or_default();
    if sip_call_id.len() > TEXT_LENGTH_MAX {
        return Err(Refused::Bad("Call-ID too long"));
    }
    let wishes = match headers.contacts().map_err(|_| Refused::Bad("Bad Contact"))? {
        // RFC 3261 §10.2.2: the star goes with Expires 0 only.
        Contacts::Everything if headers.expires() != Some(0) => return Err(Refused::Bad("Contact * needs Expires 0")),
        Contacts::Everything => Wishes::RemoveAll,
        Contacts::List(list) if list.len() > CONTACTS_MAX => return Err(Refused::Bad("Too many Contacts")),
        Contacts::List(list) => {
            let wished = |contact: &crate::sip::Contact| {
                let uri = contact.address.uri.clone();
                // RFC 3261 §26.2.2: who wants every hop secure must have come so itself.
                let is_sip = Uri::parse(&uri).is_some_and(|u| match u.scheme {
                    Scheme::Sip => true,
                    Scheme::Sips => path.transport.is_secure(),
                    Scheme::Tel | Scheme::Other(_) => false,
                });
                if !is_sip || uri.len() > URI_LENGTH_MAX {
                    return Err(Refused::Bad("Contact must be a sip: URI"));
                }
                Ok((uri, granted(contact.expires().or(headers.expires()), rules)?))
            };
            Wishes::Contacts(list.iter().map(wished).collect::<Result<_, _>>()?)
        }
    };
    let user_agent = headers.first("User-Agent").map(|text| text.chars().take(TEXT_LENGTH_MAX).collect());
    let cseq = headers.cseq().map_or(0, |cseq| cseq.number);
    Ok(Registration { regulator: regulator.clone(), path, sip_call_id, cseq, user_agent, wishes })
}

/// How long a wish is granted for; without a wish, the longest.
fn granted(wish_s: Option<u32>, rules: &Rules) -> Result<Duration, Refused> {
    let Some(wish_s) = wish_s else { return Ok(rules.expires_max) };
    let wish = Duration::from_secs(u64::from(wish_s));
    let least = rules.expires_min.min(Duration::from_secs(HOUR_S));
    if !wish.is_zero() && wish < least {
        return Err(Refused::Brief);
    }
    Ok(wish.min(rules.expires_max))
}
