//! SIP on one side, legs on the other: registrar, trunks, dialogs, SDP offer and answer.
