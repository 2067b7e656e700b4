//! One party's leg: its life, and its record when it is over.

use std::net::SocketAddr;

use crate::model::codes::Typed;
use crate::model::{Codec, DeviceId, EndedBy, LegId, LegQuality, LegRecord, Now, RegulatorId, RemoteMedia, Side, Utc};

/// Where a leg is in its life.
#[derive(Clone, Debug, PartialEq)]
pub enum LegState {
    /// Its RTP port is being opened.
    Opening,
    /// Its port is open; the far end was asked and has not picked up.
    Dialling {
        /// Our RTP socket for it.
        local: SocketAddr,
    },
    /// Picked up: media flows, or is on hold.
    Live {
        /// What the far end agreed to.
        remote: RemoteMedia,
    },
    /// Over; the media plane has yet to report its quality.
    Closing,
    /// Over and reported.
    Closed,
}

/// One leg of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Leg {
    /// Its name.
    pub id: LegId,
    /// Where it is in its life.
    pub state: LegState,
    /// Whose it is.
    pub side: Side,
    /// Which regulator's.
    pub regulator: Option<RegulatorId>,
    /// Which device.
    pub device: Option<DeviceId>,
    /// The outside number.
    pub dialled: Option<String>,
    /// The SIP Call-ID; known for a dialled leg once the user agent has dialled.
    pub sip_call_id: String,
    /// Whether it is part of the recording.
    pub recorded: bool,
    /// The keys of a feature code, pressed so far.
    pub typed: Typed,
    /// Whether its voice is to be in the recording now, but for a pause.
    pub tapped: bool,
    started_at: Utc,
    accepted_at: Option<Utc>,
    ended_at: Option<Utc>,
    ended_by: Option<EndedBy>,
    detail: Option<String>,
    codec: Option<Codec>,
    quality: LegQuality,
}

impl Leg {
    /// A leg whose port is about to be opened.
    pub fn new(id: LegId, side: Side, now: Now) -> Leg {
        Leg {
            id,
            state: LegState::Opening,
            side,
            regulator: None,
            device: None,
            dialled: None,
            sip_call_id: String::new(),
            recorded: false,
            typed: Typed::default(),
            tapped: false,
            started_at: now.utc,
            accepted_at: None,
            ended_at: None,
            ended_by: None,
            detail: None,
            codec: None,
            quality: LegQuality::default(),
        }
    }

    /// Whether the far end may still be told something.
    pub fn is_alive(&self) -> bool {
        match self.state {
            LegState::Opening | LegState::Dialling { .. } | LegState::Live { .. } => true,
            LegState::Closing | LegState::Closed => false,
        }
    }

    /// What the far end agreed to, while it is picked up.
    pub fn remote(&self) -> Option<&RemoteMedia> {
        match &self.state {
            LegState::Live { remote } => Some(remote),
            LegState::Opening | LegState::Dialling { .. } | LegState::Closing | LegState::Closed => None,
        }
    }

    /// Whether the far end has us on hold.
    pub fn is_held(&self) -> bool {
        self.remote().is_some_and(|remote| remote.direction.is_held())
    }

    /// The far end picked up.
    pub fn connect(&mut self, remote: RemoteMedia, now: Now) {
        self.hear(remote);
        self.accept(now);
    }

    /// The far end agreed to media, be it before it is accepted (early media) or in mid-call.
    pub fn hear(&mut self, remote: RemoteMedia) {
        self.codec = Some(remote.codec);
        self.state = LegState::Live { remote };
    }

    /// The leg comes from another call into this one, under this name: here it begins now.
    pub fn moved(self, id: LegId, now: Now) -> Leg {
        let accepted_at = self.accepted_at.map(|_| now.utc);
        Leg { id, started_at: now.utc, accepted_at, ..self }
    }

    /// Accepted; the first time stays.
    pub fn accept(&mut self, now: Now) {
        self.accepted_at.get_or_insert(now.utc);
    }

    /// The leg is over; the first reason stays.
    pub fn end(&mut self, by: EndedBy, detail: Option<String>, now: Now) {
        if self.is_alive() {
            self.state = LegState::Closing;
            self.ended_at = Some(now.utc);
            self.ended_by = Some(by);
            self.detail = detail;
        }
    }

    /// The media plane has closed the leg.
    pub fn close(&mut self, quality: LegQuality) {
        self.quality = quality;
        self.state = LegState::Closed;
    }

    /// The leg as the call record keeps it.
    pub fn record(&self) -> LegRecord {
        LegRecord {
            number: self.id.number,
            side: self.side,
            regulator: self.regulator.clone(),
            device: self.device,
            dialled: self.dialled.clone(),
            sip_call_id: self.sip_call_id.clone(),
            started_at: self.started_at,
            accepted_at: self.accepted_at,
            ended_at: self.ended_at,
            ended_by: self.ended_by,
            detail: self.detail.clone(),
            codec: self.codec,
            quality: self.quality.clone(),
        }
    }
}
