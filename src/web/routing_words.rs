//! Why a call waited, in French and in English: one sentence a turn, and the answer in short.

use std::collections::BTreeMap;

use serde::Deserialize;
use utoipa::ToSchema;

use crate::model::{
    Asked, CallRecord, Excluded, Forecast, Needs, OfferEnd, OfferRecord, Outcome, Reach, RegulatorId, RoutingTurn, Utc,
};

/// A language of the sentences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// French.
    #[default]
    Fr,
    /// English.
    En,
}

impl Language {
    fn pick<'a>(self, fr: &'a str, en: &'a str) -> &'a str {
        match self {
            Language::Fr => fr,
            Language::En => en,
        }
    }
}

/// How a wait was spent.
pub struct Moments {
    /// In all.
    pub wait_ms: u64,
    /// While a phone rang for it.
    pub ringing_ms: u64,
    /// Whether it still waits.
    pub is_live: bool,
}

impl Moments {
    /// Of a call that waited or waits; `None` when it never did.
    pub fn of(record: &CallRecord, now: Utc) -> Option<Moments> {
        let queued = record.queued_at?;
        let until = record.waited_until().unwrap_or(now);
        let rung = |offer: &OfferRecord| {
            let (from, to) = (offer.offered_at.max(queued), offer.ended_at.unwrap_or(until).min(until));
            to.since(from).as_millis() as u64
        };
        let wait_ms = until.since(queued).as_millis() as u64;
        let ringing_ms = record.offers.iter().map(rung).sum::<u64>().min(wait_ms);
        Some(Moments { wait_ms, ringing_ms, is_live: record.waited_until().is_none() })
    }

    /// While nobody who could be given it was free.
    pub fn nobody_free_ms(&self) -> u64 {
        self.wait_ms.saturating_sub(self.ringing_ms)
    }
}

fn seconds(ms: u64) -> String {
    format!("{} s", (ms + 500) / 1000)
}

fn name<'a>(record: &'a CallRecord, regulator: &'a RegulatorId) -> &'a str {
    record.names.regulators.get(regulator).map_or(regulator.as_str(), String::as_str)
}

/// The answer to "why did this call wait so long?".
pub fn summary(record: &CallRecord, moments: Option<&Moments>, lang: Language) -> String {
    let Some(moments) = moments else {
        return lang
            .pick("L'appel n'a pas attendu de régulateur.", "The call did not wait for a regulator.")
            .to_owned();
    };
    let (wait, ringing, nobody) =
        (seconds(moments.wait_ms), seconds(moments.ringing_ms), seconds(moments.nobody_free_ms()));
    let mut text = match (lang, moments.is_live) {
        (Language::Fr, false) => format!("L'appelant a attendu {wait}."),
        (Language::Fr, true) => format!("L'appelant attend depuis {wait}."),
        (Language::En, false) => format!("The caller waited {wait}."),
        (Language::En, true) => format!("The caller has waited {wait} so far."),
    };
    if moments.nobody_free_ms() >= 500 {
        text += &match lang {
            Language::Fr => format!(" Pendant {nobody}, personne qui pouvait répondre n'était libre."),
            Language::En => format!(" For {nobody} nobody who could answer was free."),
        };
    }
    if moments.ringing_ms >= 500 {
        text += &match lang {
            Language::Fr => format!(" Pendant {ringing}, on a sonné : "),
            Language::En => format!(" For {ringing} phones rang: "),
        };
        let rung: Vec<String> = record.offers.iter().map(|offer| rung(offer, record, lang)).collect();
        text += &format!("{}.", rung.join(", "));
    }
    text
}

fn rung(offer: &OfferRecord, record: &CallRecord, lang: Language) -> String {
    let how = match offer.end {
        Some(end) => end_word(end, lang),
        None => lang.pick("sonne encore", "still ringing"),
    };
    format!("{} ({how})", name(record, &offer.regulator))
}

fn end_word(end: OfferEnd, lang: Language) -> &'static str {
    let (fr, en) = match end {
        OfferEnd::Accepted => ("a décroché", "answered"),
        OfferEnd::Refused => ("a refusé", "refused"),
        OfferEnd::TimedOut => ("n'a pas répondu", "did not answer"),
        OfferEnd::Cancelled => ("sonnerie annulée", "cancelled"),
        OfferEnd::Failed => ("injoignable", "could not be reached"),
    };
    match lang {
        Language::Fr => fr,
        Language::En => en,
    }
}

/// One turn.
pub fn tell(turn: &RoutingTurn, wait_ms: u64, record: &CallRecord, lang: Language) -> String {
    match turn {
        RoutingTurn::Entered { region, asked, forecast } => {
            let wants = wants(asked, region.as_str(), lang);
            let start = match lang {
                Language::Fr => format!("Entrée en salle d'attente : {wants}."),
                Language::En => format!("Entered the waiting room: {wants}."),
            };
            format!("{start} {}{}", pool(asked, record, lang), foreseen(*forecast, lang))
        }
        RoutingTurn::Step { step, by_forecast, asked, message, forecast } => {
            let wants = wants(asked, record.region.as_str(), lang);
            let said = message.as_ref().map_or(String::new(), |sound| match lang {
                Language::Fr => format!(" Message diffusé : {sound}."),
                Language::En => format!(" Message played: {sound}."),
            });
            let start = match (lang, by_forecast) {
                (Language::Fr, false) => format!("Palier {step}, après {} d'attente : {wants}.", seconds(wait_ms)),
                (Language::Fr, true) => format!("Palier {step}, car l'attente prévue était trop longue : {wants}."),
                (Language::En, false) => format!("Step {step}, after waiting {}: {wants}.", seconds(wait_ms)),
                (Language::En, true) => format!("Step {step}, because too long a wait was foreseen: {wants}."),
            };
            format!("{start}{said} {}{}", pool(asked, record, lang), foreseen(*forecast, lang))
        }
        RoutingTurn::Changed { region, asked } => {
            let wants = wants(asked, region.as_str(), lang);
            let start = match lang {
                Language::Fr => format!("La demande a été modifiée : {wants}."),
                Language::En => format!("The demand was changed: {wants}."),
            };
            format!("{start} {}", pool(asked, record, lang))
        }
        RoutingTurn::Passed { regulator, to, by_priority } => {
            let who = name(record, regulator);
            match (lang, by_priority) {
                (Language::Fr, true) => format!("{who} s'est libéré et a reçu l'appel {to}, plus prioritaire."),
                (Language::Fr, false) => format!("{who} s'est libéré et a reçu l'appel {to}, arrivé avant."),
                (Language::En, true) => format!("{who} became free and was given call {to}, which is more urgent."),
                (Language::En, false) => format!("{who} became free and was given call {to}, which came earlier."),
            }
        }
    }
}

fn wants(asked: &Asked, region: &str, lang: Language) -> String {
    let needs = match &asked.needs {
        needs if *needs == Needs::default() => lang.pick("n'importe qui", "anybody").to_owned(),
        needs => needs.to_string().replace(">=", "≥"),
    };
    let reach = match (asked.reach, lang) {
        (Reach::All, Language::Fr) => "toutes les régions".to_owned(),
        (Reach::All, Language::En) => "all regions".to_owned(),
        (Reach::Home, Language::Fr) => format!("seulement la région {region}"),
        (Reach::Home, Language::En) => format!("only region {region}"),
        (Reach::Neighbours, Language::Fr) => format!("{region} et ses voisines"),
        (Reach::Neighbours, Language::En) => format!("{region} and its neighbours"),
        (Reach::Parent, Language::Fr) => format!("{region}, ses voisines et sa grande région"),
        (Reach::Parent, Language::En) => format!("{region}, its neighbours and its wider region"),
    };
    let priority = asked.priority;
    match lang {
        Language::Fr => format!("il faut {needs}, {reach}, priorité {priority}"),
        Language::En => format!("needs {needs}, {reach}, priority {priority}"),
    }
}

/// Who was free, and why the others were not.
fn pool(asked: &Asked, record: &CallRecord, lang: Language) -> String {
    let free = match (asked.free, lang) {
        (0, Language::Fr) => "Personne n'était libre".to_owned(),
        (0, Language::En) => "Nobody was free".to_owned(),
        (1, Language::Fr) => "Une personne était libre".to_owned(),
        (1, Language::En) => "One person was free".to_owned(),
        (many, Language::Fr) => format!("{many} personnes étaient libres"),
        (many, Language::En) => format!("{many} people were free"),
    };
    let others = excluded(&asked.excluded, &asked.people, record, lang);
    if others.is_empty() { format!("{free}.") } else { format!("{free} ({others}).") }
}

fn excluded(counts: &BTreeMap<String, u32>, people: &[Excluded], record: &CallRecord, lang: Language) -> String {
    let named = |cause: &str| -> Vec<&str> {
        let those = people.iter().filter(|one| one.why.name() == cause);
        those.map(|one| name(record, &one.regulator)).take(NAMES_MAX).collect()
    };
    let told = counts.iter().map(|(cause, count)| {
        let names = named(cause);
        let rest = (*count as usize).saturating_sub(names.len());
        let more = if rest > 0 && !names.is_empty() { format!(" +{rest}") } else { String::new() };
        let who = if names.is_empty() { String::new() } else { format!(": {}{more}", names.join(", ")) };
        format!("{count} {}{who}", cause_word(cause, lang))
    });
    told.collect::<Vec<_>>().join("; ")
}

/// How many are named for each cause: a sentence must stay one.
const NAMES_MAX: usize = 6;

fn cause_word(cause: &str, lang: Language) -> &str {
    match cause {
        "offline" => lang.pick("hors ligne", "offline"),
        "paused" => lang.pick("en pause", "paused"),
        "talking" => lang.pick("en communication", "on a call"),
        "ringing" => lang.pick("déjà appelé", "rung for another call"),
        "wrap-up" => lang.pick("en fin d'appel", "resting after a call"),
        "skills" => lang.pick("sans les compétences", "without the skills"),
        "region" => lang.pick("trop loin", "too far away"),
        other => other,
    }
}

fn foreseen(forecast: Option<Forecast>, lang: Language) -> String {
    let Some(forecast) = forecast else { return String::new() };
    let (nine, ahead) = (seconds(forecast.nine_in_ten_ms), forecast.ahead);
    match lang {
        Language::Fr => format!(" Prévision : neuf fois sur dix en moins de {nine}, {ahead} devant."),
        Language::En => format!(" Forecast: nine in ten within {nine}, {ahead} ahead."),
    }
}

/// An offer as it began: who, and at what cost beside whom.
pub fn offered(offer: &OfferRecord, record: &CallRecord, lang: Language) -> String {
    let who = name(record, &offer.regulator);
    if let Some(by) = &offer.handed_by {
        let by = name(record, by);
        return match lang {
            Language::Fr => format!("Sonne chez {who}, à la demande de {by}."),
            Language::En => format!("Rings at {who}, handed on by {by}."),
        };
    }
    let reasoning = &offer.reasoning;
    let own = reasoning.candidates.iter().find(|one| one.regulator == offer.regulator);
    let cost = own.map_or(String::new(), |one| {
        let parts = [
            (lang.pick("région", "region"), one.region),
            (lang.pick("niveau", "level"), one.fit),
            (lang.pick("rareté", "scarcity"), one.scarcity),
            (lang.pick("repos", "idleness"), one.idle),
        ];
        let told: Vec<String> =
            parts.iter().filter(|(_, cost)| *cost != 0.0).map(|(word, cost)| format!("{word} {cost:+.1}")).collect();
        let sum = if told.is_empty() { String::new() } else { format!(" = {}", told.join(" ")) };
        format!("{:.1}{sum}", one.total)
    });
    let others: Vec<String> = reasoning
        .candidates
        .iter()
        .filter(|one| one.regulator != offer.regulator)
        .map(|one| format!("{} {:.1}", name(record, &one.regulator), one.total))
        .collect();
    let beside = if others.is_empty() { String::new() } else { format!(" ({})", others.join(", ")) };
    let fitting = reasoning.fitting;
    let how = match (reasoning.together > 1, lang) {
        (false, Language::Fr) => format!("le moins cher des {fitting} candidats"),
        (false, Language::En) => format!("the cheapest of {fitting} who fit"),
        (true, Language::Fr) => format!("{} appels répartis ensemble au moindre coût", reasoning.together),
        (true, Language::En) => format!("{} calls given out together at the least cost", reasoning.together),
    };
    match lang {
        Language::Fr => format!("Sonne chez {who} : coût {cost}, {how}{beside}."),
        Language::En => format!("Rings at {who}: cost {cost}, {how}{beside}."),
    }
}

/// How an offer ended; `None` when it was accepted, which is told as the answer.
pub fn offer_ended(offer: &OfferRecord, record: &CallRecord, lang: Language) -> Option<String> {
    let end = offer.end.filter(|end| *end != OfferEnd::Accepted)?;
    let detail = offer.detail.as_ref().map_or(String::new(), |detail| format!(" ({detail})"));
    let (who, how) = (name(record, &offer.regulator), end_word(end, lang));
    Some(format!("{who}: {how}{detail}."))
}

/// How it came out.
pub fn came_out(record: &CallRecord, lang: Language) -> String {
    let who = record.regulator.as_ref().map_or("?", |regulator| name(record, regulator));
    if record.answered_at.is_some() {
        return match lang {
            Language::Fr => format!("{who} a décroché."),
            Language::En => format!("{who} answered."),
        };
    }
    let (fr, en) = match record.outcome {
        Some(Outcome::Abandoned) => ("L'appelant a raccroché.", "The caller hung up."),
        Some(Outcome::Overflowed) => ("Attente maximale atteinte.", "The longest wait was reached."),
        Some(Outcome::NobodyOnDuty) => ("Plus personne n'était de service.", "Nobody was on duty any more."),
        Some(Outcome::Forwarded) => (
            "L'appelant a été mis en relation avec un numéro extérieur.",
            "The caller was put through to an outside number.",
        ),
        Some(Outcome::Voicemail) => ("L'appelant a laissé un message.", "The caller left a message."),
        Some(Outcome::CallBack) => ("L'appelant a demandé à être rappelé.", "The caller asked to be called back."),
        Some(Outcome::Informed) => {
            ("Le menu a renseigné l'appelant.", "The menu told the caller what there was to know.")
        }
        Some(Outcome::Unreached) => ("La personne rappelée n'a pas répondu.", "The person called back did not answer."),
        Some(Outcome::Superseded) => {
            ("La personne a été servie par un autre appel.", "The person was served by another call.")
        }
        Some(Outcome::Answered | Outcome::Closed | Outcome::Refused | Outcome::Interrupted) | None => {
            ("L'appel a pris fin.", "The call ended.")
        }
    };
    lang.pick(fr, en).to_owned()
}
