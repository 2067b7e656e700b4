//! Single messages and SDPs: reading never panics, and what was read is written and read again as the same.

use bytes::Bytes;
use vigie::model::{Chance, Codec, Direction, Path, Transport};
use vigie::sip::header::{call_info, diversion, geolocation, history, user_to_user};
use vigie::sip::sdp::{Description, LocalMedia, Origin, write_answer};
use vigie::sip::{Body, Message, Uri, pidf};

use crate::Failure;
use crate::corpus;
use crate::mutation::{mutate, note};

/// The longest answer to one malformed message: what it copies, and a few lines.
const ANSWER_LENGTH_MAX: usize = 10_000;

/// One message of this seed.
pub fn try_message(seed: u64) -> Result<(), Failure> {
    let mut chance = Chance::from_number(seed);
    let seeds = corpus::messages();
    let pick = |chance: &mut Chance| chance.below(seeds.len() as u64) as usize;
    let mut bytes = seeds[pick(&mut chance)].clone();
    // The first cases are the seeds themselves.
    match usize::try_from(seed).ok().and_then(|seed| seeds.get(seed.wrapping_sub(1))) {
        Some(unchanged) => bytes.clone_from(unchanged),
        None => {
            let other = pick(&mut chance);
            mutate(&mut bytes, &seeds[other], &mut chance);
        }
    }
    note(&bytes);
    read_message(&bytes).map_err(|what| Failure { what, input: bytes })
}

fn read_message(bytes: &[u8]) -> Result<(), String> {
    let message = match Message::parse(&Bytes::copy_from_slice(bytes)) {
        Ok(message) => message,
        Err(malformed) => {
            let path = Path { listener: 0, transport: Transport::Udp, peer: ([192, 0, 2, 1], 5060).into() };
            let answer = malformed.answer(path).map(|(_, answer)| answer).unwrap_or_default();
            let is_bounded = answer.len() <= ANSWER_LENGTH_MAX;
            return if is_bounded { Ok(()) } else { Err(format!("an answer of {} bytes", answer.len())) };
        }
    };
    let headers = message.headers();
    let all = |name| headers.all(name);
    let _ = (headers.vias(), headers.contacts(), headers.max_forwards(), headers.expires(), headers.privacy());
    let _ = (headers.reason(), headers.tokens("Supported"), headers.auth_params("Authorization"));
    let _ = (diversion::read(all("Diversion")), history::diverted(&history::read(all("History-Info"))));
    let _ = (geolocation::read(all("Geolocation")), user_to_user::read(all("User-to-User")));
    let _ = call_info::read(all("Call-Info"));
    let body = match &message {
        Message::Request(request) => {
            let _ = Uri::parse(&request.uri);
            &request.body
        }
        Message::Response(response) => &response.body,
    };
    if let Ok(body) = Body::read(headers, body) {
        for part in &body.parts {
            let _ = (pidf::read(&part.bytes), Description::parse(&part.bytes));
        }
    }
    let written = message.to_bytes();
    match Message::parse(&written) {
        Ok(again) if again == message && again.to_bytes() == written => Ok(()),
        Ok(_) => Err("what was written reads as another message".to_owned()),
        Err(malformed) => Err(format!("what was written cannot be read: {malformed}")),
    }
}

/// One SDP of this seed.
pub fn try_sdp(seed: u64) -> Result<(), Failure> {
    let mut chance = Chance::from_number(seed);
    let pick = |chance: &mut Chance| {
        corpus::SDPS[chance.below(corpus::SDPS.len() as u64) as usize].replace('\n', "\r\n").into_bytes()
    };
    let mut bytes = pick(&mut chance);
    let other = pick(&mut chance);
    mutate(&mut bytes, &other, &mut chance);
    note(&bytes);
    read_sdp(&bytes).map_err(|what| Failure { what, input: bytes })
}

fn read_sdp(bytes: &[u8]) -> Result<(), String> {
    let Ok(offer) = Description::parse(bytes) else { return Ok(()) };
    let Some((audio, codec)) = offer.audio.as_ref().and_then(|audio| Some((audio, audio.choose(&Codec::ALL)?))) else {
        return Ok(());
    };
    let remote = audio.remote(codec, [192, 0, 2, 1].into());
    if remote.rtp.ip().is_unspecified() {
        return Err("RTP would be sent to no address".to_owned());
    }
    let local = LocalMedia { rtp: ([10, 0, 0, 1], 20_000).into(), origin: Origin::new(1), direction: Direction::Both };
    let answer = write_answer(&local, &offer, codec);
    Description::parse(&answer).map(|_| ()).map_err(|fault| format!("our own answer cannot be read: {fault}"))
}
