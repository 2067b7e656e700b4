//! Calls set up by the ng protocol, rtpengine's own: media alone, without SIP, so that relays can be compared.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use rustix::event::epoll::{self, EventData, EventFlags};

use super::bencode::{read_text, write_text};
use super::numbered::{LegName, LoadSide};
use super::setup::{CallNews, DATAGRAM_BYTES_MAX, Ground, TOKEN_FIRST};
use super::voices::FarEnd;
use crate::model::{Chance, Direction, Moment};
use crate::sip::sdp::{Description, LocalMedia, Origin, write_answer, write_offer};

/// Where a relay is asked.
#[derive(Clone, Debug)]
pub struct NgPlan {
    /// Drawn once a run.
    pub run: u32,
    /// The relay's ng port.
    pub relay: SocketAddr,
    /// What both sides' legs are bound to.
    pub address: IpAddr,
    /// Whether it is asked to record.
    pub records: bool,
}

/// What was asked of the relay for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Offer,
    Answer,
    Delete,
    Nothing,
}

struct NgCall {
    legs: Option<[(LegName, LocalMedia); 2]>,
    asked: Asked,
}

/// The legs of both sides, and the relay between them.
pub struct NgSetup {
    plan: NgPlan,
    socket: UdpSocket,
    chance: Chance,
    calls: Vec<NgCall>,
    buffer: Vec<u8>,
}

impl NgSetup {
    /// Binds a socket.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn new(plan: NgPlan, ground: &mut Ground) -> io::Result<NgSetup> {
        let socket = UdpSocket::bind((plan.address, 0))?;
        socket.set_nonblocking(true)?;
        epoll::add(ground.epoll, &socket, EventData::new_u64(TOKEN_FIRST), EventFlags::IN)?;
        let chance = Chance::from_number(u64::from(plan.run));
        Ok(NgSetup { plan, socket, chance, calls: Vec::new(), buffer: vec![0; DATAGRAM_BYTES_MAX] })
    }

    /// Sets the next call up.
    pub fn dial(&mut self, ground: &mut Ground) {
        let index = self.calls.len() as u32;
        let mut opened = [LoadSide::Caller, LoadSide::Regulator]
            .map(|side| ground.voices.open(side, self.plan.address, ground.epoll).ok());
        let [caller, regulator] = &mut opened;
        let (Some(caller), Some(regulator)) = (caller.take(), regulator.take()) else {
            self.calls.push(NgCall { legs: None, asked: Asked::Nothing });
            return ground.news.push(CallNews::Failed { index, why: "no socket for a leg".into() });
        };
        let legs = [caller, regulator].map(|(leg, rtp)| {
            let origin = Origin::new(self.chance.next_u64());
            (leg, LocalMedia { rtp, origin, direction: Direction::Both })
        });
        let offer = write_offer(&legs[0].1, &[ground.voices.speech().codec]);
        self.calls.push(NgCall { legs: Some(legs), asked: Asked::Offer });
        self.ask(index, "offer", Some(&offer), ground);
    }

    /// Ends a call.
    pub fn hang_up(&mut self, index: u32, ground: &mut Ground) {
        if let Some(call) = self.calls.get_mut(index as usize) {
            call.asked = Asked::Delete;
            self.ask(index, "delete", None, ground);
        }
    }

    /// Nothing here waits for a time.
    pub fn deadline(&self) -> Option<Moment> {
        None
    }

    /// Takes what the relay answered; whether the token is this socket's.
    pub fn receive(&mut self, token: u64, ground: &mut Ground) -> bool {
        if token != TOKEN_FIRST {
            return false;
        }
        while let Ok((length, _)) = self.socket.recv_from(&mut self.buffer) {
            let answer = String::from_utf8_lossy(self.buffer.get(..length).unwrap_or_default()).into_owned();
            let Some((cookie, body)) = answer.split_once(' ') else { continue };
            let index = cookie.rsplit_once('-').and_then(|(_, index)| index.parse::<u32>().ok());
            if let Some(index) = index {
                self.take(index, body, ground);
            }
        }
        true
    }

    fn take(&mut self, index: u32, body: &str, ground: &mut Ground) {
        let Some(call) = self.calls.get_mut(index as usize) else { return };
        let Some([caller, regulator]) = call.legs else { return };
        let codec = ground.voices.speech().codec;
        let result = read_text(body, "result").unwrap_or_default();
        let sdp = read_text(body, "sdp").unwrap_or_default();
        let audio = Description::parse(sdp.as_bytes()).ok();
        let to = audio.as_ref().and_then(|sdp| sdp.audio.as_ref().map(|audio| (audio.rtp, codec.payload_type())));
        match (call.asked, to) {
            (Asked::Offer, Some((rtp, payload))) => {
                call.asked = Asked::Answer;
                ground.voices.aim(regulator.0, FarEnd { rtp, payload, crypto: None }, ground.now);
                ground.news.push(CallNews::Rung { index });
                if let Some(offer) = audio {
                    let answer = write_answer(&regulator.1, &offer, codec);
                    self.ask(index, "answer", Some(&answer), ground);
                }
            }
            (Asked::Answer, Some((rtp, payload))) => {
                call.asked = Asked::Nothing;
                ground.voices.aim(caller.0, FarEnd { rtp, payload, crypto: None }, ground.now);
                ground.news.push(CallNews::Accepted { index });
            }
            (Asked::Offer | Asked::Answer, None) => {
                call.legs = None;
                [caller.0, regulator.0].into_iter().for_each(|leg| ground.voices.close(leg));
                let why =
                    format!("the relay answered {result}: {}", read_text(body, "error-reason").unwrap_or_default());
                ground.news.push(CallNews::Failed { index, why });
            }
            (Asked::Delete, _) => {
                call.legs = None;
                [caller.0, regulator.0].into_iter().for_each(|leg| ground.voices.close(leg));
                ground.news.push(CallNews::Ended { index, by_server: false });
            }
            (Asked::Nothing, _) => {}
        }
    }

    fn ask(&mut self, index: u32, command: &str, sdp: Option<&[u8]>, _ground: &mut Ground) {
        let call_id = format!("load-{:08x}-{index}", self.plan.run);
        let sdp = sdp.map(String::from_utf8_lossy);
        // A dictionary's keys stand in order (BEP 3).
        let mut fields = vec![("call-id", call_id.as_str()), ("command", command), ("from-tag", "caller")];
        if self.plan.records && command != "delete" {
            fields.push(("record call", "yes"));
        }
        if let Some(sdp) = &sdp {
            fields.push(("sdp", sdp));
        }
        if command == "answer" {
            fields.push(("to-tag", "regulator"));
        }
        let request = format!("{:08x}-{command}-{index} {}", self.plan.run, write_text(&fields));
        // One that is lost is a call that fails: the relay stands on this machine or beside it.
        let _ = self.socket.send_to(request.as_bytes(), self.plan.relay);
    }
}
