//! RTCP (RFC 3550 §6): the reports that Vigie writes and what it reads of the far end's.

use std::time::Duration;

use rtcp_types::{
    Bye, Compound, Packet, ReceiverReport, ReportBlock, ReportBlockBuilder, RtcpPacketWriterExt, Sdes, SdesChunk,
    SdesItem, SenderReport,
};

use super::reception::Block;
use crate::model::Utc;

/// Largest compound packet written: SR with one block, SDES with a CNAME, BYE.
pub const RTCP_BYTES_MAX: usize = 256;

/// Seconds from 1900 (NTP) to 1970 (Unix).
const NTP_UNIX_SECONDS: u64 = 2_208_988_800;

/// What one report says.
#[derive(Clone, Debug)]
pub struct Outgoing<'a> {
    /// Our SSRC.
    pub ssrc: u32,
    /// Our canonical name (RFC 7022: unlinkable, the same for one leg's life).
    pub cname: &'a str,
    /// What we sent; `None` writes a receiver report.
    pub sent: Option<Sent>,
    /// What we received.
    pub block: Option<Block>,
    /// The far end's last sender report and how long ago it came.
    pub last_sender_report: Option<(u32, Duration)>,
    /// Whether we are leaving (§6.6).
    pub bye: bool,
}

/// The sender's part of a report.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// When the report is written.
    pub ntp: u64,
    /// The RTP timestamp of that same instant.
    pub rtp_timestamp: u32,
    /// Packets sent, modulo 2³².
    pub packets: u32,
    /// Payload bytes sent, modulo 2³².
    pub bytes: u32,
}

/// What a compound packet of the far end says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Incoming {
    /// The middle 32 bits of its sender report's NTP time: our next LSR.
    pub sender_report: Option<u32>,
    /// Its block about us.
    pub about_us: Option<AboutUs>,
    /// It says that it leaves. Nothing may depend on this: anyone can write it.
    pub bye: bool,
}

/// How the far end receives us.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AboutUs {
    /// Fraction of our packets lost since its report before, 0.0–1.0.
    pub fraction_lost: f64,
    /// Packets of ours lost since the beginning, never below zero.
    pub cumulative_lost: u32,
    /// The highest sequence of ours that it got, with its cycles: it stands still when nothing arrives there.
    pub highest_sequence: u32,
    /// Interarrival jitter, in units of the RTP clock.
    pub jitter: u32,
    /// The last sender report of ours that it got, 0 when none.
    pub last_sender_report: u32,
    /// How long ago it got that, in 1/65536 s.
    pub delay: u32,
}

/// The 64-bit NTP time of a wall-clock time (RFC 3550 §4).
pub fn ntp(utc: Utc) -> u64 {
    let micros = utc.0.max(0) as u64;
    let fraction = ((micros % 1_000_000) << 32) / 1_000_000;
    ((micros / 1_000_000 + NTP_UNIX_SECONDS) << 32) | fraction
}

/// Its middle 32 bits: seconds modulo 65536 and 1/65536 s.
pub fn ntp_middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

/// The round trip (RFC 3550 §6.4.1: A − LSR − DLSR); `None` without a sender report, or when clocks make it negative.
pub fn round_trip(arrival: u32, about_us: AboutUs) -> Option<Duration> {
    let AboutUs { last_sender_report, delay, .. } = about_us;
    let units = arrival.wrapping_sub(last_sender_report).wrapping_sub(delay);
    let known = last_sender_report != 0 && units < u32::MAX / 2;
    known.then(|| Duration::from_micros(units as u64 * 1_000_000 / 65_536))
}

/// Writes a compound packet into `buffer`; its length, or `None` when it does not fit.
pub fn write(report: &Outgoing, buffer: &mut [u8]) -> Option<usize> {
    let block = report.block.map(|block| build_block(block, report.last_sender_report));
    let mut compound = Compound::builder();
    compound = match report.sent {
        Some(sent) => {
            let packet = SenderReport::builder(report.ssrc)
                .ntp_timestamp(sent.ntp)
                .rtp_timestamp(sent.rtp_timestamp)
                .packet_count(sent.packets)
                .octet_count(sent.bytes);
            compound.add_packet(match block {
                Some(block) => packet.add_report_block(block),
                None => packet,
            })
        }
        None => {
            let packet = ReceiverReport::builder(report.ssrc);
            compound.add_packet(match block {
                Some(block) => packet.add_report_block(block),
                None => packet,
            })
        }
    };
    let cname = SdesItem::builder(SdesItem::CNAME, report.cname);
    compound = compound.add_packet(Sdes::builder().add_chunk(SdesChunk::builder(report.ssrc).add_item(cname)));
    if report.bye {
        compound = compound.add_packet(Bye::builder().add_source(report.ssrc));
    }
    compound.write_into(buffer).ok()
}

fn build_block(block: Block, last_sender_report: Option<(u32, Duration)>) -> ReportBlockBuilder {
    let (last, ago) = last_sender_report.unwrap_or_default();
    let delay = (ago.as_micros() as u64).saturating_mul(65_536) / 1_000_000;
    ReportBlock::builder(block.ssrc)
        .fraction_lost(block.fraction_lost)
        .cumulative_lost(block.cumulative_lost as u32 & 0xff_ffff)
        .extended_sequence_number(block.highest_sequence)
        .interarrival_jitter(block.jitter)
        .last_sender_report_timestamp(last)
        .delay_since_last_sender_report_timestamp(delay.min(u32::MAX as u64) as u32)
}

/// Reads a compound packet as far as it makes sense; `None` when it does not begin with a report (RFC 3550 §6.1).
/// `ours` is the SSRC that a block must be about to be kept.
pub fn read(datagram: &[u8], ours: u32) -> Option<Incoming> {
    let mut incoming = Incoming::default();
    let mut reported = false;
    for packet in Compound::parse(datagram).ok()? {
        match packet {
            Ok(Packet::Sr(report)) => {
                reported = true;
                incoming.sender_report = Some(ntp_middle(report.ntp_timestamp()));
                incoming.about_us =
                    report.report_blocks().find(|b| b.ssrc() == ours).map(about_us).or(incoming.about_us);
            }
            Ok(Packet::Rr(report)) => {
                reported = true;
                incoming.about_us =
                    report.report_blocks().find(|b| b.ssrc() == ours).map(about_us).or(incoming.about_us);
            }
            Ok(Packet::Bye(_)) => incoming.bye = true,
            Ok(_) => {}
            Err(_) => break,
        }
        if !reported {
            return None;
        }
    }
    reported.then_some(incoming)
}

fn about_us(block: ReportBlock) -> AboutUs {
    AboutUs {
        fraction_lost: block.fraction_lost() as f64 / 256.0,
        cumulative_lost: cumulative_lost(block.cumulative_lost()),
        highest_sequence: block.extended_sequence_number(),
        jitter: block.interarrival_jitter(),
        last_sender_report: block.last_sender_report_timestamp(),
        delay: block.delay_since_last_sender_report_timestamp(),
    }
}

/// 24 bits with a sign (RFC 3550 §6.4.1); repetitions make it negative.
fn cumulative_lost(bits: u32) -> u32 {
    if bits & 0x80_0000 == 0 { bits & 0x7f_ffff } else { 0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn report(bye: bool) -> Outgoing<'static> {
        Outgoing {
            ssrc: 0x1111,
            cname: "0123456789abcdef",
            sent: Some(Sent { ntp: 0xb705_2000_0000_0000, rtp_timestamp: 160, packets: 1, bytes: 160 }),
            block: Some(Block {
                ssrc: 0x2222,
                fraction_lost: 64,
                cumulative_lost: -1,
                highest_sequence: 9,
                jitter: 80,
            }),
            last_sender_report: Some((0xb705_2000, Duration::from_millis(5250))),
            bye,
        }
    }

    #[test]
    fn a_report_reads_back_as_written() {
        let mut buffer = [0; RTCP_BYTES_MAX];
        let length = write(&report(true), &mut buffer).expect("room");
        let incoming = read(&buffer[..length], 0x2222).expect("a report");
        let about = AboutUs {
            fraction_lost: 0.25,
            cumulative_lost: 0,
            highest_sequence: 9,
            jitter: 80,
            last_sender_report: 0xb705_2000,
            delay: 0x0005_4000,
        };
        assert_eq!(incoming, Incoming { sender_report: Some(0x2000_0000), about_us: Some(about), bye: true });
    }

    #[test]
    fn a_block_about_someone_else_is_not_about_us() {
        let mut buffer = [0; RTCP_BYTES_MAX];
        let length = write(&report(false), &mut buffer).expect("room");
        assert_eq!(read(&buffer[..length], 7).expect("a report").about_us, None);
    }

    #[test]
    fn a_receiver_report_without_blocks_still_carries_the_name() {
        let mut buffer = [0; RTCP_BYTES_MAX];
        let empty = Outgoing { sent: None, block: None, ..report(false) };
        let length = write(&empty, &mut buffer).expect("room");
        assert_eq!(buffer[1], 201);
        assert!(buffer[..length].windows(16).any(|w| w == b"0123456789abcdef"));
    }

    #[test]
    fn the_round_trip_is_that_of_the_figure_in_rfc_3550() {
        // Figure 2: A 0xb710:8000, LSR 0xb705:2000, DLSR 0x0005:4000 give 6.125 s.
        let about = AboutUs {
            fraction_lost: 0.0,
            cumulative_lost: 0,
            highest_sequence: 0,
            jitter: 0,
            last_sender_report: 0xb705_2000,
            delay: 0x0005_4000,
        };
        assert_eq!(round_trip(0xb710_8000, about), Some(Duration::from_millis(6125)));
        assert_eq!(round_trip(0xb710_8000, AboutUs { last_sender_report: 0, ..about }), None);
    }

    #[test]
    fn ntp_counts_from_1900() {
        assert_eq!(ntp(Utc(500_000)), (2_208_988_800 << 32) | 0x8000_0000);
    }

    #[test]
    fn a_lone_bye_is_no_report() {
        assert_eq!(read(&[0x81, 203, 0, 1, 0, 0, 0x22, 0x22], 0x2222), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = read(&bytes, 1);
        }

        #[test]
        fn a_damaged_report_never_panics(at in 0usize..80, with in any::<u8>(), cut in 0usize..100) {
            let mut buffer = [0; RTCP_BYTES_MAX];
            let length = write(&report(true), &mut buffer).expect("room");
            buffer[at % length] = with;
            let _ = read(&buffer[..length.min(cut)], 0x2222);
            let _ = read(&buffer[..length], 0x2222);
        }
    }
}
