//! What the user agent is built with: names, addresses and bounds, mapped by `app` from the settings.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::model::centre::{BanRules, DigestChoice};
use crate::model::{Codec, Transport};

/// The user agent's rules; none changes while it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The digest realm; also the domain of our From.
    pub realm: String,
    /// By the index in [`crate::model::Path`].
    pub listeners: Vec<Listener>,
    /// Written into SDP in place of the media plane's own address, on legs of its kind (IPv4 or IPv6).
    pub media_advertised: Option<IpAddr>,
    /// The codecs that phones are offered and may speak, the preferred one first.
    pub codecs: Vec<Codec>,
    /// The digest algorithms that each listener offers, by the same index; what is missing offers both.
    pub digests: Vec<DigestChoice>,
    /// Shortest registration granted; a shorter wish gets 423.
    pub expires_min: Duration,
    /// Longest registration granted; also what a REGISTER without a wish gets.
    pub expires_max: Duration,
    /// How long a digest nonce is good for.
    pub nonce_lifetime: Duration,
    /// Devices a regulator may register at once; one more replaces the one that was refreshed longest ago.
    pub devices_max: usize,
    /// How long a call goes on unrefreshed when the far end says nothing else (RFC 4028 §4).
    pub session_expires: Duration,
    /// The shortest such time that is taken; a shorter wish gets 422.
    pub session_expires_min: Duration,
    /// Live legs at once; one more is refused with 503.
    pub legs_max: usize,
    /// Live calls over all trunks; one more is refused with 503.
    pub calls_max: usize,
    /// Lines of this priority or a more urgent one have the last tenth of the calls to themselves; 0 is none.
    pub urgent_priority: u8,
    /// Registrations and calls that one account may ask for a second, with a burst of as many; more get 503.
    pub account_rate_max: u32,
    /// When who fails too often is banned.
    pub bans: BanRules,
    /// Server and User-Agent: `Vigie/0.1.0`.
    pub software: String,
}

/// One listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// What it carries.
    pub transport: Transport,
    /// What it is called in Via and Contact: the advertised address.
    pub address: SocketAddr,
}

/// The timer that others are multiples of (RFC 3261 §17.1.1.1).
pub const T1: Duration = Duration::from_millis(500);
/// The longest interval between two retransmissions of a 200 (RFC 3261 §13.3.1.4).
pub const T2: Duration = Duration::from_secs(4);
/// How long a 200 is repeated, a lost message waited for, an ended leg remembered: 64·T1.
pub const PATIENCE: Duration = Duration::from_secs(32);
/// How often a far end on hold is asked whether it is still there; longer than [`PATIENCE`], so that one asking is
/// settled before the next.
pub const HOLD_PROBE_EVERY: Duration = Duration::from_secs(45);
/// How often a far end on hold is asked while the connection to it is gone: as a phone tries to come back (RFC 5626 §4.5).
pub const CUT_PROBE_EVERY: Duration = Duration::from_secs(5);
/// How long a dialled device may give no sign of life: the INVITE has gone out four times by then, and a phone that
/// lives sends its 100 within 200 ms (RFC 3261 §17.2.1). A caller must not wait longer for a phone that is dead.
pub const SIGN_OF_LIFE_MAX: Duration = Duration::from_secs(5);
/// Nonces whose counts are kept: one a device and refresh; with more, the oldest turn stale.
pub const NONCES_MAX: usize = 8192;
/// Registered devices in all: no centre has a fraction of it, and a stolen password cannot fill the memory.
pub const BINDINGS_MAX: usize = 16_384;
/// Contacts that one REGISTER may carry.
pub const CONTACTS_MAX: usize = 8;
/// The longest URI kept of a peer (a Contact, a Route), in bytes.
pub const URI_LENGTH_MAX: usize = 512;
/// Routes kept of a Record-Route: no real path has more proxies.
pub const ROUTES_MAX: usize = 16;
/// The longest header value of a peer that is kept (a Call-ID, a tag, a display name), in bytes.
pub const TEXT_LENGTH_MAX: usize = 256;
/// Ended legs remembered at once, so that late messages still find them; with more, the oldest are forgotten early.
pub const ENDED_LEGS_MAX: usize = 4096;
/// Seconds after which a refused call may be tried again (RFC 3261 §20.33).
pub const RETRY_AFTER_S: u32 = 5;
/// Calls refused for the same reason are told once in so long.
pub const ALARM_EVERY: Duration = Duration::from_secs(60);
/// What a 200 or a 405 lists as allowed.
pub const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, PRACK, UPDATE, INFO, REFER, SUBSCRIBE, NOTIFY";
/// The extensions that are spoken (RFC 3262, RFC 4028, RFC 3891, RFC 4488); what else is required gets 420.
pub const SUPPORTED: &str = "100rel, timer, replaces, norefersub";
/// Those that our requests within a dialog name: no reliable 18x to a re-INVITE is wanted.
pub const SUPPORTED_WITHIN: &str = "timer, replaces, norefersub";
/// Shortest subscription granted; a shorter wish gets 423.
pub const SUBSCRIPTION_MIN: Duration = Duration::from_secs(60);
/// Longest subscription granted: a lamp whose phone was lost or whose connection was cut is dark no longer than this.
pub const SUBSCRIPTION_MAX: Duration = Duration::from_secs(600);
/// Subscriptions in all, at some 2 kB each: a hundred regulators who watch eighty others.
pub const SUBSCRIPTIONS_MAX: usize = 8192;
/// Subscriptions of one regulator: a panel of fifty lamps on each of five devices.
pub const SUBSCRIPTIONS_EACH_MAX: usize = 256;
/// Seconds after which a subscription that found no room may be tried again.
pub const SUBSCRIBE_AFTER_S: u32 = 60;
/// The event packages that may be subscribed to (RFC 6665 §8.2.2): RFC 4235, and within a call RFC 3515.
pub const ALLOW_EVENTS: &str = "dialog, refer";
/// The shortest interval of a session timer that its standard allows (RFC 4028 §5).
pub const SESSION_EXPIRES_MIN: Duration = Duration::from_secs(90);
/// The type of the bodies that we write.
pub const ACCEPT: &str = "application/sdp";
/// The bodies that an answer to OPTIONS, or a 415, says can be read.
pub const ACCEPTED: &str = "application/sdp, application/pidf+xml, multipart/mixed, multipart/related";
/// The same without what only holds others.
pub const READABLE: [&str; 2] = ["application/sdp", "application/pidf+xml"];

impl Rules {
    /// Listener `index`.
    pub fn listener(&self, index: u8) -> Option<Listener> {
        self.listeners.get(index as usize).copied()
    }
}

impl Default for Rules {
    /// For one listener on loopback.
    fn default() -> Rules {
        Rules {
            realm: "vigie".to_owned(),
            listeners: vec![Listener { transport: Transport::Udp, address: SocketAddr::from(([127, 0, 0, 1], 5060)) }],
            media_advertised: None,
            codecs: Codec::USUAL.to_vec(),
            digests: Vec::new(),
            expires_min: Duration::from_secs(30),
            expires_max: Duration::from_secs(600),
            nonce_lifetime: Duration::from_secs(300),
            devices_max: 5,
            session_expires: Duration::from_secs(1800),
            session_expires_min: SESSION_EXPIRES_MIN,
            legs_max: 4000,
            calls_max: 2000,
            urgent_priority: 2,
            account_rate_max: 64,
            bans: BanRules::default(),
            software: concat!("Vigie/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}
