//! Session timers (RFC 4028): how long a dialog lives unrefreshed, who refreshes it, and what both sides say of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::Moment;
use crate::sip::{Refresher, Request, Response, SessionExpires};

use super::incoming::Refusal;
use super::rules::{PATIENCE, Rules, SESSION_EXPIRES_MIN};

/// How long a dialog lives unrefreshed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lifetime {
    /// As agreed on.
    pub interval: Duration,
    /// When we refresh; nothing when the far end does, or while ours is on its way.
    pub refresh_at: Option<Moment>,
    /// When it is over.
    pub ends_at: Moment,
}

impl Lifetime {
    fn new(interval_s: u32, is_ours: bool, now: Moment) -> Lifetime {
        // What is shorter than any standard allows would have us refresh without end.
        let interval = Duration::from_secs(u64::from(interval_s)).max(SESSION_EXPIRES_MIN);
        match is_ours {
            // RFC 4028 §7.4: at half the interval.
            true => Lifetime { interval, refresh_at: Some(now + interval / 2), ends_at: now + interval },
            // RFC 4028 §10: who waits gives up a little before the end.
            false => {
                let ends_at = now + (interval - PATIENCE.min(interval / 3));
                Lifetime { interval, refresh_at: None, ends_at }
            }
        }
    }

    /// What a 2xx to a request of ours agrees to (RFC 4028 §7.2); nothing when it says nothing.
    pub(super) fn answered(ok: &Response, now: Moment) -> Option<Lifetime> {
        let agreed = ok.headers.session_expires()?;
        let is_ours = match agreed.refresher {
            Some(Refresher::Uac) | None => true,
            Some(Refresher::Uas) => false,
        };
        Some(Lifetime::new(agreed.interval_s, is_ours, now))
    }

    /// What our 2xx has granted.
    pub(super) fn granted(granted: SessionExpires, now: Moment) -> Lifetime {
        Lifetime::new(granted.interval_s, granted.refresher == Some(Refresher::Uas), now)
    }

    /// When it wants the clock.
    pub(super) fn deadline(&self) -> Moment {
        self.refresh_at.map_or(self.ends_at, |at| at.min(self.ends_at))
    }
}

/// What an INVITE or UPDATE of the far end may have (RFC 4028 §9): 422 when it wants too little and would understand
/// it; 400 when it cannot be read, for a call must not end at a time that its far end never agreed to; nothing when
/// neither it nor anyone on its way wants a timer.
pub(super) fn weigh(request: &Request, rules: &Rules) -> Result<Option<SessionExpires>, Refusal> {
    let headers = &request.headers;
    let knows_timer = headers.has_token("Supported", "timer") || headers.has_token("Require", "timer");
    let asked = headers.session_expires();
    if asked.is_none() && headers.has("Session-Expires") {
        return Err(Refusal::because(400, "Bad Session-Expires"));
    }
    if headers.min_se().is_none() && headers.has("Min-SE") {
        return Err(Refusal::because(400, "Bad Min-SE"));
    }
    let least_s = rules.session_expires_min.as_secs() as u32;
    if asked.is_some_and(|asked| asked.interval_s < least_s) && knows_timer {
        return Err(Refusal::with(422, "Min-SE", least_s.to_string()));
    }
    if asked.is_none() && !knows_timer {
        return Ok(None);
    }
    let ours_s = (rules.session_expires.as_secs() as u32).max(headers.min_se().unwrap_or(0));
    let interval_s = asked.map_or(ours_s, |asked| asked.interval_s).max(least_s);
    // Whoever knows timers refreshes by itself, unless it wants us to.
    let refresher = match asked.and_then(|asked| asked.refresher) {
        Some(wanted) if knows_timer => wanted,
        None if knows_timer => Refresher::Uac,
        Some(_) | None => Refresher::Uas,
    };
    Ok(Some(SessionExpires { interval_s, refresher: Some(refresher) }))
}

/// Writes what was granted into our 2xx (RFC 4028 §9).
pub(super) fn grant(ok: &mut Response, granted: Option<SessionExpires>) {
    let Some(granted) = granted else { return };
    if granted.refresher == Some(Refresher::Uac) {
        ok.headers.push("Require", "timer");
    }
    ok.headers.push("Session-Expires", granted.to_string());
}

/// Asks for a timer in a request of ours (RFC 4028 §7.1); a Min-SE below the standard's own need not be told (§5).
pub(super) fn ask(request: &mut Request, interval: Duration, least: Duration) {
    request.headers.set("Session-Expires", interval.max(least).as_secs().to_string());
    if least > SESSION_EXPIRES_MIN {
        request.headers.set("Min-SE", least.as_secs().to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Method;

    fn asking(lines: &[(&'static str, &'static str)]) -> Request {
        let mut request = Request::new(Method::Invite, "sip:x".to_owned());
        for (name, value) in lines {
            request.headers.push(name, *value);
        }
        request
    }

    #[test]
    fn whoever_knows_timers_refreshes_by_itself() {
        let rules = Rules::default();
        let of = |lines| weigh(&asking(lines), &rules).ok().flatten().map(|granted| granted.to_string());
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("Supported", "timer")]).as_deref(), Some("1800;refresher=uac"));
        let asked = [("Supported", "timer"), ("Session-Expires", "600;refresher=uas")];
        assert_eq!(of(&asked).as_deref(), Some("600;refresher=uas"));
        assert_eq!(of(&[("Session-Expires", "40")]).as_deref(), Some("90;refresher=uas"), "no 422 without `timer`");
        assert_eq!(of(&[("Supported", "timer"), ("Min-SE", "3600")]).as_deref(), Some("3600;refresher=uac"));
        assert!(
            weigh(&asking(&[("k", "timer"), ("Supported", "timer"), ("x", "1"), ("Session-Expires", "89")]), &rules)
                .is_err()
        );
    }

    #[test]
    fn a_time_that_cannot_be_read_is_refused_and_not_passed_over() {
        for (name, phrase) in [("Session-Expires", "400 Bad Session-Expires"), ("Min-SE", "400 Bad Min-SE")] {
            for value in ["abc", "-1", "99999999999", "", ";refresher=uac", "90.5"] {
                let request = asking(&[("Supported", "timer"), (name, value)]);
                let refusal = weigh(&request, &Rules::default()).expect_err("refused");
                let response = refusal.response(&request, &Rules::default());
                assert_eq!(format!("{} {}", response.status, response.reason), phrase, "{value}");
            }
        }
    }

    #[test]
    fn who_waits_for_refreshes_gives_up_a_little_before_the_end() {
        let granted = |text| Lifetime::granted(SessionExpires::parse(text).expect("valid"), Moment(0));
        assert_eq!(granted("90;refresher=uac").deadline(), Moment(60_000_000));
        assert_eq!(granted("1800;refresher=uac").deadline(), Moment(1_768_000_000));
        let ours = granted("1800;refresher=uas");
        assert_eq!((ours.refresh_at, ours.ends_at), (Some(Moment(900_000_000)), Moment(1_800_000_000)));
        assert_eq!(granted("1;refresher=uas").interval, SESSION_EXPIRES_MIN);
    }
}
