//! One site of four associations, after the profile in field.md: twelve regulators, seven of them on duty.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use vigie::model::Transport;
use vigie::model::centre::{
    AddressBlock, Association, Centre, Demand, DigestChoice, Farewell, GreetingMode, Line, OfferRules, Reach,
    RecordingPolicy, Region, Regulator, Step, Trunk, TrunkReach, WeeklyHours, Weights,
};
use vigie::model::{Chance, Credential, E164, Needs, NumberPlan, SkillId};
use vigie::useragent::{Listener, Rules};

use crate::voice;
use crate::wire::Account;

/// The digest realm.
pub const REALM: &str = "vigie";
/// How long a played sound lasts.
pub const SOUND_MS: u64 = 3_500;
/// What regulators register for.
pub const EXPIRES_S: u64 = 300;

/// Vigie's listener.
pub fn vigie() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 5060))
}

/// The carrier's two hosts.
pub fn trunk(host: u64) -> SocketAddr {
    SocketAddr::from(([10, 1, 0, 1 + (host % 2) as u8], 5060))
}

/// The account of a regulator, whose password only the phone knows.
pub fn account(user: &str) -> Account {
    Account { user: user.to_owned(), password: format!("pass-{user}"), realm: REALM.to_owned() }
}

/// The rules of the user agent.
pub fn rules() -> Rules {
    Rules {
        realm: REALM.to_owned(),
        listeners: vec![Listener { transport: Transport::Udp, address: vigie() }],
        expires_min: Duration::from_secs(30),
        expires_max: Duration::from_secs(600),
        ..Rules::default()
    }
}

/// The HA1 of every regulator.
pub fn credentials(centre: &Centre) -> HashMap<vigie::model::RegulatorId, Credential> {
    let of = |id: &vigie::model::RegulatorId| {
        let [md5, sha256] = account(id.as_str()).ha1();
        (id.clone(), Credential { md5, sha256 })
    };
    centre.regulators.keys().map(of).collect()
}

fn skills(list: &[(&str, u8)]) -> BTreeMap<SkillId, u8> {
    list.iter().map(|(name, level)| (SkillId::from(*name), *level)).collect()
}

fn step(after_s: u64, list: &[(&str, u8)]) -> Step {
    let needs = Some(Needs::from(&skills(list)));
    Step { after: Some(Duration::from_secs(after_s)), needs, ..Step::default() }
}

/// What a line differs in.
struct Sketch {
    id: &'static str,
    ddi: &'static str,
    association: &'static str,
    region: &'static str,
    skills: &'static [(&'static str, u8)],
    priority: u8,
}

fn line(sketch: &Sketch) -> Line {
    let farewell = |name: &str| Farewell { message: Some(name.into()), to: None };
    Line {
        voice: Default::default(),
        accept: vigie::model::centre::Accept::AtOnce,
        id: sketch.id.into(),
        name: format!("SOS {}", sketch.id),
        association: sketch.association.into(),
        ddis: vec![E164::parse(sketch.ddi).expect("a number")],
        demand: Demand {
            region: sketch.region.into(),
            needs: Needs::from(&skills(sketch.skills)),
            priority: sketch.priority,
            reach: Default::default(),
            steps: vec![step(20, &[("regulation", 20)]), step(60, &[("regulation", 1)])],
        },
        language: "fr".into(),
        greeting: Some("greeting".into()),
        greeting_mode: GreetingMode::Before,
        music: "music".into(),
        hold_music: "hold".into(),
        recording: RecordingPolicy::Always,
        recording_terms: Default::default(),
        wrap_up: Duration::from_secs(20),
        waiting_max: Duration::from_secs(900),
        hours: None,
        overflow: farewell("overflow"),
        nobody: farewell("nobody"),
        closed: farewell("closed"),
    }
}

fn lines() -> Vec<Line> {
    let general: &[(&str, u8)] = &[("regulation", 50)];
    let children: &[(&str, u8)] = &[("regulation", 50), ("paediatrics", 50)];
    let english: &[(&str, u8)] = &[("regulation", 30), ("lang-en", 40)];
    let sketch = |id, ddi, association, region, skills, priority| {
        line(&Sketch { id, ddi, association, region, skills, priority })
    };
    let mut rouen = sketch("rouen", "+33235000001", "sos-rouen", "seine", general, 5);
    rouen.wrap_up = Duration::from_secs(45);
    let mut dijon = sketch("dijon", "+33380000001", "sos-dijon", "cote-d-or", general, 5);
    dijon.greeting_mode = GreetingMode::Meanwhile;
    // Held for its region at first, and then looked for farther and farther; asked for by an expression.
    dijon.demand.needs = "regulation >= 50 and (lang-en or regulation >= 70)".parse().expect("an expression");
    dijon.demand.reach = Reach::Home;
    for (step, reach) in dijon.demand.steps.iter_mut().zip([Reach::Parent, Reach::All]) {
        step.reach = Some(reach);
        step.priority = Some(4);
    }
    dijon.wrap_up = Duration::ZERO;
    let mut cannes = sketch("cannes", "+33493000001", "sos-cannes", "azur", general, 5);
    cannes.greeting = None;
    cannes.waiting_max = Duration::from_secs(75);
    let child = sketch("cannes-child", "+33493000002", "sos-cannes", "azur", children, 3);
    let english = sketch("rouen-en", "+33235000002", "sos-rouen", "seine", english, 5);
    let urgent = sketch("cherbourg-urgent", "+33233000009", "sos-cherbourg", "cotentin", general, 1);
    let mut office = sketch("office", "+33233000005", "sos-cherbourg", "cotentin", &[("administration", 1)], 8);
    office.recording = RecordingPolicy::Never;
    office.demand.steps.clear();
    office.overflow.message = None;
    office.nobody.message = None;
    office.waiting_max = Duration::from_secs(120);
    let mut night = sketch("night", "+33233000007", "sos-cherbourg", "cotentin", general, 5);
    // 2026-11-21 is a Saturday; the day of the simulation begins at 17:00 UTC, 18:00 in Paris.
    let (from, to) = (jiff::civil::time(18, 30, 0, 0), jiff::civil::time(23, 0, 0, 0));
    let week = WeeklyHours { spans: vec![(jiff::civil::Weekday::Saturday, from, to)] };
    night.hours = Some(vigie::model::calendar::Calendar::of_week(week));
    let cherbourg = sketch("cherbourg", "+33233000001", "sos-cherbourg", "cotentin", general, 5);
    vec![cherbourg, rouen, dijon, cannes, child, english, urgent, office, night]
}

/// Id, employer, skills, regions.
pub type Person = (&'static str, &'static str, &'static [(&'static str, u8)], &'static [(&'static str, u32)]);

/// Everybody who may answer.
pub const PEOPLE: [Person; 12] = [
    ("alix", "sos-cherbourg", &[("regulation", 80), ("paediatrics", 60)], &[("cotentin", 0), ("seine", 5)]),
    ("basile", "sos-cherbourg", &[("regulation", 70)], &[("cotentin", 0)]),
    ("chloe", "sos-cherbourg", &[("regulation", 60), ("administration", 50)], &[("cotentin", 0), ("azur", 15)]),
    ("denis", "sos-rouen", &[("regulation", 90), ("lang-en", 80)], &[("seine", 0)]),
    ("elodie", "sos-rouen", &[("regulation", 55), ("physician", 90)], &[("seine", 0), ("cotentin", 5)]),
    ("farid", "sos-rouen", &[("regulation", 25)], &[("seine", 0)]),
    ("gaelle", "sos-dijon", &[("regulation", 75)], &[("cote-d-or", 0)]),
    ("hugo", "sos-dijon", &[("regulation", 50), ("lang-en", 30)], &[("cote-d-or", 0), ("azur", 8)]),
    ("ines", "sos-cannes", &[("regulation", 85), ("paediatrics", 90)], &[("azur", 0)]),
    ("jules", "sos-cannes", &[("regulation", 65), ("lang-en", 60)], &[("azur", 0), ("cote-d-or", 8)]),
    ("karim", "sos-cannes", &[("regulation", 10)], &[("azur", 0)]),
    ("lea", "sos-cherbourg", &[("regulation", 50), ("administration", 90)], &[("cotentin", 0)]),
];

fn regulator(index: usize, (id, association, has, serves): Person) -> Regulator {
    Regulator {
        id: id.into(),
        name: id.to_uppercase(),
        association: association.into(),
        skills: skills(has),
        regions: serves.iter().map(|(region, cost)| ((*region).into(), *cost)).collect(),
        ready_on_register: index % 5 != 4,
        srtp: Default::default(),
        terms: Default::default(),
        digest: [DigestChoice::Md5, DigestChoice::Both, DigestChoice::Sha256][index % 3],
    }
}

fn regions() -> BTreeMap<vigie::model::RegionId, Region> {
    let all: [(&str, Option<&str>, &[&str]); 6] = [
        ("normandie", None, &[]),
        ("cotentin", Some("normandie"), &["seine"]),
        ("seine", Some("normandie"), &["cotentin"]),
        ("cote-d-or", None, &[]),
        ("paca", None, &[]),
        ("azur", Some("paca"), &[]),
    ];
    all.iter()
        .map(|(id, parent, neighbours)| {
            let neighbours = neighbours.iter().map(|n| (*n).into()).collect();
            (
                (*id).into(),
                Region { name: (*id).into(), parent: parent.map(Into::into), second: None, neighbours, samu: None },
            )
        })
        .collect()
}

/// Another configuration of the same centre: other skills and weights, somebody new who never comes, another line. What
/// lines ask, and where people are, stays, so that who can answer whom is reckoned by the same rules.
pub fn changed(chance: &mut Chance) -> Arc<Centre> {
    let mut centre = Centre::clone(&centre());
    for one in centre.regulators.values_mut() {
        let leaves_out = chance.below(4) == 0;
        one.skills.retain(|skill, _| !leaves_out || skill.as_str() == "regulation");
    }
    centre.weights.scarcity = chance.below(30) as f64;
    for line in centre.lines.values_mut() {
        line.wrap_up = Duration::from_secs(10 + chance.below(60));
        line.waiting_max = Duration::from_secs(600 + chance.below(600));
    }
    if chance.below(2) == 0 {
        centre
            .regulators
            .insert("zoe".into(), regulator(12, ("zoe", "sos-rouen", &[("regulation", 60)], &[("seine", 0)])));
        let night = Sketch {
            id: "rouen-night",
            ddi: "+33235000077",
            association: "sos-rouen",
            region: "seine",
            skills: &[("regulation", 50)],
            priority: 5,
        };
        let night = line(&night);
        centre.ddis.extend(night.ddis.iter().map(|ddi| (ddi.clone(), night.id.clone())));
        centre.lines.insert(night.id.clone(), night);
    }
    Arc::new(centre)
}

/// The centre.
pub fn centre() -> Arc<Centre> {
    let lines: Vec<Line> = lines().into_iter().map(voice::dress).collect();
    let trunk = Trunk {
        id: "carrier".into(),
        peers: vec![AddressBlock::parse("10.1.0.0/24").expect("a block")],
        numbers: NumberPlan::default(),
        fallback_line: "cherbourg".into(),
        calls_max: 120,
        rate_max: 1000,
        reach: Some(TrunkReach { host: "10.1.0.1".into(), port: Some(5060), transport: Some(Transport::Udp) }),
        registration: None,
        options_every: None,
        srtp: Default::default(),
        codecs: vigie::model::Codec::USUAL.to_vec(),
        verified: Default::default(),
        dials: vec!["15".into(), "+336".into(), "+337".into()],
        outgoing: Default::default(),
    };
    let associations = ["sos-cherbourg", "sos-rouen", "sos-dijon", "sos-cannes"];
    let sounds = ["greeting", "music", "hold", "overflow", "nobody", "closed", "ready-fr", "paused-fr", "longer-fr"];
    Arc::new(Centre {
        menus: voice::menus(),
        spoken: ["fr".to_owned()].into(),
        zone: jiff::tz::TimeZone::get("Europe/Paris").expect("a zone"),
        associations: associations
            .iter()
            .map(|id| {
                let name = (*id).into();
                ((*id).into(), Association { name, number_shown: None, outbound_line: None, retention_years: 5 })
            })
            .collect(),
        regions: regions(),
        ddis: lines.iter().flat_map(|l| l.ddis.iter().map(|d| (d.clone(), l.id.clone()))).collect(),
        lines: lines.into_iter().map(|l| (l.id.clone(), l)).collect(),
        regulators: PEOPLE.iter().enumerate().map(|(i, p)| (p.0.into(), regulator(i, *p))).collect(),
        trunks: [(trunk.id.clone(), trunk)].into(),
        sounds: sounds.iter().map(|name| ((*name).into(), PathBuf::from(format!("{name}.wav")))).collect(),
        weights: Weights::default(),
        offers: OfferRules::default(),
        callers: Default::default(),
        outbound: Default::default(),
        lists: voice::lists(),
        samu: vigie::model::control::SAMU_NUMBER.into(),
        codes: Default::default(),
    })
}
