//! What names something else must name something that exists; what cannot work together is told.

use std::collections::BTreeSet;
use std::path::Path;

use super::centre::Skills;
use super::document::{Report, nearest};
use super::farewells::check_farewells;
use super::lists::check_lists;
use super::reach::reach;
use super::settings::{ListenerSettings, MediaSettings, SipSettings};
use super::values::show_duration;
use crate::model::centre::AddressBlock;
use crate::model::srtp::SrtpPolicy;
use crate::model::standing::ListKind;
use crate::model::{Centre, Codec, LineId, Needs, RegionId, Regulator, SkillId, SoundId, Transport};

/// Tells every reference that leads nowhere.
pub(super) fn check_references(report: &Report, centre: &Centre, skills: &Skills) {
    check_regions(report, centre);
    check_lines(report, centre, skills);
    check_lists(report, centre);
    check_farewells(report, centre);
    for list in centre.lists.values() {
        if let ListKind::Priority(change) = &list.kind
            && let Some(needs) = &change.needs
        {
            check_needs(report, &format!("lists.{}", list.id), needs, skills);
        }
    }
    check_regulators(report, centre, skills);
    check_trunks(report, centre);
}

/// Tells demands that nobody can meet; only of use once the references hold.
pub(super) fn check_reach(report: &Report, centre: &Centre, skills: &Skills) {
    let all = reach(centre);
    for line in centre.lines.keys() {
        let steps: Vec<_> = all.iter().filter(|reach| reach.line == *line).collect();
        let key = asking_key(report, line.as_str());
        if steps.iter().all(|step| step.regulators.is_empty()) {
            report.fault(
                &key,
                "no regulator can answer this line, at any step",
                "lower the levels, add a step that relaxes them, or give a regulator these skills",
            );
        } else if let Some(first) = steps.iter().find(|step| !step.regulators.is_empty()).filter(|step| step.step > 0) {
            let from = first.after.map_or("its step by forecast".to_owned(), show_duration);
            report.warn(
                &key,
                format!("no regulator can answer before {from}"),
                "lower the levels, or give a regulator these skills; with a narrow `reach`, let somebody serve the region",
            );
        }
        tell_lost_alternatives(report, centre, &key, line);
    }
    for person in centre.regulators.keys() {
        if !all.iter().any(|reach| reach.regulators.contains(person)) {
            report.warn(
                &format!("regulators.{person}.skills"),
                "this regulator fits no line, at any step",
                "give the person the skills that a line asks, or lower a line's levels",
            );
        }
    }
    for skill in skills.keys().filter(|skill| !centre.regulators.values().any(|r| r.skills.contains_key(*skill))) {
        report.warn(
            &format!("skills.{skill}"),
            "no regulator has this skill",
            "give it to a regulator, or take it out of the list",
        );
    }
    let fallbacks: BTreeSet<_> = centre.trunks.values().map(|trunk| &trunk.fallback_line).collect();
    for line in centre.lines.values().filter(|line| line.ddis.is_empty() && !fallbacks.contains(&line.id)) {
        report.warn(
            &format!("lines.{}.ddis", line.id),
            "no number reaches this line",
            "write its numbers: ddis = [\"+33…\"]",
        );
    }
}

/// Where a line says what it asks.
fn asking_key(report: &Report, line: &str) -> String {
    let key = format!("lines.{line}.needs");
    if report.has(&key) { key } else { format!("lines.{line}.skills") }
}

/// Tells the alternatives of an expression that nobody can meet.
fn tell_lost_alternatives(report: &Report, centre: &Centre, key: &str, line: &LineId) {
    let Some(line) = centre.lines.get(line) else { return };
    let mut lost = Vec::new();
    collect_lost(&line.demand.needs, centre, &mut lost);
    for part in lost {
        let remedy = "lower its level, give a regulator the skill, or take the alternative out";
        report.warn(key, format!("no regulator meets the alternative `{part}`"), remedy);
    }
}

fn collect_lost<'a>(needs: &'a Needs, centre: &Centre, lost: &mut Vec<&'a Needs>) {
    let is_met = |part: &Needs| centre.regulators.values().any(|person| part.is_met_by(&person.skills));
    match needs {
        Needs::Level(..) => {}
        Needs::All(parts) => parts.iter().for_each(|part| collect_lost(part, centre, lost)),
        Needs::Any(parts) => {
            lost.extend(parts.iter().filter(|part| !is_met(part)));
            parts.iter().for_each(|part| collect_lost(part, centre, lost));
        }
    }
}

/// Tells ports that two parts would fight for, and sounds that are no sound.
pub(super) fn check_machine(report: &Report, centre: &Centre, sip: &SipSettings, media: &MediaSettings) {
    for (number, ListenerSettings { transport, address, .. }) in sip.listen.iter().enumerate() {
        let same_place =
            address.ip() == media.address || address.ip().is_unspecified() || media.address.is_unspecified();
        if *transport == Transport::Udp && same_place && (media.ports.0..=media.ports.1).contains(&address.port()) {
            report.fault(
                &format!("sip.listen[{number}]"),
                format!("port {} lies among the media ports {} to {}", address.port(), media.ports.0, media.ports.1),
                "move the listener or media.ports",
            );
        }
    }
    let is_open = sip.listen.iter().any(|listener| !listener.address.ip().is_loopback());
    if is_open && media.address.is_loopback() {
        report.warn(
            "media.address",
            "is this machine alone, but SIP is listened for beyond it: callers from elsewhere would hear nothing",
            "write the address of the network interface that the phones and the carrier reach",
        );
    }
    check_digests(report, centre, sip);
    check_srtp(report, centre, sip);
    check_codecs(report, centre, media);
    for trunk in centre.trunks.values().filter(|trunk| trunk.peers.iter().any(is_wide)) {
        report.warn(
            &format!("trunks.{}.peers", trunk.id),
            "holds more addresses than a carrier has: whoever sends from one of them may call without a password, and \
             no phone can register from there",
            "write the carrier's own addresses, or the smallest blocks that hold them",
        );
    }
    let is_far = |block: &AddressBlock| !block.address.is_loopback();
    for trunk in centre.trunks.values().filter(|trunk| !is_open && trunk.peers.iter().any(is_far)) {
        report.warn(
            &format!("trunks.{}.peers", trunk.id),
            "is beyond this machine, but SIP is listened for on it alone",
            "open sip.listen to the network",
        );
    }
    // A bridged call has two legs, each with an RTP and an RTCP port.
    let calls: u32 = centre.trunks.values().map(|trunk| trunk.calls_max).sum();
    let room = u32::from(media.ports.1 - media.ports.0) / 4;
    if calls > room {
        report.warn(
            "media.ports",
            format!("has room for {room} bridged calls, and the trunks allow {calls}"),
            "take a larger range, or lower calls_max of the trunks",
        );
    }
    for (name, file) in &centre.sounds {
        check_sound(report, name, file);
    }
    for (name, when) in [("ready-fr", "after *11"), ("paused-fr", "after *10"), ("longer-fr", "after *12")] {
        if !centre.sounds.contains_key(&SoundId::from(name)) {
            report.warn(
                "sounds",
                format!("`{name}` is missing: nothing will be heard {when}"),
                format!("write {name} = \"sounds/{name}.wav\""),
            );
        }
    }
}

/// Tells regulators whose phones no algorithm of a listener suits.
fn check_digests(report: &Report, centre: &Centre, sip: &SipSettings) {
    for (number, listener) in sip.listen.iter().enumerate() {
        let is_out = |person: &&Regulator| person.digest.shared_with(listener.digest).is_none();
        let out: Vec<&str> = centre.regulators.values().filter(is_out).map(|person| person.id.as_str()).collect();
        if !out.is_empty() {
            report.warn(
                &format!("sip.listen[{number}].digest"),
                format!("leaves no algorithm for {}: their own is used on this listener all the same", out.join(", ")),
                "widen the listener's `digest` to \"both\", or change theirs",
            );
        }
    }
}

/// Tells where SRTP's keys would travel readable: they stand in the SDP (RFC 4568 §7).
fn check_srtp(report: &Report, centre: &Centre, sip: &SipSettings) {
    const TELL: &str = "SRTP's keys stand in the SIP messages, which anybody on the way could read: the media would be as open as without";
    let open = sip.listen.iter().position(|listener| !listener.transport.is_secure());
    let users: Vec<&str> = centre
        .regulators
        .values()
        .filter(|person| person.srtp != SrtpPolicy::Off)
        .map(|person| person.id.as_str())
        .collect();
    if let Some(number) = open.filter(|_| !users.is_empty()) {
        report.warn(
            &format!("sip.listen[{number}]"),
            format!("is without TLS, and {} may use SRTP over it: {TELL}", users.join(", ")),
            "register these phones over TLS, and close this listener to them; or write srtp = \"off\"",
        );
    }
    for trunk in centre.trunks.values().filter(|trunk| trunk.srtp != SrtpPolicy::Off) {
        let is_open = match &trunk.reach {
            Some(reach) => matches!(reach.transport, Some(transport) if !transport.is_secure()),
            None => !sip.listen.iter().any(|listener| listener.transport.is_secure()),
        };
        if is_open {
            report.warn(
                &format!("trunks.{}.srtp", trunk.id),
                format!("without TLS: {TELL}"),
                "reach the carrier over TLS (transport = \"tls\", a tls: listener), or write srtp = \"off\"",
            );
        }
    }
}

/// Tells who leaves out what every telephone network speaks.
fn check_codecs(report: &Report, centre: &Centre, media: &MediaSettings) {
    let lacks = |codecs: &[Codec]| !codecs.contains(&Codec::Pcma) && !codecs.contains(&Codec::Pcmu);
    const TELL: &str =
        "has neither PCMA nor PCMU: whoever speaks nothing else, as most carriers and many phones, is refused";
    const REMEDY: &str = "add \"pcma\" and \"pcmu\" at its end, unless that is meant";
    if lacks(&media.codecs) {
        return report.warn("media.codecs", TELL, REMEDY);
    }
    for trunk in centre.trunks.values().filter(|trunk| lacks(&trunk.codecs)) {
        report.warn(&format!("trunks.{}.codecs", trunk.id), TELL, REMEDY);
    }
}

fn check_sound(report: &Report, name: &SoundId, file: &Path) {
    let key = match name.as_str().split_once('/') {
        Some((language, _)) => format!("spoken.{language}"),
        None => format!("sounds.{name}"),
    };
    let remedy = "put a WAV file there: PCM, 8000 Hz, mono, 16 bit (sox in.wav -r 8000 -c 1 -b 16 out.wav)";
    match hound::WavReader::open(file) {
        Err(hound::Error::IoError(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            report.fault(&key, format!("the file {} is missing", file.display()), remedy);
        }
        Err(error) => report.fault(&key, format!("the file {} cannot be read: {error}", file.display()), remedy),
        Ok(reader) => {
            let form = reader.spec();
            let is_right = form.sample_rate == 8000
                && form.channels == 1
                && form.bits_per_sample == 16
                && form.sample_format == hound::SampleFormat::Int;
            if !is_right {
                let found = format!("{} Hz, {} tracks, {} bit", form.sample_rate, form.channels, form.bits_per_sample);
                report.fault(&key, format!("the file {} has the wrong form ({found})", file.display()), remedy);
            } else if reader.len() == 0 {
                report.fault(&key, format!("the file {} holds no sound", file.display()), remedy);
            }
        }
    }
}

/// Tells `name` at `key` unless it is among `known` or was already told there.
pub(super) fn check_name<'a>(
    report: &Report,
    key: &str,
    name: &str,
    known: impl Iterator<Item = &'a str>,
    section: &str,
) {
    let known: Vec<&str> = known.collect();
    if known.contains(&name) || report.has_fault_under(key) {
        return;
    }
    let remedy = match nearest(name, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if known.is_empty() => format!("configure it in [{section}]"),
        None => format!("configure it in [{section}], or take one of: {}", known.join(", ")),
    };
    report.fault(key, format!("`{name}` is not configured"), remedy);
}

fn check_regions(report: &Report, centre: &Centre) {
    let known = || centre.regions.keys().map(RegionId::as_str);
    for (id, region) in &centre.regions {
        let key = format!("regions.{id}.parent");
        if let Some(parent) = &region.parent {
            check_name(report, &key, parent.as_str(), known(), "regions.ID");
        }
        if let Some(second) = &region.second {
            let key = format!("regions.{id}.second");
            check_name(report, &key, second.as_str(), known(), "regions.ID");
            if second == id {
                report.fault(&key, "a region is not its own second region", "write another region, or take it out");
            }
        }
        for (number, neighbour) in region.neighbours.iter().enumerate() {
            let key = format!("regions.{id}.neighbours[{number}]");
            check_name(report, &key, neighbour.as_str(), known(), "regions.ID");
            if neighbour == id {
                report.fault(&key, "a region is not its own neighbour", "take it out");
            }
        }
        if is_its_own_ancestor(centre, id) {
            report.fault(&key, "following the parents leads back here", "let one region of the circle have no parent");
        }
    }
}

fn is_its_own_ancestor(centre: &Centre, id: &RegionId) -> bool {
    let mut at = id;
    for _ in 0..=centre.regions.len() {
        match centre.regions.get(at).and_then(|region| region.parent.as_ref()) {
            None => return false,
            Some(parent) if parent == id => return true,
            Some(parent) => at = parent,
        }
    }
    false
}

fn check_lines(report: &Report, centre: &Centre, skills: &Skills) {
    for (id, line) in &centre.lines {
        let key = |name: &str| format!("lines.{id}.{name}");
        let associations = centre.associations.keys().map(|id| id.as_str());
        check_name(report, &key("association"), line.association.as_str(), associations, "associations.ID");
        let regions = centre.regions.keys().map(RegionId::as_str);
        check_name(report, &key("region"), line.demand.region.as_str(), regions, "regions.ID");
        check_needs(report, &format!("lines.{id}"), &line.demand.needs, skills);
        for (number, step) in line.demand.steps.iter().enumerate() {
            let step_key = format!("lines.{id}.steps[{number}]");
            step.needs.iter().for_each(|needs| check_needs(report, &step_key, needs, skills));
            if let Some(message) = &step.message {
                let known = centre.sounds.keys().map(SoundId::as_str);
                check_name(report, &format!("{step_key}.message"), message.as_str(), known, "sounds");
            }
        }
        if line.hours.is_some() && line.closed.message.is_none() && line.closed.to.is_none() {
            report.warn(
                &key("hours"),
                "callers out of hours would hear nothing before the hang-up",
                "name a sound: closed_message = \"…\"",
            );
        }
        let sounds = [
            ("greeting", line.greeting.as_ref()),
            ("music", Some(&line.music)),
            ("hold_music", Some(&line.hold_music).filter(|hold| **hold != line.music)),
            ("overflow_message", line.overflow.message.as_ref()),
            ("nobody_message", line.nobody.message.as_ref()),
            ("closed_message", line.closed.message.as_ref()),
            ("recording_notice", line.recording_terms.notice.as_ref()),
        ];
        let slots = line.recording_terms.slots.iter().enumerate();
        for (at, notice) in slots.filter_map(|(at, slot)| Some((at, slot.rule.notice.as_ref()?))) {
            let key = key(&format!("recording_hours[{at}].recording_notice"));
            if Some(notice) != line.recording_terms.notice.as_ref() {
                check_name(report, &key, notice.as_str(), centre.sounds.keys().map(SoundId::as_str), "sounds");
            }
        }
        for (name, sound) in sounds.into_iter().filter_map(|(name, sound)| Some((name, sound?))) {
            check_name(report, &key(name), sound.as_str(), centre.sounds.keys().map(SoundId::as_str), "sounds");
        }
    }
}

/// The skills that an expression names; those of one that was made of the step before are told where they were written.
pub(super) fn check_needs(report: &Report, key: &str, needs: &Needs, skills: &Skills) {
    let (expression, table) = (format!("{key}.needs"), format!("{key}.skills"));
    if report.has(&expression) {
        for skill in needs.skills() {
            check_name(report, &expression, skill.as_str(), skills.keys().map(SkillId::as_str), "skills");
        }
    } else if report.has(&table) {
        check_skills(report, &table, needs.skills().into_iter(), skills);
    }
}

pub(super) fn check_skills<'a>(report: &Report, key: &str, asked: impl Iterator<Item = &'a SkillId>, skills: &Skills) {
    for skill in asked {
        check_name(report, &format!("{key}.{skill}"), skill.as_str(), skills.keys().map(SkillId::as_str), "skills");
    }
}

fn check_regulators(report: &Report, centre: &Centre, skills: &Skills) {
    for (id, person) in &centre.regulators {
        let associations = centre.associations.keys().map(|id| id.as_str());
        let key = format!("regulators.{id}");
        check_name(report, &format!("{key}.association"), person.association.as_str(), associations, "associations.ID");
        check_skills(report, &format!("{key}.skills"), person.skills.keys(), skills);
        for region in person.regions.keys() {
            let regions = centre.regions.keys().map(RegionId::as_str);
            check_name(report, &format!("{key}.regions.{region}"), region.as_str(), regions, "regions.ID");
        }
    }
}

fn check_trunks(report: &Report, centre: &Centre) {
    let mut blocks: Vec<(&str, &AddressBlock)> = Vec::new();
    for (id, trunk) in &centre.trunks {
        let lines = centre.lines.keys().map(|id| id.as_str());
        let key = format!("trunks.{id}.fallback_line");
        check_name(report, &key, trunk.fallback_line.as_str(), lines, "lines.ID");
        for (number, block) in trunk.peers.iter().enumerate() {
            let clash = blocks.iter().find(|(_, other)| other.contains(block.address) || block.contains(other.address));
            if let Some((other, _)) = clash {
                report.fault(
                    &format!("trunks.{id}.peers[{number}]"),
                    format!("overlaps a peer of the trunk `{other}`, so calls from there would have two meanings"),
                    "let each address belong to one trunk",
                );
            }
        }
        blocks.extend(trunk.peers.iter().map(|block| (id.as_str(), block)));
    }
}

/// Wider than an IPv4 /16 or an IPv6 /32, which a large provider may have.
fn is_wide(block: &AddressBlock) -> bool {
    match block.address.is_ipv4() {
        true => block.prefix < 16,
        false => block.prefix < 32,
    }
}
