//! SRTP of a test phone (RFC 4568): a key of its own, and the server's as its SDP says. What proves Vigie's own SRTP is
//! that of others: baresip, pjsua2 and ffmpeg.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use vigie::model::srtp::{MasterKey, Profile};
use vigie::rtp::srtp::{BUFFER_BYTES, Incoming, Outgoing};

/// Both ways of one phone.
pub struct Shield {
    profile: Profile,
    key: String,
    protects: Outgoing,
    opens: Option<(String, Incoming)>,
}

impl Shield {
    /// With a key of its own.
    pub fn new(profile: Profile) -> Shield {
        let mut bytes = vec![0; 16 + profile.salt_bytes()];
        getrandom::fill(&mut bytes).expect("random numbers");
        let key = MasterKey::new(profile, &bytes).expect("a key");
        Shield { profile, key: STANDARD.encode(&bytes), protects: Outgoing::new(key), opens: None }
    }

    /// Its line in our SDP.
    pub fn line(&self) -> String {
        format!("a=crypto:1 {} inline:{}\r\n", self.profile.name(), self.key)
    }

    /// Takes the server's key; the same one again changes nothing.
    pub fn agree(&mut self, sdp: &str) {
        let begin = format!("a=crypto:1 {} inline:", self.profile.name());
        let line = sdp.lines().find_map(|line| line.strip_prefix(begin.as_str()));
        let key = line.map(|rest| rest.split(['|', ' ']).next().unwrap_or_default().trim().to_owned());
        let Some(key) = key.filter(|key| self.opens.as_ref().is_none_or(|(known, _)| known != key)) else { return };
        let bytes = STANDARD.decode(&key).expect("the server's key in base64");
        let master = MasterKey::new(self.profile, &bytes).expect("the server's key");
        self.opens = Some((key, Incoming::new(master)));
    }

    /// The packet as it goes onto the wire.
    pub fn protect(&mut self, packet: Vec<u8>) -> Vec<u8> {
        let mut buffer = [0; BUFFER_BYTES];
        buffer[..packet.len()].copy_from_slice(&packet);
        let length = self.protects.protect(&mut buffer, packet.len()).expect("protected");
        buffer[..length].to_vec()
    }

    /// What came, in clear; nothing when it is not the server's.
    pub fn open(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let mut packet = packet.to_vec();
        let length = self.opens.as_mut()?.1.open(&mut packet).ok()?;
        packet.truncate(length);
        Some(packet)
    }
}
