//! The seeds: real messages in `corpus/`, and the torture messages of RFC 4475 and RFC 5118.

use crate::notation::bytes_of;
use crate::table::ROWS;

/// Messages as phones and carriers send them; the notation is the torture messages'.
const REAL: [&str; 10] = [
    include_str!("corpus/carrier-invite.sip"),
    include_str!("corpus/carrier-invite-location.sip"),
    include_str!("corpus/phone-invite.sip"),
    include_str!("corpus/phone-register.sip"),
    include_str!("corpus/phone-refer.sip"),
    include_str!("corpus/phone-subscribe.sip"),
    include_str!("corpus/phone-info.sip"),
    include_str!("corpus/phone-ringing.sip"),
    include_str!("corpus/phone-ok.sip"),
    include_str!("corpus/carrier-bye.sip"),
];

/// SDPs as phones and carriers write them.
pub const SDPS: [&str; 5] = [
    "v=0\no=- 3868331676 3868331676 IN IP4 192.168.1.7\ns=a call\nb=AS:84\nt=0 0\na=X-nat:0\nm=audio 4002 RTP/AVP 98 8 0 97 101\n\
     c=IN IP4 192.168.1.7\nb=TIAS:64000\na=rtcp:4009 IN IP4 192.168.1.8\na=sendrecv\na=rtpmap:98 speex/16000\n\
     a=rtpmap:8 PCMA/8000\na=rtpmap:101 telephone-event/8000\na=fmtp:101 0-16\na=ptime:20\nm=video 4006 RTP/AVP 34\na=inactive\n",
    "v=0\no=carrier 1 1 IN IP6 2001:db8::20\ns=-\nc=IN IP6 2001:db8::20\nt=0 0\nm=audio 6000 RTP/AVP 8\na=maxptime:40\n",
    "v=0\no=- 0 0 IN IP4 0.0.0.0\ns=\nt=0 0\nm=audio 9 RTP/AVPF 0\nc=IN IP4 0.0.0.0\na=sendonly\n",
    "v=0\no=- 1 2 IN IP4 h\ns=-\nt=0 0\na=recvonly\nm=audio 0 RTP/SAVP 8\nm=image 5 udptl t38\nm=audio 5004/2 RTP/AVP 96\n\
     c=IN IP4 224.2.1.1/127/3\na=rtpmap:96 pcmu/8000/1\n",
    "v=0\no=- 5 5 IN IP4 10.1.1.1\ns=-\nc=IN IP4 10.1.1.1\nt=0 0\nm=audio 7000 RTP/AVP 96 9 97 0 101 110\n\
     a=rtpmap:96 opus/48000/2\na=fmtp:96 maxplaybackrate=16000;stereo=1;useinbandfec=1\na=rtpmap:9 G722/16000\n\
     a=rtpmap:97 AMR-WB/16000\na=rtpmap:101 telephone-event/8000\na=rtpmap:110 telephone-event/48000\na=ptime:40\n",
];

/// Every seed's exact bytes.
pub fn messages() -> Vec<Vec<u8>> {
    REAL.iter().copied().chain(ROWS.iter().map(|row| row.text)).map(bytes_of).collect()
}
