//! SIP as pure values: messages, SDP, digest, and RFC 3261's transaction machines.
