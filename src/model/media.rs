//! Media in the decisions' words: what a leg's far end said in its SDP, what the media plane is asked, what it reports.
#![allow(missing_docs, reason = "a variant's sentence names its fields")]

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::ids::{LegId, SoundId};
use super::srtp::Crypto;

/// A codec that Vigie speaks (RFC 3551 §6; RFC 7587).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Codec {
    /// G.711 A-law: 8000 samples a second.
    Pcma,
    /// G.711 µ-law: 8000 samples a second.
    Pcmu,
    /// G.722 at 64 kbit/s: 16,000 samples a second, though its RTP clock counts 8000 (RFC 3551 §4.5.2).
    G722,
    /// Opus, mono: decoded to 48,000 samples a second, as its RTP clock counts (RFC 7587 §4.1).
    Opus,
}

impl Codec {
    /// Every codec, the narrowest first.
    pub const ALL: [Codec; 4] = [Codec::Pcma, Codec::Pcmu, Codec::G722, Codec::Opus];
    /// What is spoken unless the settings say otherwise, the preferred one first (decision 24).
    pub const USUAL: [Codec; 4] = [Codec::G722, Codec::Opus, Codec::Pcma, Codec::Pcmu];

    /// The payload type that we offer: the static one, or for Opus a dynamic one, as phones do by custom.
    pub fn payload_type(self) -> u8 {
        match self {
            Codec::Pcma => 8,
            Codec::Pcmu => 0,
            Codec::G722 => 9,
            Codec::Opus => 111,
        }
    }

    /// The static payload type (RFC 3551 §6), which needs no map.
    pub fn static_payload_type(self) -> Option<u8> {
        match self {
            Codec::Pcma | Codec::Pcmu | Codec::G722 => Some(self.payload_type()),
            Codec::Opus => None,
        }
    }

    /// The encoding name in SDP's `a=rtpmap`.
    pub fn name(self) -> &'static str {
        match self {
            Codec::Pcma => "PCMA",
            Codec::Pcmu => "PCMU",
            Codec::G722 => "G722",
            Codec::Opus => "opus",
        }
    }

    /// Units of its RTP timestamps in a second, as SDP says it.
    pub fn clock_rate(self) -> u32 {
        match self {
            Codec::Pcma | Codec::Pcmu | Codec::G722 => 8000,
            Codec::Opus => 48_000,
        }
    }

    /// Whether its packets can be sent on in the other codec without being decoded: as they are, or by a table of G.711.
    pub fn is_relayed_to(self, other: Codec) -> bool {
        let is_g711 = |codec| matches!(codec, Codec::Pcma | Codec::Pcmu);
        self == other || (is_g711(self) && is_g711(other))
    }

    /// Samples in a second of its sound.
    pub fn sample_rate(self) -> u32 {
        match self {
            Codec::Pcma | Codec::Pcmu => 8000,
            Codec::G722 => 16_000,
            Codec::Opus => 48_000,
        }
    }
}

/// Who sends, seen from Vigie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Direction {
    /// Both ways.
    Both,
    /// Vigie only sends (the far end is `recvonly`).
    SendOnly,
    /// Vigie only receives (the far end is `sendonly`: it holds us, with its own music).
    ReceiveOnly,
    /// Nobody sends.
    Inactive,
}

impl Direction {
    /// Whether the far end has put the leg on hold.
    pub fn is_held(self) -> bool {
        self != Direction::Both
    }

    /// Whether Vigie may send.
    pub fn sends(self) -> bool {
        matches!(self, Direction::Both | Direction::SendOnly)
    }
}

/// What a leg's far end agreed to, after each SDP offer and answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteMedia {
    /// Where its SDP says that it receives RTP. Port 0 never gets here (a refusal); with `0.0.0.0` (RFC 2543's hold) the direction is [`Direction::ReceiveOnly`] or `Inactive`.
    pub rtp: SocketAddr,
    /// Where it receives RTCP (`a=rtcp`, else port + 1; RFC 3605).
    pub rtcp: SocketAddr,
    /// The address its signalling came from: the only other address that may latch.
    pub signalling: IpAddr,
    /// The codec agreed on.
    pub codec: Codec,
    /// The payload type that its SDP gives `codec`: the static one, or what an `a=rtpmap` says.
    pub payload: u8,
    /// Its payload type for telephone-event (RFC 4733), when it has one: of the codec's clock, else of 8000 units a second.
    pub dtmf_payload: Option<u8>,
    /// Units in a second of that telephone-event's timestamps and durations (RFC 4733 §2.1).
    #[serde(default = "narrow_clock_hz")]
    pub dtmf_clock_hz: u32,
    /// What else it may send: the payload types of the other codecs that its answer named (RFC 3264 §6.1), by the numbers
    /// that our own SDP gave and by its own; or, of its offer, the other law of G.711. [`FORMATS_MAX`] at most.
    #[serde(default)]
    pub formats: Vec<(u8, Format)>,
    /// Who sends.
    pub direction: Direction,
    /// The keys of both ways when the media are SRTP (RFC 3711); `None` is plain RTP.
    #[serde(default)]
    pub crypto: Option<Box<Crypto>>,
}

/// What an agreed payload type means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// Sound in this codec.
    Audio(Codec),
    /// Keys (RFC 4733), timed in so many units a second.
    Keys { clock_hz: u32 },
}

impl Format {
    /// The payload type that we give it where nothing else is agreed on.
    pub fn payload_type(self) -> u8 {
        match self {
            Format::Audio(codec) => codec.payload_type(),
            Format::Keys { clock_hz: DTMF_WIDE_CLOCK_HZ } => DTMF_WIDE_PAYLOAD,
            Format::Keys { .. } => DTMF_PAYLOAD,
        }
    }

    /// What an offer of these codecs names: they, and telephone-event at each of their clocks (RFC 7160 §4.1). Keys at 8000
    /// always: gateways know nothing else.
    pub fn offered(codecs: &[Codec]) -> impl Iterator<Item = Format> {
        let wide = codecs.iter().any(|codec| codec.clock_rate() == DTMF_WIDE_CLOCK_HZ);
        let clocks = [DTMF_CLOCK_HZ].into_iter().chain(wide.then_some(DTMF_WIDE_CLOCK_HZ));
        codecs.iter().copied().map(Format::Audio).chain(clocks.map(|clock_hz| Format::Keys { clock_hz }))
    }
}

impl RemoteMedia {
    /// What a packet of the far end with this payload type is; `None` when nothing like it was agreed on.
    ///
    /// A far end may number its keys as its own SDP does or as an offer of ours would.
    pub fn format(&self, payload_type: u8) -> Option<Format> {
        if payload_type == self.payload {
            return Some(Format::Audio(self.codec));
        }
        if self.dtmf_payload == Some(payload_type) {
            return Some(Format::Keys { clock_hz: self.dtmf_clock_hz });
        }
        let agreed = self.formats.iter().find(|(number, _)| *number == payload_type).map(|(_, format)| *format);
        agreed.or_else(|| match payload_type {
            DTMF_PAYLOAD if self.dtmf_payload.is_some() => Some(Format::Keys { clock_hz: DTMF_CLOCK_HZ }),
            DTMF_WIDE_PAYLOAD if self.dtmf_payload.is_some() => Some(Format::Keys { clock_hz: DTMF_WIDE_CLOCK_HZ }),
            _ => None,
        })
    }
}

/// The payload type that we offer for telephone-event/8000 (RFC 4733): what phones use by custom.
pub const DTMF_PAYLOAD: u8 = 101;
/// The same for telephone-event/48000, which is offered beside Opus.
pub const DTMF_WIDE_PAYLOAD: u8 = 110;
/// The clock of [`DTMF_WIDE_PAYLOAD`].
pub const DTMF_WIDE_CLOCK_HZ: u32 = 48_000;
/// The most other payload types of one leg that are kept: three more codecs and two telephone-events, twice.
pub const FORMATS_MAX: usize = 10;

/// The clock of [`DTMF_PAYLOAD`].
pub const DTMF_CLOCK_HZ: u32 = 8000;

/// What was agreed on before telephone-event had clocks of its own.
fn narrow_clock_hz() -> u32 {
    DTMF_CLOCK_HZ
}

/// Why sounds stop being played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AfterSounds {
    /// Report [`MediaReport::Played`] and fall silent.
    Report,
    /// Play the last sound again and again (music).
    RepeatLast,
}

/// The most legs of one mix: a caller, a regulator, a doctor, a supervisor, and as many again.
pub const MIX_LEGS_MAX: usize = 8;

/// One leg of a mix, and whom it hears. A supervisor who *listens* hears the others and is named by none; who *whispers* is
/// named by the regulator alone; who *barges in* is named by all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MixedLeg {
    /// The leg.
    pub leg: LegId,
    /// Whom it hears, of the legs of the same mix.
    pub hears: Vec<LegId>,
}

/// What the decisions ask of the media plane. All are total: a command for an unknown leg is counted and left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MediaCommand {
    /// Bind an RTP and an RTCP port; answered by `Opened` or `OpenFailed`.
    Open { leg: LegId },
    /// Where to send and what to expect; given again after every SDP. Resets latching.
    Aim { leg: LegId, remote: RemoteMedia },
    /// Play these sounds in order, in place of what the leg played before.
    Play { leg: LegId, sounds: Vec<SoundId>, after: AfterSounds },
    /// Stop playing.
    Quiet { leg: LegId },
    /// Relay between two legs, both ways (transcoding when their codecs differ). Ends any playing on both.
    Bridge { a: LegId, b: LegId },
    /// Join three and more legs of one thread (`CallId::beside`), each hearing those that it names and never itself, in place
    /// of the bridge or mix that they were in. Ends any playing on them. Given again with other ears it changes who hears
    /// whom without a pause; a leg that an earlier mix named and this one does not stays in that one. `Unbridge` takes a leg
    /// out. More than [`MIX_LEGS_MAX`] are refused.
    Mix { legs: Vec<MixedLeg> },
    /// Stop relaying between this leg and whatever it is bridged to.
    Unbridge { leg: LegId },
    /// Copy what this leg sends us into the ring from now on, or stop.
    Record { leg: LegId, on: bool },
    /// Watch for silence (no RTP at all) or do not (on hold).
    Watch { leg: LegId, on: bool },
    /// The far end of this leg has told a key by signalling (SIP INFO): it is reported as `Dtmf`, and whoever hears the leg
    /// gets it, unless the far end sends RFC 4733 itself.
    Key { leg: LegId, digit: char },
    /// The far end of this leg is to hear a key as tones: it takes none by signalling (the answer to `KeyUntold`).
    Tone { leg: LegId, digit: char, duration_ms: u32 },
    /// The leg goes on under another name, in another call; both names' reports from now on bear the new one. Its
    /// ports, latching and bridge stay as they are.
    Rename { from: LegId, to: LegId },
    /// Close the ports; answered by `Closed` with the leg's quality.
    Close { leg: LegId },
}

/// What the media plane reports to the decisions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MediaReport {
    /// The leg's RTP socket is bound here (RTCP on the next port).
    Opened { leg: LegId, rtp: SocketAddr },
    /// No port could be bound.
    OpenFailed { leg: LegId, why: String },
    /// The first RTP packet from the leg's own far end came in.
    Heard { leg: LegId },
    /// All sounds were played once.
    Played { leg: LegId },
    /// A key was pressed, told by RFC 4733 or by signalling, once whichever way: `0`–`9`, `*`, `#`, `A`–`D`.
    Dtmf { leg: LegId, digit: char, duration_ms: u32 },
    /// A key was pressed for this leg to hear, and its far end knows no telephone-event: it is to be told by signalling, or
    /// by `Tone`.
    KeyUntold { leg: LegId, digit: char, duration_ms: u32 },
    /// No RTP for the configured time while watched.
    Silent { leg: LegId },
    /// Sound goes one way only, or does so no more (`is_over`): the leg is over before its trouble is when it is closed.
    OneWay { leg: LegId, way: OneWay, is_over: bool },
    /// The ports are closed; no more frames of this leg will be written to the ring.
    Closed { leg: LegId, quality: Box<LegQuality> },
}

/// In which way a leg that should hear and be heard is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OneWay {
    /// Nothing comes from it, while the other side speaks.
    SendsNothing,
    /// Its RTCP says that nothing of ours arrives there.
    HearsNothing,
}

/// What the best possible connection means to a mean opinion score (ITU-T P.800.1): scores of different scales must not be
/// compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MosScale {
    /// Telephone band, 300–3400 Hz: MOS-CQEN, at best 4.41 (ITU-T G.107). G.711.
    #[default]
    Narrowband,
    /// 50–7000 Hz: MOS-CQEW (ITU-T G.107.1). G.722, Opus.
    Wideband,
}

/// What a leg's media was like, over its whole life.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LegQuality {
    /// RTP packets taken from the far end.
    pub packets_received: u64,
    /// RTP packets sent to it.
    pub packets_sent: u64,
    /// Packets that never came (RFC 3550 §A.3: expected less received).
    pub packets_lost: u64,
    /// Packets that came more than 60 ms behind the quickest ones: a phone has played on without them.
    pub packets_late: u64,
    /// Packets that came again.
    pub packets_repeated: u64,
    /// Packets that came behind a later one.
    pub packets_reordered: u64,
    /// The most packets lost in a row.
    pub loss_longest: u64,
    /// Bursts of losses (RFC 3611 §4.7.2, Gmin 16): two or more, with fewer than 16 packets received between them.
    pub bursts: u64,
    /// The fraction of packets lost within bursts, 0.0–1.0.
    pub burst_loss: f64,
    /// The fraction of packets lost between bursts, 0.0–1.0.
    pub gap_loss: f64,
    /// The mean length of a burst, in milliseconds.
    pub burst_ms: f64,
    /// Interarrival jitter of what we received, in milliseconds (RFC 3550 §A.8).
    pub jitter_ms: f64,
    /// What a listener would say of what we received, 1.0–4.5 (ITU-T G.107, G.107.1; decision 18); `None` before any packet.
    pub mos: Option<f64>,
    /// On which scale both scores stand: that of the codec spoken last.
    pub mos_scale: MosScale,
    /// Packets of ours that the far end's last RTCP report says it lost, over the leg's life.
    pub remote_lost: Option<u64>,
    /// What a listener at the far end would say, from its RTCP; `None` without a report about us.
    pub remote_mos: Option<f64>,
    /// Fraction of our packets that the far end's last RTCP report says it lost, 0.0–1.0, when it sent one.
    pub remote_loss: Option<f64>,
    /// Jitter that the far end's last RTCP report gives, in milliseconds.
    pub remote_jitter_ms: Option<f64>,
    /// Round trip from RTCP (LSR and DLSR), in milliseconds.
    pub round_trip_ms: Option<f64>,
    /// RTCP packets read.
    pub rtcp_received: u64,
    /// Packets from strangers, dropped.
    pub strangers: u64,
    /// Packets that were no RTP or of a payload type that was not agreed on, dropped.
    pub malformed: u64,
    /// Times that sound went one way only.
    pub one_way_times: u32,
    /// How long in all, in milliseconds.
    pub one_way_ms: u64,
    /// In which way sound goes one way only now, or when the leg was closed; `None`: it goes both ways.
    pub one_way: Option<OneWay>,
    /// Packets that came too late for the jitter buffer, where there was one: in a mix, or between two codecs (decision 21).
    pub buffer_late: u64,
    /// Packets that the jitter buffer left out, because the delay had grown beyond all use.
    pub buffer_cut: u64,
    /// The delay that the jitter buffer adds now, or added last, in milliseconds; `None` while there is or was none.
    pub buffer_ms: Option<f64>,
    /// Sound that was made up in place of what was missing there, in milliseconds.
    pub concealed_ms: u64,
    /// SRTP and SRTCP packets with a wrong tag (another key, or changed on the way), dropped.
    pub forged: u64,
    /// SRTP and SRTCP packets that came before, dropped.
    pub replayed: u64,
    /// Frames written to the ring.
    pub frames_recorded: u64,
    /// Frames that the full ring refused.
    pub frames_refused: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote() -> RemoteMedia {
        serde_json::from_str(
            r#"{"rtp":"10.0.0.5:4000","rtcp":"10.0.0.5:4001","signalling":"10.0.0.5","codec":"OPUS","payload":107,
                "dtmf_payload":96,"direction":"Both"}"#,
        )
        .expect("a snapshot of before")
    }

    #[test]
    fn a_snapshot_without_clocks_has_keys_at_8000() {
        assert_eq!(remote().format(96), Some(Format::Keys { clock_hz: 8000 }));
    }

    #[test]
    fn a_payload_type_means_what_was_agreed_before_what_is_custom() {
        let formats = vec![(9, Format::Audio(Codec::G722)), (8, Format::Audio(Codec::Opus))];
        let remote = RemoteMedia { dtmf_clock_hz: 48_000, formats, ..remote() };
        for (payload_type, expected) in [
            (107, Some(Format::Audio(Codec::Opus))),
            (96, Some(Format::Keys { clock_hz: 48_000 })),
            (9, Some(Format::Audio(Codec::G722))),
            (8, Some(Format::Audio(Codec::Opus))),
            (0, None),
            (101, Some(Format::Keys { clock_hz: 8000 })),
            (110, Some(Format::Keys { clock_hz: 48_000 })),
            (111, None),
            (18, None),
        ] {
            assert_eq!(remote.format(payload_type), expected, "{payload_type}");
        }
        let without = RemoteMedia { dtmf_payload: None, ..remote };
        assert_eq!((without.format(101), without.format(110)), (None, None));
    }

    #[test]
    fn what_older_versions_kept_of_a_leg_is_read_and_what_they_did_not_know_is_nothing() {
        // As version 0.1 wrote it into records and sidecars.
        let old = r#"{"packets_received":450,"packets_sent":449,"packets_lost":1,"jitter_ms":1.25,"remote_loss":0.0,
            "remote_jitter_ms":null,"round_trip_ms":2.5,"rtcp_received":3,"strangers":0,"malformed":0,
            "frames_recorded":450,"frames_refused":0}"#;
        let quality: LegQuality = serde_json::from_str(old).expect("readable");
        assert_eq!((quality.packets_lost, quality.mos, quality.mos_scale), (1, None, MosScale::Narrowband));
        assert_eq!((quality.buffer_ms, quality.one_way, quality.concealed_ms), (None, None, 0));
        let written = serde_json::to_string(&quality).expect("written");
        assert_eq!(serde_json::from_str::<LegQuality>(&written).expect("readable"), quality);
    }
}
