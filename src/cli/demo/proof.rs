//! What the demo proves afterwards, call by call: from the database, the files and the deliveries, not from memory.

use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

use super::receiver::Receiver;
use super::scenario::{CALLERS, CallerScript, Experience};
use super::story::Story;
use crate::archive;
use crate::model::{CallRecord, Outcome, SealedRecording};
use crate::storage::filter::CallFilter;
use crate::storage::{self, Storage};

/// Quieter than this is not speech, in dBFS.
const SPEECH_DBFS_MIN: f64 = -45.0;

/// Checks that were made, and those that failed.
#[derive(Debug, Default)]
pub struct Verdict {
    /// How many held.
    pub held: u32,
    /// What did not.
    pub failed: Vec<String>,
}

impl Verdict {
    fn check(&mut self, story: &Story, what: String, holds: bool) {
        story.machine("check", json!({ "what": what, "holds": holds }));
        if holds {
            self.held += 1;
        } else {
            story.say(&format!("         NOT TRUE: {what}"));
            self.failed.push(what);
        }
    }
}

/// Looks at everything that the evening left behind.
pub async fn prove(
    storage: &Storage,
    recordings: &Path,
    receiver: &Receiver,
    experience: &Experience,
    story: &Story,
) -> anyhow::Result<Verdict> {
    let mut verdict = Verdict::default();
    // The folder may hold the calls of an earlier evening.
    let tonight = CallFilter { from: Some(experience.began), ..CallFilter::default() };
    let page = storage::calls::list(storage, &tonight).await.context("listing the calls")?;
    verdict.check(story, format!("{} calls are recorded as calls", CALLERS.len()), page.items.len() == CALLERS.len());
    for (script, heard) in CALLERS.iter().zip(&experience.callers) {
        story.say("");
        let call =
            page.items.iter().find(|call| call.caller.e164.as_ref().is_some_and(|n| n.as_str() == script.number));
        let Some(call) = call else {
            verdict.check(story, format!("{}'s call is in the database", script.name), false);
            continue;
        };
        let sealed = storage::recordings::one(storage, call.id).await.context("reading a recording's row")?;
        describe(script, call, sealed.as_ref(), story);
        check_call(script, call, story, &mut verdict);
        check_recording(script, call, sealed.as_ref().map(|sealed| (sealed, recordings)), story, &mut verdict);
        check_events(script, call, receiver, story, &mut verdict);
        let heard_voice = heard.packets > 100 && heard.level_dbfs > SPEECH_DBFS_MIN;
        verdict.check(story, format!("{} heard sound ({:.0} dBFS)", script.name, heard.level_dbfs), heard_voice);
    }
    for (who, heard) in &experience.regulators {
        let heard_voice = heard.packets > 100 && heard.level_dbfs > SPEECH_DBFS_MIN;
        verdict.check(story, format!("{who} heard the caller ({:.0} dBFS)", heard.level_dbfs), heard_voice);
    }
    let refused = receiver.refused();
    verdict.check(story, format!("no delivery had a wrong signature ({refused:?})"), refused.is_empty());
    Ok(verdict)
}

fn seconds(ms: Option<u64>) -> String {
    ms.map_or_else(|| "–".to_owned(), |ms| format!("{:.1} s", ms as f64 / 1000.0))
}

fn describe(script: &CallerScript, call: &CallRecord, sealed: Option<&SealedRecording>, story: &Story) {
    story.say(&format!("{} → {} · call {}", script.name, script.line, call.id));
    let offer = call.offers.last();
    match (&call.regulator, offer) {
        (Some(regulator), Some(offer)) => {
            story.say(&format!(
                "         answered by {regulator}: {}",
                why(call, regulator.as_str(), offer.reasoning.step)
            ));
            for candidate in &offer.reasoning.candidates {
                story.say(&format!(
                    "           candidate {}: cost {:.2} = region {:.2} + scarce skills {:.2} + idleness {:.2}",
                    candidate.regulator,
                    candidate.total,
                    candidate.region,
                    candidate.scarcity + 0.0,
                    candidate.idle + 0.0
                ));
            }
            if !offer.reasoning.excluded.is_empty() {
                let of =
                    |reason: &str| if reason == "skills" { "without the skill".to_owned() } else { reason.to_owned() };
                let others: Vec<String> =
                    offer.reasoning.excluded.iter().map(|(reason, count)| format!("{count} {}", of(reason))).collect();
                story.say(&format!("           not asked: {}", others.join(", ")));
            }
        }
        (_, _) => story.say("         not answered: the caller hung up while waiting"),
    }
    story.say(&format!("         waited {}, talked {}", seconds(call.wait_ms()), seconds(call.talk_ms())));
    if let Some(sealed) = sealed {
        story.say(&format!(
            "         recording {} · {:.1} s · caller {:.0} dBFS left, regulator {:.0} dBFS right · {} gaps",
            sealed.path,
            sealed.duration_ms as f64 / 1000.0,
            sealed.levels_dbfs[0],
            sealed.levels_dbfs[1],
            sealed.gaps
        ));
    }
    story.machine("call", facts(script, call, sealed));
}

fn why(call: &CallRecord, regulator: &str, step: u32) -> String {
    let skills: Vec<String> = call.skills.iter().map(|(skill, level)| format!("{skill} ≥ {level}")).collect();
    format!(
        "{} in region {} asks {}; step {step}; {regulator} fits at the lowest cost",
        call.line,
        call.region,
        skills.join(" and ")
    )
}

fn facts(script: &CallerScript, call: &CallRecord, sealed: Option<&SealedRecording>) -> Value {
    json!({
        "call": call.id,
        "line": call.line,
        "region": call.region,
        "skills": call.skills,
        "caller": script.number,
        "outcome": call.outcome,
        "regulator": call.regulator,
        "reasoning": call.offers.last().map(|offer| &offer.reasoning),
        "wait_ms": call.wait_ms(),
        "talk_ms": call.talk_ms(),
        "recording": sealed.map(|sealed| json!({
            "path": sealed.path,
            "duration_ms": sealed.duration_ms,
            "levels_dbfs": sealed.levels_dbfs,
            "seal": sealed.seal,
            "gaps": sealed.gaps,
        })),
    })
}

fn check_call(script: &CallerScript, call: &CallRecord, story: &Story, verdict: &mut Verdict) {
    let name = script.name;
    verdict.check(
        story,
        format!("{name}'s call came in on line {}", script.line_id),
        call.line.as_str() == script.line_id,
    );
    let by = call.regulator.as_ref().map(|regulator| regulator.as_str());
    verdict.check(
        story,
        format!("{name} was answered by {}", script.answered_by.unwrap_or("nobody")),
        by == script.answered_by,
    );
    let (outcome, word) = match script.answered_by {
        Some(_) => (Outcome::Answered, "answered"),
        None => (Outcome::Abandoned, "abandoned"),
    };
    verdict.check(story, format!("{name}'s call ended as {word}"), call.outcome == Some(outcome));
    let codecs = call.legs.iter().filter(|leg| leg.accepted_at.is_some()).all(|leg| leg.codec.is_some());
    verdict.check(story, format!("{name}'s legs have codecs and quality"), codecs);
}

fn check_recording(
    script: &CallerScript,
    call: &CallRecord,
    sealed: Option<(&SealedRecording, &Path)>,
    story: &Story,
    verdict: &mut Verdict,
) {
    let name = script.name;
    let Some((sealed, recordings)) = sealed else {
        let none_is_right = script.answered_by.is_none();
        return verdict.check(story, format!("{name}'s call, never answered, has no recording"), none_is_right);
    };
    let talked = call.talk_ms().unwrap_or_default();
    let difference = talked.abs_diff(sealed.duration_ms);
    verdict.check(story, format!("{name}'s recording is as long as the talk (±0.5 s)"), difference <= 500);
    let loud = sealed.levels_dbfs.iter().all(|level| *level > SPEECH_DBFS_MIN);
    verdict.check(story, format!("{name}'s recording has both voices"), loud);
    let folder = recordings.join(&sealed.path);
    let verified = archive::verify::verify(&folder, &[], |_| ());
    let is_sound = verified.as_ref().is_ok_and(|verdict| verdict.is_sound() && verdict.recordings == 1);
    story.say(match is_sound {
        true => "         seal verified: hashes, signature and seal log agree",
        false => "         seal NOT verified",
    });
    verdict.check(story, format!("{name}'s seal is verified"), is_sound);
}

fn check_events(script: &CallerScript, call: &CallRecord, receiver: &Receiver, story: &Story, verdict: &mut Verdict) {
    let events = receiver.of_subject(&format!("calls/{}", call.id));
    let names: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    story.say(&format!("         dispatch got: {}", names.join(", ")));
    for event in &events {
        story.machine("event", json!({ "event": event.event }));
    }
    let wanted: &[&str] = match script.answered_by {
        Some(_) => &["call.received", "call.queued", "call.offered", "call.answered", "call.ended", "recording.sealed"],
        None => &["call.received", "call.queued", "call.abandoned", "call.ended"],
    };
    verdict.check(story, format!("dispatch got {}'s events, verified: {wanted:?}", script.name), names == wanted);
    let in_order = events.iter().zip(1..).all(|(event, number)| event.sequence == number);
    verdict.check(story, format!("{}'s events came in order, none missing", script.name), in_order);
}
