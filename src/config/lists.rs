//! The sections `[lists.ID]`: callers who go first, callers who are refused, test numbers.

use std::collections::BTreeMap;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use toml::de::DeValue;

use super::calendars::read_date;
use super::demand::{REACHES, read_needs};
use super::document::{Report, Section, Trouble};
use super::values;
use crate::clock;
use crate::model::demand::DemandChange;
use crate::model::standing::{CallerList, ListKind, Numbers};
use crate::model::{Centre, LineId, ListId, RegionId, Utc};

/// What a list may be.
const KINDS: [(&str, Kind); 3] = [("priority", Kind::Priority), ("blocked", Kind::Blocked), ("test", Kind::Test)];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Priority,
    Blocked,
    Test,
}

/// Every list, by id.
pub(super) fn read_lists(root: &Section<'_>, zone: &TimeZone) -> BTreeMap<ListId, CallerList> {
    let mut lists = BTreeMap::new();
    for (id, section) in root.named("lists") {
        let id = ListId::from(id.as_str());
        lists.insert(id.clone(), read_list(&section, id, zone));
        section.close();
    }
    lists
}

fn read_list(section: &Section<'_>, id: ListId, zone: &TimeZone) -> CallerList {
    let remedy = "write kind = \"priority\", \"blocked\" or \"test\"";
    let kind = section.must("kind", remedy, values::choice(&KINDS));
    let change = DemandChange {
        region: section.take("region", values::id).map(|region| region.as_str().into()),
        needs: read_needs(section),
        priority: section.take("priority", values::whole(1..=9)),
        reach: section.take("reach", values::choice(&REACHES)),
    };
    let changes = ["region", "needs", "skills", "priority", "reach"];
    match kind {
        Some(Kind::Priority) if change == DemandChange::default() => section.report.fault(
            &section.key,
            "the list changes nothing of its callers' demand",
            "write priority = 2, or skills, needs, region or reach",
        ),
        Some(Kind::Blocked | Kind::Test) => {
            for key in changes.into_iter().filter(|key| section.has(key)) {
                let remedy = "take it out, or write kind = \"priority\"";
                section.report.fault(&section.path(key), "means nothing on a list of this kind", remedy);
            }
        }
        Some(Kind::Priority) | None => {}
    }
    let numbers: Vec<Numbers> = section.list("numbers", numbers).into_iter().map(|(_, numbers)| numbers).collect();
    let until = read_until(section, zone);
    let reason = section.take("reason", values::text);
    if kind == Some(Kind::Blocked) && !numbers.is_empty() {
        for (key, remedy) in
            [("reason", "write why: reason = \"…\""), ("until", "write until when: until = \"2026-12-31\"")]
        {
            if !section.has(key) {
                let problem = "is missing: whoever is blocked is so for a reason and until a day";
                section.report.fault(&section.path(key), problem, remedy);
            }
        }
    }
    CallerList {
        name: section.or("name", id.to_string(), values::text),
        id,
        kind: match kind {
            Some(Kind::Blocked) => ListKind::Blocked,
            Some(Kind::Priority) => ListKind::Priority(Box::new(change)),
            Some(Kind::Test) | None => ListKind::Test,
        },
        numbers,
        lines: section.list("lines", values::id).into_iter().map(|(_, line)| line.as_str().into()).collect(),
        reason,
        until,
    }
}

fn numbers(value: &DeValue<'_>) -> Result<Numbers, Trouble> {
    let written = values::text(value)?;
    Numbers::parse(&written).ok_or_else(|| {
        let remedy = "write +33233000001, a beginning such as \"+3323300*\", or \"anonymous\"";
        (format!("`{written}` is no number of a list"), remedy.to_owned())
    })
}

/// The last day on which the numbers hold, as the end of that day.
fn read_until(section: &Section<'_>, zone: &TimeZone) -> Option<Utc> {
    let day = section.take("until", read_date)?;
    let end = day.tomorrow().ok()?.to_datetime(Time::midnight());
    let until = Utc(zone.to_ambiguous_timestamp(end).compatible().ok()?.as_microsecond());
    if until <= clock::utc() {
        let remedy = "take the numbers out, or write a later day";
        section.report.warn(&section.path("until"), format!("{day} is past: its numbers hold no more"), remedy);
    }
    Some(until)
}

/// Tells the lines and regions that a list names and nobody knows; its skills are told with the lines'.
pub(super) fn check_lists(report: &Report, centre: &Centre) {
    for list in centre.lists.values() {
        for (number, line) in list.lines.iter().enumerate() {
            let known = centre.lines.keys().map(LineId::as_str);
            super::references::check_name(
                report,
                &format!("lists.{}.lines[{number}]", list.id),
                line.as_str(),
                known,
                "lines.ID",
            );
        }
        if let ListKind::Priority(change) = &list.kind
            && let Some(region) = &change.region
        {
            let known = centre.regions.keys().map(RegionId::as_str);
            let key = format!("lists.{}.region", list.id);
            super::references::check_name(report, &key, region.as_str(), known, "regions.ID");
        }
    }
}
