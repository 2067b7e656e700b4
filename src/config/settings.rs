//! Every setting, checked: what the parts are built from.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::archive::ArchiveSettings;
use super::certificates::TlsSettings;
use super::encryption::EncryptionSettings;
use crate::model::centre::{BanRules, DigestChoice};
use crate::model::{Centre, Codec, Transport, TrunkId};

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The file it was read from.
    pub file: PathBuf,
    /// This machine.
    pub node: NodeSettings,
    /// Signalling.
    pub sip: SipSettings,
    /// The media plane.
    pub media: MediaSettings,
    /// Recording.
    pub recording: RecordingSettings,
    /// The second place of recordings.
    pub archive: ArchiveSettings,
    /// Roots over the seal log, and who stamps them.
    pub proof: ProofSettings,
    /// The database.
    pub storage: StorageSettings,
    /// The HTTP door.
    pub web: WebSettings,
    /// Who takes recordings, and how many.
    pub access: AccessSettings,
    /// Where events go.
    pub dispatch: Vec<EndpointSettings>,
    /// The file that people are imported into; it may be missing.
    pub people: PathBuf,
    /// What routing knows.
    pub centre: Centre,
    /// The files of each trunk that has any.
    pub trunks: BTreeMap<TrunkId, TrunkFiles>,
}

/// The files of one trunk; what they hold is no part of the centre.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrunkFiles {
    /// Holds the password that the carrier gave, when it gave any.
    pub password: Option<PathBuf>,
    /// The certificates that may vouch for the carrier, PEM; without it the system's.
    pub ca: Option<PathBuf>,
    /// Our own certificate for a carrier that asks for one, PEM.
    pub certificate: Option<PathBuf>,
    /// Its key, PEM.
    pub key: Option<PathBuf>,
}

/// This machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSettings {
    /// Its name in seal logs and events.
    pub name: String,
    /// Holds the database, secrets and journal; made at the first start.
    pub state: PathBuf,
}

/// Signalling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipSettings {
    /// Listeners, in the order of their index in [`crate::model::Path`].
    pub listen: Vec<ListenerSettings>,
    /// Written into Via and Contact in place of the listener's own address (behind NAT, or with `0.0.0.0`).
    pub advertised: Option<IpAddr>,
    /// The digest realm; also the domain of our From.
    pub realm: String,
    /// Shortest registration granted; a shorter wish gets 423.
    pub expires_min: Duration,
    /// Longest registration granted.
    pub expires_max: Duration,
    /// How long a digest nonce is good for.
    pub nonce_lifetime: Duration,
    /// How long a call goes on unrefreshed when the far end asks nothing else (RFC 4028).
    pub session_expires: Duration,
    /// The shortest such time that is taken; a shorter wish gets 422.
    pub session_expires_min: Duration,
    /// Devices a regulator may register at once.
    pub devices_max: usize,
    /// Messages taken from one address that is no trunk, a second.
    pub source_rate_max: u32,
    /// Registrations and calls that one regulator's account may ask for, a second.
    pub account_rate_max: u32,
    /// The DNS servers that trunks' names are asked of; empty is the system's.
    pub nameservers: Vec<SocketAddr>,
    /// Connections at once from addresses that are no trunk's, over all listeners.
    pub connections_max: usize,
    /// A message that has begun on a connection must be whole after so long, and the first one after it was opened.
    pub message_duration_max: Duration,
    /// A connection on which nothing came for so long is closed.
    pub connection_idle_max: Duration,
    /// Calls at once, over all trunks.
    pub calls_max: usize,
    /// Lines of this priority or a more urgent one go first when there is too much; 0 is none.
    pub urgent_priority: u8,
    /// When who fails too often is banned.
    pub bans: BanRules,
}

/// One place where SIP is listened for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    /// What it carries.
    pub transport: Transport,
    /// The address; port 0 takes a free one.
    pub address: SocketAddr,
    /// Written into Via and Contact in place of it; without one, the general [`SipSettings::advertised`].
    pub advertised: Option<IpAddr>,
    /// The digest algorithms that may be offered on it; a regulator's own choice narrows them.
    pub digest: DigestChoice,
    /// The certificate of a TLS or WSS listener.
    pub tls: Option<TlsSettings>,
    /// Where the pages may come from whose browser opens a WebSocket, such as `https://desk.example`; besides these,
    /// pages of the host that the WebSocket is opened to.
    pub origins: Vec<String>,
    /// Connections at once from one address that is no trunk's.
    pub connections_per_source_max: usize,
}

impl ListenerSettings {
    /// A listener with the defaults of everything else.
    pub fn new(transport: Transport, address: SocketAddr) -> ListenerSettings {
        ListenerSettings {
            transport,
            address,
            advertised: None,
            digest: DigestChoice::Both,
            tls: None,
            origins: Vec::new(),
            connections_per_source_max: 128,
        }
    }

    /// The address that phones and carriers know it by: its own word, the general one when it is of the same kind
    /// (IPv4, IPv6), or the address that it is bound to.
    pub fn reached_at(&self, general: Option<IpAddr>) -> IpAddr {
        let own = self.address.ip();
        let general = general.filter(|general| general.is_ipv4() == own.is_ipv4());
        self.advertised.or(general).unwrap_or(own)
    }
}

/// The media plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaSettings {
    /// The address that RTP sockets bind to.
    pub address: IpAddr,
    /// Written into SDP in place of it.
    pub advertised: Option<IpAddr>,
    /// The codecs of phones, and of trunks that have no list of their own; the preferred one first, each once.
    pub codecs: Vec<Codec>,
    /// First and last UDP port (RTP takes the even ones).
    pub ports: (u16, u16),
    /// Media threads; 0 is one a core, at most 4.
    pub threads: usize,
    /// Without RTP for so long, outside hold, a leg ends.
    pub silence_max: Duration,
    /// Without RTP for so long, another port of the same address may latch.
    pub relatch_after: Duration,
    /// Where the rings of audio frames are: a tmpfs.
    pub ring_folder: PathBuf,
    /// Size of one thread's ring, in bytes.
    pub ring_bytes: u64,
}

/// Recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingSettings {
    /// The root of `YYYY/MM/DD/<call-id>/`.
    pub folder: PathBuf,
    /// How often the shared journal is brought to the disk for certain.
    pub sync_every: Duration,
    /// Size at which a journal segment ends, in bytes.
    pub segment_bytes: u64,
    /// Whether audio is encrypted at rest.
    pub encryption: EncryptionSettings,
    /// When the calls, events and files of the day before are compared, by the clock on the wall.
    pub reconcile_at: jiff::civil::Time,
}

/// What proves recordings beside their seals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofSettings {
    /// How often the seal log gets a root.
    pub root_every: Duration,
    /// Who stamps it with a time.
    pub authority: Option<AuthoritySettings>,
}

/// A time-stamping authority (RFC 3161).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthoritySettings {
    /// Where it is asked over HTTP.
    pub url: String,
    /// Its certificates, PEM: given along with exports.
    pub certificates: Option<PathBuf>,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// The database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageSettings {
    /// `sqlite:PATH`.
    pub url: String,
    /// How long SIP ladders are kept, in days.
    pub ladder_days: u32,
}

/// The HTTP door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSettings {
    /// Where it listens.
    pub listen: SocketAddr,
}

/// What somebody who takes recordings is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessSettings {
    /// So many different recordings taken with one token within the window raise an alarm.
    pub bulk_recordings: u32,
    /// The window.
    pub bulk_window: Duration,
}

impl Default for AccessSettings {
    /// As the sample says: a person who listens for quality hears some ten an hour.
    fn default() -> AccessSettings {
        AccessSettings { bulk_recordings: 30, bulk_window: Duration::from_secs(3600) }
    }
}

/// One dispatch endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSettings {
    /// Its name in logs, metrics and the API.
    pub id: String,
    /// Where events are posted.
    pub url: String,
    /// The file that holds its `whsec_…` secret; made at the first start when it is missing.
    pub secret_file: PathBuf,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// The event types it wants; empty is all.
    pub events: Vec<String>,
}
