//! RTP as pure values: packets, RTCP, G.711, telephone-event, reception statistics.
