//! The sections of the centre: skills, associations, regions, regulators, sounds, weights, offers.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::calendars::read_calendars;
use super::codes::read_codes;
use super::control::{dialled, read_samu};
use super::custody::read_retention;
use super::document::Section;
use super::lines::read_lines;
use super::lists::read_lists;
use super::outbound::read_outbound;
use super::parts::seconds;
use super::values;
use super::voice::{read_menus, read_spoken};
use crate::model::centre::{Association, DigestChoice, OfferRules, RETENTION_YEARS_MIN, Region, Weights};
use crate::model::srtp::SrtpPolicy;
use crate::model::{CallerRules, Centre, RegionId, Regulator, RegulatorId, SkillId, SoundId};

/// How SRTP policies are written.
pub(super) const SRTP: [(&str, SrtpPolicy); 3] =
    [("off", SrtpPolicy::Off), ("preferred", SrtpPolicy::Preferred), ("required", SrtpPolicy::Required)];

/// How digest choices are written.
pub(super) const DIGESTS: [(&str, DigestChoice); 3] =
    [("md5", DigestChoice::Md5), ("sha256", DigestChoice::Sha256), ("both", DigestChoice::Both)];

/// The names of the skills, and what each means.
pub(super) type Skills = BTreeMap<SkillId, String>;

/// Reads what routing knows, but for the trunks; `folder` is where relative sound files are.
pub(super) fn read_centre(
    root: &Section<'_>,
    folder: &Path,
    zone: TimeZone,
    regulators: BTreeMap<RegulatorId, Regulator>,
) -> (Centre, Skills) {
    let skills: Skills =
        root.pairs("skills", values::text).into_iter().map(|(id, text)| (id.as_str().into(), text)).collect();
    let (lines, ddis) = read_lines(root, &read_calendars(root));
    let associations = root.named("associations").into_iter().map(|(id, section)| {
        let name = section.or("name", id.clone(), values::text);
        let number_shown = section.take("number_shown", values::number);
        let outbound_line = section.take("outbound_line", values::id).map(|line| line.as_str().into());
        let retention_years = section.or("retention_years", RETENTION_YEARS_MIN, read_retention);
        section.close();
        (id.as_str().into(), Association { name, number_shown, outbound_line, retention_years })
    });
    let sounds = root.pairs("sounds", values::path);
    let sounds = sounds.into_iter().map(|(name, file)| (SoundId::from(name.as_str()), folder.join(file)));
    let (spoken, spoken_sounds) = read_spoken(root, folder);
    let lists = read_lists(root, &zone);
    let centre = Centre {
        zone,
        associations: associations.collect(),
        regions: read_regions(root),
        lines,
        ddis,
        regulators,
        trunks: BTreeMap::new(),
        menus: read_menus(root),
        spoken,
        sounds: sounds.chain(spoken_sounds).collect(),
        weights: read_weights(root),
        offers: read_offers(root),
        callers: read_callers(root),
        outbound: read_outbound(root),
        lists,
        samu: read_samu(root),
        codes: read_codes(root),
    };
    (centre, skills)
}

/// What regulators without a choice of their own have.
#[derive(Clone, Copy, Debug)]
pub(super) struct PhoneDefaults {
    pub(super) digest: DigestChoice,
    pub(super) srtp: SrtpPolicy,
}

/// The keys `digest` and `srtp` in `[sip]`.
pub(super) fn read_phone_defaults(sip: &Section<'_>) -> PhoneDefaults {
    PhoneDefaults {
        digest: sip.or("digest", DigestChoice::Both, values::choice(&DIGESTS)),
        srtp: sip.or("srtp", SrtpPolicy::Off, values::choice(&SRTP)),
    }
}

/// The key `timezone` in `[node]`.
pub(super) fn read_zone(node: &Section<'_>) -> TimeZone {
    let name = node.or("timezone", "Europe/Paris".into(), values::text);
    TimeZone::get(&name).unwrap_or_else(|_| {
        node.report.fault(
            &node.path("timezone"),
            format!("`{name}` is no time zone"),
            "write a name of the IANA database, such as \"Europe/Paris\"",
        );
        TimeZone::UTC
    })
}

fn read_regions(root: &Section<'_>) -> BTreeMap<RegionId, Region> {
    let mut regions = BTreeMap::new();
    for (id, section) in root.named("regions") {
        let neighbours = section.list("neighbours", values::id);
        let region = Region {
            name: section.or("name", id.clone(), values::text),
            parent: section.take("parent", values::id).map(|parent| parent.as_str().into()),
            second: section.take("second", values::id).map(|second| second.as_str().into()),
            neighbours: neighbours.into_iter().map(|(_, id)| id.as_str().into()).collect(),
            samu: section.take("samu", dialled),
        };
        section.close();
        regions.insert(id.as_str().into(), region);
    }
    regions
}

fn read_weights(root: &Section<'_>) -> Weights {
    let routing = root.section("routing");
    let (default, section) = (Weights::default(), routing.section("weights"));
    let weights = Weights {
        region_second: section.or("region_second", default.region_second, values::whole(0..=1000)),
        region_neighbour: section.or("region_neighbour", default.region_neighbour, values::whole(0..=1000)),
        region_sibling: section.or("region_sibling", default.region_sibling, values::whole(0..=1000)),
        region_far: section.or("region_far", default.region_far, values::whole(0..=1000)),
        region_fade: section.or("region_fade", default.region_fade, values::duration(seconds(0, 14_400))),
        skill_fit: section.or("skill_fit", default.skill_fit, values::decimal(0.0..=1000.0)),
        skill_wait: section.or("skill_wait", default.skill_wait, values::duration(seconds(0, 600))),
        scarcity: section.or("scarcity", default.scarcity, values::decimal(0.0..=1000.0)),
        idle_minute: section.or("idle_minute", default.idle_minute, values::decimal(0.0..=100.0)),
        idle_max: section.or("idle_max", default.idle_max, values::decimal(0.0..=1000.0)),
    };
    section.close();
    routing.close();
    weights
}

fn read_offers(root: &Section<'_>) -> OfferRules {
    let (default, section) = (OfferRules::default(), root.section("offers"));
    let pause = |key, span: Duration| section.or(key, span, values::duration(seconds(0, 3600)));
    let ring = section.or("ring_duration_max", default.ring_duration_max, values::duration(seconds(3, 120)));
    let rules = OfferRules {
        ring_duration_max: ring,
        pause_no_answer: pause("pause_no_answer", default.pause_no_answer),
        pause_unreachable: pause("pause_unreachable", default.pause_unreachable),
        pause_refused: pause("pause_refused", default.pause_refused),
        wrap_up_extension: section.or(
            "wrap_up_extension",
            default.wrap_up_extension,
            values::duration(seconds(5, 3600)),
        ),
    };
    section.close();
    rules
}

/// The section `[callers]`: persons across their calls.
fn read_callers(root: &Section<'_>) -> CallerRules {
    let section = root.section("callers");
    let usual = CallerRules::default();
    let rules = CallerRules {
        return_within: section.or("return_within", usual.return_within, values::duration(seconds(0, 86_400))),
        abandoned_after: section.or("abandoned_after", usual.abandoned_after, values::duration(seconds(1, 3600))),
    };
    section.close();
    rules
}
