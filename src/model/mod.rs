//! The words that every part shares: plain values, no behaviour beyond reading and showing themselves.

pub mod beat;
pub mod calendar;
pub mod centre;
pub mod chance;
pub mod codes;
pub mod command;
pub mod control;
pub mod credential;
pub mod demand;
pub mod event;
pub mod explain;
pub mod ids;
pub mod media;
pub mod needs;
pub mod number;
pub mod outbound;
pub mod outside;
pub mod person;
pub mod record;
pub mod recording;
pub mod recording_terms;
pub mod regulator;
pub mod reload;
pub mod srtp;
pub mod standing;
pub mod time;
pub mod voice;

pub use beat::{
    Action, Alarm, Counter, Deed, Fact, Input, OpenCallBack, Path, Remembered, SipTrace, Target, Transport,
};
pub use centre::{Centre, Line, Regulator, Trunk};
pub use chance::Chance;
pub use codes::{Code, Codes};
pub use command::{BanKind, BanView, Command, Reply, Room};
pub use control::{Control, Supervision};
pub use credential::Credential;
pub use demand::{Demand, DemandChange, Reach, Step};
pub use event::{Event, EventKind, Subject};
pub use explain::{Asked, Cause, Excluded, Forecast, ForecastDay, NOTES_MAX, RoutingNote, RoutingTurn};
pub use ids::{
    AssociationId, CallId, DeviceId, EventId, LegId, LineId, ListId, MenuId, OfferNumber, RegionId, RegulatorId,
    SkillId, SoundId, Ticket, TrunkId,
};
pub use media::{
    Codec, Direction, LegQuality, MIX_LEGS_MAX, MediaCommand, MediaReport, MixedLeg, MosScale, OneWay, RemoteMedia,
};
pub use needs::{Needs, NeedsError};
pub use number::{E164, NumberPlan, Redacted};
pub use outbound::{Outbound, Period, Validity};
pub use person::{AbandonedCaller, CallerRules, Person};
pub use record::{
    CallContext, CallRecord, Caller, Choices, EndedBy, KeyChosen, LegRecord, Names, OfferEnd, OfferRecord, Outcome,
    Reasoning, Side,
};
pub use recording::{AskedBy, PlainWav, RecorderCommand, RecorderReport, SealedRecording, is_turn};
pub use recording_terms::{RecordingRule, RecordingSlot, RecordingTerms};
pub use regulator::{Binding, PauseReason, RegulatorState};
pub use reload::{Foresight, Reload, Stranded};
pub use time::{Moment, Now, Utc};
pub use voice::{Destination, LineVoice, Menu, Tells, Voicemail, WaitingMessage, Way};
