//! The parts of a call's story as the API writes them: record, offers with their reasoning, legs, events.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde::Serialize;
use utoipa::ToSchema;

use super::context::ContextView;
use crate::model::record::Candidate;
use crate::model::{CallRecord, Choices, Excluded, LegQuality, LegRecord, OfferRecord, Reasoning};
use crate::storage::events::StoredEvent;
use crate::web::words::{
    CallerView, CodecWord, EndedByWord, MosScaleWord, NamesView, OfferEndWord, OneWayWord, OutcomeWord,
    RecordingPolicyWord, SideWord, Stamp,
};

/// One call record.
#[derive(Serialize, ToSchema)]
pub struct CallView {
    /// The call.
    #[schema(format = "uuid")]
    id: String,
    /// The trunk it came over.
    trunk: String,
    /// The line that answered.
    line: String,
    /// The line's association.
    association: String,
    /// What they were called when the call came.
    names: NamesView,
    /// The caller's region.
    region: String,
    /// The line's language, BCP 47.
    language: String,
    /// The DDI as dialled, verbatim.
    ddi_raw: String,
    /// The DDI in E.164.
    ddi: Option<String>,
    /// Whether no line knew the DDI, so that the trunk's fallback line took the call.
    fallback: bool,
    /// Who called.
    caller: CallerView,
    /// What else the trunk said of the call.
    context: ContextView,
    /// The level asked of each skill, 1–100.
    skills: BTreeMap<String, u8>,
    /// 1 is the most urgent, 9 the least.
    priority: u8,
    /// The INVITE came.
    received_at: Stamp,
    /// The caller's leg got its 200.
    accepted_at: Option<Stamp>,
    /// The call entered the waiting room.
    queued_at: Option<Stamp>,
    /// A regulator picked up.
    answered_at: Option<Stamp>,
    /// Over.
    ended_at: Option<Stamp>,
    /// From entering the waiting room to the answer, or to the end, in milliseconds.
    wait_ms: Option<u64>,
    /// From the answer to the end, in milliseconds.
    talk_ms: Option<u64>,
    /// Who answered; of several, the last.
    regulator: Option<String>,
    /// How it came out; null while it lives.
    outcome: Option<OutcomeWord>,
    /// Who ended it.
    ended_by: Option<EndedByWord>,
    /// In words for people.
    detail: Option<String>,
    /// What the line's recording policy said.
    recording_policy: RecordingPolicyWord,
    /// What the caller chose by keys, and whether this is a call-back.
    choices: ChoicesView,
    /// The version of Vigie that wrote this.
    software: String,
    /// What the caller's earlier calls and the lists brought: persons count, not calls.
    person: PersonView,
    /// The regulator who called out; null when the caller called. Then `caller` is whom the regulator called.
    dialled_by: Option<String>,
}

/// What a caller chose.
#[derive(Serialize, ToSchema)]
pub struct ChoicesView {
    /// The keys that led somewhere, in order.
    keys: Vec<KeyView>,
    /// The call whose caller asked for this one; null when the caller called.
    #[schema(format = "uuid")]
    callback_of: Option<String>,
    /// Which attempt of a call-back this is, from 1; 0 of any other call.
    attempt: u8,
}

/// A key that led somewhere.
#[derive(Serialize, ToSchema)]
pub struct KeyView {
    /// When.
    at: Stamp,
    /// In which menu; null while waiting.
    menu: Option<String>,
    /// The key, `0`–`9`, `*`, `#`; null when nothing that was offered was pressed in time.
    key: Option<String>,
    /// Where it led: `wait`, `menu ID`, `number 15`, `line ID`, `voicemail`, `call-back`, `hang-up`.
    to: String,
}

impl ChoicesView {
    fn of(choices: &Choices, zone: &TimeZone) -> ChoicesView {
        let keys = choices.keys.iter().map(|chosen| KeyView {
            at: Stamp::of(chosen.at, zone),
            menu: chosen.menu.as_ref().map(ToString::to_string),
            key: chosen.key.map(String::from),
            to: chosen.to.clone(),
        });
        ChoicesView {
            keys: keys.collect(),
            callback_of: choices.callback_of.map(|call| call.to_string()),
            attempt: choices.attempt,
        }
    }
}

impl CallView {
    /// A call record without its offers and legs.
    pub fn of(record: &CallRecord, zone: &TimeZone) -> CallView {
        CallView {
            id: record.id.to_string(),
            trunk: record.trunk.to_string(),
            line: record.line.to_string(),
            association: record.association.to_string(),
            names: record.names.clone().into(),
            region: record.region.to_string(),
            language: record.language.clone(),
            ddi_raw: record.ddi_raw.clone(),
            ddi: record.ddi.as_ref().map(ToString::to_string),
            fallback: record.fallback,
            caller: record.caller.clone().into(),
            context: (*record.context).clone().into(),
            skills: record.skills.iter().map(|(skill, level)| (skill.to_string(), *level)).collect(),
            priority: record.priority,
            received_at: Stamp::of(record.received_at, zone),
            accepted_at: Stamp::maybe(record.accepted_at, zone),
            queued_at: Stamp::maybe(record.queued_at, zone),
            answered_at: Stamp::maybe(record.answered_at, zone),
            ended_at: Stamp::maybe(record.ended_at, zone),
            wait_ms: record.wait_ms(),
            talk_ms: record.talk_ms(),
            regulator: record.regulator.as_ref().map(ToString::to_string),
            outcome: record.outcome.map(OutcomeWord::from),
            ended_by: record.ended_by.map(EndedByWord::from),
            detail: record.detail.clone(),
            recording_policy: record.recording.into(),
            choices: ChoicesView::of(&record.choices, zone),
            software: record.software.clone(),
            person: PersonView::of(record, zone),
            dialled_by: record.dialled_by.as_ref().map(ToString::to_string),
        }
    }
}

/// What a call has of its caller's earlier calls, and of the lists that the number stands on.
#[derive(Serialize, ToSchema)]
pub struct PersonView {
    /// The first of the unserved calls that this one goes on with; null: it is the first.
    #[schema(format = "uuid")]
    first_call: Option<String>,
    /// When that one came.
    first_received_at: Option<Stamp>,
    /// How many of the person's unserved calls came before this one.
    calls_before: u32,
    /// The wait that was kept from them, in milliseconds.
    kept_wait_ms: u64,
    /// The wait of the person: of this call and of those before, in milliseconds.
    wait_ms: Option<u64>,
    /// The list that the number stands on.
    list: Option<String>,
    /// Whether it is a test number's, to be left out of statistics.
    is_test: bool,
}

impl PersonView {
    fn of(record: &CallRecord, zone: &TimeZone) -> PersonView {
        let person = &record.person;
        PersonView {
            first_call: person.first_call.map(|call| call.to_string()),
            first_received_at: Stamp::maybe(person.first_received_at, zone),
            calls_before: person.calls_before,
            kept_wait_ms: person.kept_wait_ms,
            wait_ms: record.person_wait_ms(),
            list: person.list.as_ref().map(ToString::to_string),
            is_test: person.is_test,
        }
    }
}

/// One ringing attempt.
#[derive(Serialize, ToSchema)]
pub struct OfferView {
    /// Its place among the call's offers, from 1.
    number: u16,
    /// To whom.
    regulator: String,
    /// When.
    offered_at: Stamp,
    /// When it ended.
    ended_at: Option<Stamp>,
    /// How it ended.
    end: Option<OfferEndWord>,
    /// In words for people.
    detail: Option<String>,
    /// Why this person; without candidates when somebody handed the caller on.
    reasoning: ReasoningView,
    /// Who handed the caller on to this regulator; null when the waiting room chose.
    handed_by: Option<String>,
}

/// Why a regulator was chosen.
#[derive(Serialize, ToSchema)]
pub struct ReasoningView {
    /// 0: the demand as the line sets it; n: the n-th step.
    step: u32,
    /// What the step in force asked: each skill with the lowest level asked of it.
    skills: BTreeMap<String, u8>,
    /// The same as an expression, such as `regulation >= 50 and (lang-en >= 30 or physician)`; empty in older records.
    needs: String,
    /// How far from the caller's region was looked: `home`, `neighbours`, `parent` or `all`.
    reach: String,
    /// The best eight who fitted, cheapest first, and the chosen one if it is not among them.
    candidates: Vec<CandidateView>,
    /// How many calls were given out together, so that all of them cost least: then the cheapest for this one alone may have
    /// been given another. 0 or 1: this one alone, to the cheapest.
    together: u32,
    /// How many fitted.
    fitting: u32,
    /// How many did not, by reason: `offline`, `paused`, `talking`, `ringing`, `wrap-up`, `skills`, `region`.
    excluded: BTreeMap<String, u32>,
    /// The first 32 of them by name, those who have the skills first.
    excluded_people: Vec<ExcludedView>,
}

/// A regulator who could not be given a call, and why.
#[derive(Serialize, ToSchema)]
pub struct ExcludedView {
    /// Who.
    regulator: String,
    /// The first reason that holds: `offline`, `paused`, `talking`, `ringing`, `wrap-up`, `skills` or `region`.
    why: String,
}

impl From<Excluded> for ExcludedView {
    fn from(one: Excluded) -> ExcludedView {
        ExcludedView { regulator: one.regulator.to_string(), why: one.why.name().to_owned() }
    }
}

/// One regulator weighed for one call.
#[derive(Serialize, ToSchema)]
pub struct CandidateView {
    /// Who.
    regulator: String,
    /// The sum of the costs below, in points of the configuration; the lowest wins.
    cost_total: f64,
    /// What the distance between the caller's region and the regulator's costs, after so long a wait; 0 is home.
    cost_region: f64,
    /// What it costs that the person lacks levels that the call asked at first, before any step.
    cost_fit: f64,
    /// What using up scarce skills costs.
    cost_scarcity: f64,
    /// What having been idle takes off: zero or negative.
    cost_idle: f64,
}

impl OfferView {
    /// An offer of a call.
    pub fn of(offer: OfferRecord, zone: &TimeZone) -> OfferView {
        OfferView {
            number: offer.number.0,
            regulator: offer.regulator.to_string(),
            offered_at: Stamp::of(offer.offered_at, zone),
            ended_at: Stamp::maybe(offer.ended_at, zone),
            end: offer.end.map(OfferEndWord::from),
            detail: offer.detail,
            reasoning: Arc::unwrap_or_clone(offer.reasoning).into(),
            handed_by: offer.handed_by.map(|regulator| regulator.to_string()),
        }
    }
}

impl From<Reasoning> for ReasoningView {
    fn from(reasoning: Reasoning) -> ReasoningView {
        let Reasoning { step, skills, needs, reach, candidates, together, fitting, excluded, excluded_people } =
            reasoning;
        ReasoningView {
            step,
            skills: skills.into_iter().map(|(skill, level)| (skill.to_string(), level)).collect(),
            needs,
            reach: reach.name().to_owned(),
            candidates: candidates.into_iter().map(CandidateView::from).collect(),
            together,
            fitting,
            excluded,
            excluded_people: excluded_people.into_iter().map(ExcludedView::from).collect(),
        }
    }
}

impl From<Candidate> for CandidateView {
    fn from(one: Candidate) -> CandidateView {
        let Candidate { regulator, total, region, fit, scarcity, idle } = one;
        CandidateView {
            regulator: regulator.to_string(),
            cost_total: total,
            cost_region: region,
            cost_fit: fit,
            cost_scarcity: scarcity,
            cost_idle: idle,
        }
    }
}

/// One leg.
#[derive(Serialize, ToSchema)]
pub struct LegView {
    /// Its number in the call; 0 is the caller's.
    number: u16,
    /// Whose it is.
    side: SideWord,
    /// Which regulator.
    regulator: Option<String>,
    /// The outside number that was dialled, when the caller was handed on to one.
    dialled: Option<String>,
    /// The SIP Call-ID.
    sip_call_id: String,
    /// Created.
    started_at: Stamp,
    /// Picked up.
    accepted_at: Option<Stamp>,
    /// Over.
    ended_at: Option<Stamp>,
    /// Who ended it.
    ended_by: Option<EndedByWord>,
    /// The SIP answer or reason in words.
    detail: Option<String>,
    /// The codec.
    codec: Option<CodecWord>,
    /// What its media was like; of a live leg, so far.
    quality: QualityView,
}

/// What a leg's media was like, over its whole life, or so far.
#[derive(Serialize, ToSchema)]
pub struct QualityView {
    /// RTP packets taken from the far end.
    packets_received: u64,
    /// RTP packets sent to it.
    packets_sent: u64,
    /// Packets that never came (RFC 3550 §A.3).
    packets_lost: u64,
    /// Packets that came more than 60 ms behind the quickest ones: a phone has played on without them.
    packets_late: u64,
    /// Packets that came again.
    packets_repeated: u64,
    /// Packets that came behind a later one.
    packets_reordered: u64,
    /// The most packets lost in a row.
    loss_longest_packets: u64,
    /// Bursts of losses (RFC 3611 §4.7.2, Gmin 16): two or more, with fewer than 16 packets received between them.
    bursts: u64,
    /// The fraction of packets lost within bursts, 0.0–1.0.
    burst_loss_fraction: f64,
    /// The fraction of packets lost between bursts, 0.0–1.0.
    gap_loss_fraction: f64,
    /// The mean length of a burst, in milliseconds.
    burst_ms: f64,
    /// Interarrival jitter of what was received, in milliseconds (RFC 3550 §A.8).
    jitter_ms: f64,
    /// Mean opinion score of what was received, 1.0–4.5 (ITU-T G.107 and G.107.1: from loss, bursts, lateness and delay).
    mos: Option<f64>,
    /// What both scores are measured against: the band of the codec spoken last.
    mos_scale: MosScaleWord,
    /// Packets of ours that the far end says it lost, over the leg's life.
    remote_packets_lost: Option<u64>,
    /// Mean opinion score of what the far end received, from its RTCP reports.
    remote_mos: Option<f64>,
    /// Fraction of our packets that the far end says it lost, 0.0–1.0.
    remote_loss_fraction: Option<f64>,
    /// Jitter that the far end reports, in milliseconds.
    remote_jitter_ms: Option<f64>,
    /// Round trip from RTCP, in milliseconds.
    round_trip_ms: Option<f64>,
    /// RTCP packets read.
    rtcp_packets_received: u64,
    /// Packets from strangers, dropped.
    strangers: u64,
    /// Packets that were no RTP or of a payload type not agreed on, dropped.
    malformed: u64,
    /// Times that sound went one way only: the far end sent nothing while the other side spoke, or reported by RTCP that
    /// nothing arrived.
    one_way_times: u32,
    /// How long that was in all, in milliseconds.
    one_way_ms: u64,
    /// In which way sound goes one way only now, or did when the leg ended; null: it goes both ways.
    one_way: Option<OneWayWord>,
    /// Packets that came too late for Vigie's jitter buffer, which only mixed and transcoded legs have.
    buffer_packets_late: u64,
    /// Packets that the jitter buffer left out because the delay had grown beyond all use.
    buffer_packets_cut: u64,
    /// The delay that the jitter buffer adds now, or added last, in milliseconds; null without one.
    buffer_ms: Option<f64>,
    /// Sound that was made up there in place of what was missing, in milliseconds. It is in no recording.
    concealed_ms: u64,
    /// SRTP packets with a wrong tag, dropped: another key, or changed on the way.
    forged: u64,
    /// SRTP packets that came before, dropped.
    replayed: u64,
    /// Frames recorded.
    frames_recorded: u64,
    /// Frames that could not be recorded: the ring was full.
    frames_refused: u64,
}

impl LegView {
    /// A leg of a call.
    pub fn of(leg: LegRecord, zone: &TimeZone) -> LegView {
        LegView {
            number: leg.number,
            side: leg.side.into(),
            regulator: leg.regulator.map(|regulator| regulator.to_string()),
            dialled: leg.dialled,
            sip_call_id: leg.sip_call_id,
            started_at: Stamp::of(leg.started_at, zone),
            accepted_at: Stamp::maybe(leg.accepted_at, zone),
            ended_at: Stamp::maybe(leg.ended_at, zone),
            ended_by: leg.ended_by.map(EndedByWord::from),
            detail: leg.detail,
            codec: leg.codec.map(CodecWord::from),
            quality: leg.quality.into(),
        }
    }
}

impl From<LegQuality> for QualityView {
    fn from(quality: LegQuality) -> QualityView {
        QualityView {
            packets_received: quality.packets_received,
            packets_sent: quality.packets_sent,
            packets_lost: quality.packets_lost,
            packets_late: quality.packets_late,
            packets_repeated: quality.packets_repeated,
            packets_reordered: quality.packets_reordered,
            loss_longest_packets: quality.loss_longest,
            bursts: quality.bursts,
            burst_loss_fraction: quality.burst_loss,
            gap_loss_fraction: quality.gap_loss,
            burst_ms: quality.burst_ms,
            jitter_ms: quality.jitter_ms,
            mos: quality.mos,
            mos_scale: quality.mos_scale.into(),
            remote_packets_lost: quality.remote_lost,
            remote_mos: quality.remote_mos,
            remote_loss_fraction: quality.remote_loss,
            remote_jitter_ms: quality.remote_jitter_ms,
            round_trip_ms: quality.round_trip_ms,
            rtcp_packets_received: quality.rtcp_received,
            strangers: quality.strangers,
            malformed: quality.malformed,
            one_way_times: quality.one_way_times,
            one_way_ms: quality.one_way_ms,
            one_way: quality.one_way.map(OneWayWord::from),
            buffer_packets_late: quality.buffer_late,
            buffer_packets_cut: quality.buffer_cut,
            buffer_ms: quality.buffer_ms,
            concealed_ms: quality.concealed_ms,
            forged: quality.forged,
            replayed: quality.replayed,
            frames_recorded: quality.frames_recorded,
            frames_refused: quality.frames_refused,
        }
    }
}

/// One event of a call.
#[derive(Serialize, ToSchema)]
pub struct EventView {
    /// Its id; the `webhook-id` too.
    #[schema(format = "uuid")]
    id: String,
    /// Its place within the call, from 1.
    sequence: u32,
    /// When it happened.
    at: Stamp,
    /// Its CloudEvents type: `call.received`…
    #[serde(rename = "type")]
    kind: String,
    /// What the type says: as the webhook's `data` does.
    #[serde(rename = "data")]
    #[schema(value_type = Object)]
    payload: serde_json::Value,
}

impl EventView {
    /// A stored event.
    pub fn of(event: StoredEvent, zone: &TimeZone) -> EventView {
        EventView {
            id: event.id.to_string(),
            sequence: event.sequence,
            at: Stamp::of(event.at, zone),
            kind: event.kind,
            payload: event.payload,
        }
    }
}
