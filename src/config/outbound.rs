//! The section `[outbound]`: which outside numbers regulators may dial, and what of it is told as toll fraud.

use std::collections::BTreeMap;

use super::document::{Report, Section, nearest};
use super::hours::read_hours;
use super::parts::seconds;
use super::values;
use crate::model::Centre;
use crate::model::outbound::{CALLS_PER_HOUR_MAX, FraudRules, Outbound, OutboundPolicy, ROLE_USUAL};

/// The most beginnings of numbers in one list.
const PREFIXES_MAX: usize = 64;

/// Reads the section; without it whatever the trunks dial may be dialled.
pub(super) fn read_outbound(root: &Section<'_>) -> Outbound {
    let (usual, section) = (Outbound::default(), root.section("outbound"));
    let always = if section.has("always") { read_prefixes(&section, "always") } else { usual.always };
    let mut roles = BTreeMap::new();
    for (role, section) in section.named("roles") {
        roles.insert(role, read_policy(&section));
        section.close();
    }
    let fraud = read_fraud(&section);
    section.close();
    Outbound { always, roles, fraud }
}

fn read_policy(section: &Section<'_>) -> OutboundPolicy {
    OutboundPolicy {
        prefixes: read_prefixes(section, "prefixes"),
        except: read_prefixes(section, "except"),
        hours: read_hours(section),
        calls_per_hour: section.or("calls_per_hour", 60, values::whole(1..=i64::from(CALLS_PER_HOUR_MAX))),
    }
}

fn read_fraud(section: &Section<'_>) -> FraudRules {
    let usual = FraudRules::default();
    let count = |key, usual| section.or(key, usual, values::whole(1..=i64::from(CALLS_PER_HOUR_MAX)));
    FraudRules {
        refused_max: count("fraud_refused", usual.refused_max),
        abroad_max: count("fraud_abroad", usual.abroad_max),
        calls_max: section.or("fraud_calls", usual.calls_max, values::whole(1..=10_000)),
        window: section.or("fraud_window", usual.window, values::duration(seconds(10, 3600))),
    }
}

fn read_prefixes(section: &Section<'_>, key: &'static str) -> Vec<String> {
    let prefixes: Vec<String> = section.list(key, values::dial_prefix).into_iter().map(|(_, prefix)| prefix).collect();
    if prefixes.len() > PREFIXES_MAX {
        section.report.fault(
            &section.path(key),
            format!("more than {PREFIXES_MAX} beginnings of numbers"),
            "write shorter beginnings, which stand for more numbers each",
        );
    }
    prefixes
}

/// Tells roles that nobody has described, and numbers that no trunk dials.
pub(super) fn check_outbound(report: &Report, centre: &Centre) {
    let roles = &centre.outbound.roles;
    for person in centre.regulators.values() {
        let role = &person.terms.role;
        if roles.contains_key(role) || role == ROLE_USUAL {
            continue;
        }
        let remedy = match nearest(role, roles.keys().map(String::as_str)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("describe it in [outbound.roles.{role}], or take it out"),
        };
        report.fault(&format!("regulators.{}.role", person.id), format!("the role `{role}` is not configured"), remedy);
    }
    let dials: Vec<&String> = centre.trunks.values().flat_map(|trunk| &trunk.dials).collect();
    for (role, policy) in roles {
        for (number, prefix) in policy.prefixes.iter().enumerate() {
            let meets = |dial: &&String| dial.starts_with(prefix.as_str()) || prefix.starts_with(dial.as_str());
            if !dials.iter().any(meets) {
                report.warn(
                    &format!("outbound.roles.{role}.prefixes[{number}]"),
                    format!("no trunk dials numbers that begin with {prefix}"),
                    "add it to the `dials` of a trunk, or take it out",
                );
            }
        }
    }
}
