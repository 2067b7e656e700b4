//! G.722 and Opus against another's work: what Vigie encodes is decoded by ffmpeg, and the other way round. No call is made.

use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use vigie::model::Codec;
use vigie::rtp::codec::{Decoder, Encoder, SAMPLES_MAX, packet_samples};
use vigie::rtp::packet::{self, Header};

use super::harness::{PATIENCE, Place, Process, free_port};

/// Two seconds.
const SECONDS: usize = 2;
const AMPLITUDE: f64 = 8000.0;

fn tone(codec: Codec, hertz: f64, seconds: usize) -> Vec<i16> {
    let step = std::f64::consts::TAU * hertz / f64::from(codec.sample_rate());
    let samples = 0..codec.sample_rate() as usize * seconds;
    samples.map(|n| ((n as f64 * step).sin() * AMPLITUDE) as i16).collect()
}

/// How loud a frequency is in the middle of some samples, in parts of how loud it was said.
fn loudness(samples: &[i16], codec: Codec, hertz: f64) -> f64 {
    let middle = &samples[samples.len() / 4..samples.len() * 3 / 4];
    let step = std::f64::consts::TAU * hertz / f64::from(codec.sample_rate());
    let (sine, cosine) = middle.iter().enumerate().fold((0.0, 0.0), |(s, c), (n, sample)| {
        let (at, sample) = (step * n as f64, f64::from(*sample));
        (s + sample * at.sin(), c + sample * at.cos())
    });
    2.0 * f64::hypot(sine, cosine) / middle.len() as f64 / AMPLITUDE
}

/// It says this tone, and hardly any of another.
fn is_tone(samples: &[i16], codec: Codec, hertz: f64, who: &str) {
    let (right, wrong) = (loudness(samples, codec, hertz), loudness(samples, codec, hertz * 0.77));
    assert!((0.7..1.3).contains(&right) && wrong < 0.05, "{who}: {codec:?}, {hertz} Hz: {right:.2}, beside {wrong:.2}");
}

fn to_bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

fn read_samples(path: &Path) -> Vec<i16> {
    let bytes = std::fs::read(path).expect("what ffmpeg wrote");
    bytes.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect()
}

/// Runs ffmpeg on words; `tests/run` installs it.
fn ffmpeg(words: &str) {
    let output = Command::new("ffmpeg").args(["-v", "error", "-nostdin", "-y"]).args(words.split(' ')).output();
    let output = output.expect("ffmpeg is installed (apt-get install ffmpeg)");
    assert!(output.status.success(), "ffmpeg {words}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Everything in packets of 20 ms.
fn encode(codec: Codec, said: &[i16]) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(codec);
    let packets = said.chunks_exact(packet_samples(codec)).map(|pcm| {
        let mut payload = vec![0; 1500];
        let length = encoder.encode(pcm, &mut payload);
        payload.truncate(length);
        payload
    });
    packets.collect()
}

fn decode(codec: Codec, packets: &[Vec<u8>]) -> Vec<i16> {
    let (mut decoder, mut pcm) = (Decoder::new(codec), vec![0; SAMPLES_MAX]);
    let mut heard = Vec::new();
    for payload in packets {
        let samples = decoder.decode(payload, &mut pcm);
        heard.extend_from_slice(&pcm[..samples]);
    }
    heard
}

#[test]
fn what_is_said_in_g722_ffmpeg_understands_and_the_other_way_round() {
    let place = Place::new();
    let file = |name: &str| place.path(name).display().to_string();
    for hertz in [440.0, 1000.0, 3000.0, 6000.0] {
        let said = tone(Codec::G722, hertz, SECONDS);
        let packets = encode(Codec::G722, &said);
        std::fs::write(place.path("ours.g722"), packets.concat()).expect("written");
        ffmpeg(&format!("-f g722 -i {} -f s16le -ac 1 -ar 16000 {}", file("ours.g722"), file("heard.raw")));
        let theirs = read_samples(&place.path("heard.raw"));
        assert_eq!(theirs.len(), said.len(), "every byte is two samples");
        is_tone(&theirs, Codec::G722, hertz, "ffmpeg hears Vigie");

        std::fs::write(place.path("said.raw"), to_bytes(&said)).expect("written");
        ffmpeg(&format!("-f s16le -ac 1 -ar 16000 -i {} -c:a g722 -f g722 {}", file("said.raw"), file("theirs.g722")));
        let packets: Vec<Vec<u8>> =
            std::fs::read(place.path("theirs.g722")).expect("read").chunks(160).map(<[u8]>::to_vec).collect();
        is_tone(&decode(Codec::G722, &packets), Codec::G722, hertz, "Vigie hears ffmpeg");
    }
}

/// Packets of ours as RTP in real time, to where ffmpeg listens, until it has ended.
fn speak(packets: &[Vec<u8>], to: u16, listener: &mut Process) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let begun = Instant::now();
    for (place, payload) in packets.iter().cycle().enumerate() {
        let timestamp = place as u32 * 960;
        let header = Header { payload_type: 111, marker: false, sequence: place as u16, timestamp, ssrc: 7 };
        let mut buffer = [0; 1600];
        let length = packet::write(&header, payload, &mut buffer).expect("room");
        // Until it listens nobody takes them.
        let _ = socket.send_to(&buffer[..length], ("127.0.0.1", to));
        std::thread::sleep((Duration::from_millis(20) * (place as u32 + 1)).saturating_sub(begun.elapsed()));
        if let Some(status) = listener.ended() {
            return assert!(status.success(), "ffmpeg: {}", listener.output());
        }
        assert!(begun.elapsed() < PATIENCE, "ffmpeg has not heard two seconds: {}", listener.output());
    }
}

#[test]
fn what_is_said_in_opus_ffmpeg_understands_and_the_other_way_round() {
    let place = Place::new();
    let file = |name: &str| place.path(name).display().to_string();
    for hertz in [440.0, 1000.0, 6000.0] {
        // Whole periods, so that the second time round goes on where the first ended.
        let said = tone(Codec::Opus, hertz, SECONDS);
        let to = free_port();
        let sdp = format!(
            "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {to} RTP/AVP 111\na=rtpmap:111 opus/48000/2\n"
        );
        std::fs::write(place.path("vigie.sdp"), sdp).expect("written");
        let words = format!(
            "-v error -nostdin -y -protocol_whitelist file,udp,rtp -analyzeduration 0 -probesize 32 -f sdp -i {} -t {SECONDS} \
             -f s16le -ac 1 -ar 48000 {}",
            file("vigie.sdp"),
            file("heard.raw")
        );
        let mut command = Command::new("ffmpeg");
        command.args(words.split_whitespace());
        let mut listener = Process::start("ffmpeg", &mut command, &place.path("ffmpeg.log"));
        speak(&encode(Codec::Opus, &said), to, &mut listener);
        is_tone(&read_samples(&place.path("heard.raw")), Codec::Opus, hertz, "ffmpeg hears Vigie");

        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        std::fs::write(place.path("said.raw"), to_bytes(&said)).expect("written");
        let from = socket.local_addr().expect("an address").port();
        let input = file("said.raw");
        let listening = std::thread::spawn(move || {
            let (mut packets, mut buffer) = (Vec::new(), [0; 2000]);
            while packets.len() < SECONDS * 50 {
                let length = socket.recv(&mut buffer).expect("a packet of ffmpeg's");
                packets.extend(packet::read(&buffer[..length]).map(|packet| packet.payload.to_vec()));
            }
            packets
        });
        ffmpeg(&format!(
            "-re -f s16le -ac 1 -ar 48000 -i {input} -c:a libopus -b:a 32k -application voip -frame_duration 20 \
             -f rtp rtp://127.0.0.1:{from}"
        ));
        let packets = listening.join().expect("all packets");
        is_tone(&decode(Codec::Opus, &packets), Codec::Opus, hertz, "Vigie hears ffmpeg");
    }
}
