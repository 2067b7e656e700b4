//! A small centre for the tests of routing and of the waiting room.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::model::centre::{
    Centre, Demand, DigestChoice, Farewell, GreetingMode, Line, OfferRules, RecordingPolicy, Region, Regulator, Step,
    Trunk, Weights,
};
use crate::model::{CallId, CallRecord, Caller, Codec, E164, Needs, NumberPlan, RegionId, SkillId, Utc};

/// What a test writes for skills: names and levels.
pub(crate) type Levels<'a> = &'a [(&'a str, u8)];

pub(crate) fn skills(levels: Levels<'_>) -> BTreeMap<SkillId, u8> {
    levels.iter().map(|(skill, level)| (SkillId::from(*skill), *level)).collect()
}

pub(crate) fn demand(region: &str, levels: Levels<'_>, steps: &[(u64, Levels<'_>)]) -> Demand {
    let step = |(after, levels): &(u64, Levels<'_>)| Step {
        after: Some(Duration::from_secs(*after)),
        needs: Some(Needs::from(&skills(levels))),
        ..Step::default()
    };
    Demand {
        region: region.into(),
        needs: Needs::from(&skills(levels)),
        priority: 5,
        reach: Default::default(),
        steps: steps.iter().map(step).collect(),
    }
}

pub(crate) fn regulator(id: &str, levels: Levels<'_>, regions: &[(&str, u32)]) -> Regulator {
    Regulator {
        id: id.into(),
        name: format!("Dr {id}"),
        association: "sos".into(),
        skills: skills(levels),
        regions: regions.iter().map(|(region, cost)| (RegionId::from(*region), *cost)).collect(),
        ready_on_register: true,
        srtp: Default::default(),
        terms: Default::default(),
        digest: DigestChoice::Md5,
    }
}

pub(crate) fn line(id: &str, ddi: &str, demand: Demand) -> Line {
    let farewell = Farewell { message: None, to: None };
    Line {
        accept: Default::default(),
        id: id.into(),
        name: id.to_owned(),
        association: "sos".into(),
        ddis: E164::parse(ddi).into_iter().collect(),
        demand,
        language: "fr".to_owned(),
        greeting: None,
        greeting_mode: GreetingMode::default(),
        music: "music".into(),
        hold_music: "music".into(),
        recording: RecordingPolicy::Always,
        recording_terms: Default::default(),
        wrap_up: Duration::from_secs(10),
        waiting_max: Duration::from_secs(600),
        hours: None,
        overflow: farewell.clone(),
        nobody: farewell.clone(),
        closed: farewell,
        voice: Default::default(),
    }
}

pub(crate) fn trunk(fallback_line: &str) -> Trunk {
    Trunk {
        rate_max: 1000,
        reach: None,
        registration: None,
        options_every: None,
        srtp: Default::default(),
        codecs: Codec::USUAL.to_vec(),
        verified: Default::default(),
        dials: Vec::new(),
        outgoing: Default::default(),
        id: "trunk".into(),
        peers: Vec::new(),
        numbers: NumberPlan::default(),
        fallback_line: fallback_line.into(),
        calls_max: 100,
    }
}

/// Caen is beside Cherbourg; both and Rouen are parts of Normandie; Cannes is far from all.
fn regions() -> BTreeMap<RegionId, Region> {
    let region = |name: &str, parent: Option<&str>, neighbours: &[&str]| {
        let neighbours = neighbours.iter().map(|one| RegionId::from(*one)).collect();
        let parent = parent.map(RegionId::from);
        (RegionId::from(name), Region { name: name.to_owned(), parent, second: None, neighbours, samu: None })
    };
    BTreeMap::from([
        region("normandie", None, &[]),
        region("cherbourg", Some("normandie"), &["caen"]),
        region("caen", Some("normandie"), &["cherbourg"]),
        region("rouen", Some("normandie"), &[]),
        region("cannes", None, &[]),
    ])
}

pub(crate) fn centre(regulators: Vec<Regulator>, lines: Vec<Line>) -> Centre {
    let ddis: HashMap<_, _> =
        lines.iter().flat_map(|line| line.ddis.iter().map(|ddi| (ddi.clone(), line.id.clone()))).collect();
    Centre {
        zone: TimeZone::get("Europe/Paris").expect("a bundled zone"),
        associations: BTreeMap::new(),
        regions: regions(),
        lines: lines.into_iter().map(|line| (line.id.clone(), line)).collect(),
        ddis,
        regulators: regulators.into_iter().map(|one| (one.id.clone(), one)).collect(),
        trunks: BTreeMap::new(),
        menus: BTreeMap::new(),
        spoken: Default::default(),
        sounds: BTreeMap::new(),
        weights: Weights::default(),
        offers: OfferRules::default(),
        callers: Default::default(),
        outbound: Default::default(),
        lists: Default::default(),
        samu: crate::model::control::SAMU_NUMBER.into(),
        codes: Default::default(),
    }
}

/// An answered call of this number to `ddi`, which ended up on `line`.
pub(crate) fn record(caller: &str, ddi: &str, line: &str, regulator: &str) -> CallRecord {
    let caller = Caller { raw: caller.to_owned(), e164: E164::parse(caller), verified: true, ..Caller::default() };
    let value = serde_json::json!({
        "id": CallId(uuid::Uuid::from_u128(1)), "trunk": "carrier", "line": line, "association": "sos", "region": "rouen",
        "language": "fr", "ddi_raw": ddi, "fallback": false, "caller": caller, "skills": {}, "priority": 5,
        "received_at": Utc(1_795_000_000_000_000), "queued_at": Utc(1_795_000_001_000_000), "regulator": regulator,
        "offers": [], "legs": [], "recording": "always", "software": "test",
    });
    serde_json::from_value(value).expect("a record")
}
