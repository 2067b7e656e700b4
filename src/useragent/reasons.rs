//! Why we hang up, as Reason tells it (RFC 3326; Q.850 causes for what telephone networks know).

use crate::model::EndedBy;
use crate::sip::Reason;

/// What our BYE says.
pub(super) fn reason_of_bye(why: EndedBy) -> Reason {
    match why {
        EndedBy::Caller | EndedBy::Regulator | EndedBy::Message | EndedBy::Operator => {
            reason("Q.850", 16, "Normal call clearing")
        }
        EndedBy::Refused => reason("Q.850", 21, "Call rejected"),
        EndedBy::NoAnswer => reason("Q.850", 19, "No answer from user"),
        EndedBy::AnsweredElsewhere => completed_elsewhere(),
        EndedBy::Silence => reason("SIP", 408, "No audio for too long"),
        EndedBy::NoAck => reason("SIP", 408, "No ACK"),
        EndedBy::DeviceLost => reason("SIP", 408, "Not answering or not refreshed"),
        EndedBy::Shutdown => reason("SIP", 503, "Shutting down"),
        EndedBy::Fault => reason("SIP", 500, "Internal error"),
    }
}

/// What our CANCEL says: without it, a phone lists a call that was answered at another one as missed.
pub(super) fn reason_of_cancel(why: EndedBy) -> Option<Reason> {
    (why == EndedBy::AnsweredElsewhere).then(completed_elsewhere)
}

/// What our BYE says to an SDP answer that is missing or has nothing that we speak.
pub(super) fn no_usable_sdp() -> Reason {
    reason("SIP", 488, "No usable SDP answer")
}

fn completed_elsewhere() -> Reason {
    reason("SIP", 200, "Call completed elsewhere")
}

fn reason(protocol: &str, cause: u16, text: &str) -> Reason {
    Reason { protocol: protocol.to_owned(), cause: Some(cause), text: Some(text.to_owned()) }
}
