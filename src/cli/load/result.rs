//! What came of a run: in words, and as JSON.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::fleet::Fleet;
use super::numbered::{LegName, LoadSide};
use super::recordings::Found;
use super::spread::Spread;
use super::voices::Account;

/// A run whose own packets left later than this, at p99, was starved: its delays are its own.
const LATENESS_P99_MAX_MS: f64 = 5.0;

/// One line a second, while the run lasts.
pub fn progress(fleet: &Fleet, passed: Duration) -> String {
    let (calls, counts) = (&fleet.calls, &fleet.voices.counts);
    let talked = calls.talked.total();
    format!(
        "{:4} s: {} registered, {} dialled, {talked} talked, {} over, {} faults; RTP {} sent, {} heard; delay p50 {:.2} \
         p99 {:.2} ms; own lateness p99 {:.2} ms",
        passed.as_secs(),
        calls.registered,
        calls.rows.len(),
        calls.over,
        calls.faults.values().sum::<u64>(),
        counts.sent,
        counts.heard,
        counts.latency.quantile_ms(0.5),
        counts.latency.quantile_ms(0.99),
        counts.lateness.quantile_ms(0.99),
    )
}

/// What came of a run.
pub struct LoadResult {
    value: Value,
    is_good: bool,
    starved: bool,
}

impl LoadResult {
    /// Adds everything up.
    pub fn of(fleet: &Fleet, wanted: u32, accounts: &[Account], found: Option<Found>) -> LoadResult {
        let (calls, counts) = (&fleet.calls, &fleet.voices.counts);
        let legs: HashMap<LegName, &Account> = accounts.iter().map(|account| (account.leg, account)).collect();
        let talked: Vec<&Account> = accounts.iter().filter(|account| account.partner.is_some()).collect();
        let sent: u64 = talked.iter().map(|account| u64::from(account.sent)).sum();
        // What a leg said, its partner was to hear.
        let heard = |account: &&Account| -> u64 {
            let partner = account.partner.and_then(|partner| legs.get(&partner));
            partner.filter(|partner| partner.partner == Some(account.leg)).map_or(0, |partner| u64::from(partner.heard))
        };
        let is_transcoded = fleet.voices.speech().is_transcoded();
        let (counted, heard): (u64, u64) = match is_transcoded {
            false => (sent, talked.iter().map(heard).sum()),
            // Of the server's own packets: what it lost before it encoded them shows in the recordings alone.
            true => talked
                .iter()
                .map(|account| (u64::from(account.expected), u64::from(account.heard)))
                .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1)),
        };
        let lost = counted.saturating_sub(heard);
        let callers = talked.iter().filter(|account| account.leg.side == LoadSide::Caller).count();
        let one_sided = talked.iter().filter(|account| {
            let partner = account.partner.and_then(|partner| legs.get(&partner));
            partner.is_none_or(|partner| partner.partner != Some(account.leg))
        });
        let one_sided = one_sided.count();
        let starved = counts.lateness.quantile_ms(0.99) > LATENESS_P99_MAX_MS || counts.left_out > 0;
        let is_good = callers == wanted as usize
            && one_sided == 0
            && calls.faults.is_empty()
            && (lost, counts.crossed) == (0, 0)
            && found.as_ref().is_none_or(Found::is_complete);
        let value = json!({
            "calls": {
                "wanted": wanted, "dialled": calls.rows.len(), "accepted": calls.accepted.total(), "talked": callers,
                "one_sided": one_sided, "at_once": calls.at_once, "talk_seconds": calls.talk_seconds(),
                "all_talking": calls.all_talking(), "faults": calls.faults,
            },
            "set_up": {
                "accepted": calls.accepted.summary(),
                "rung": rung(fleet, accounts).summary(),
                "talked": calls.talked.summary(),
            },
            "rtp": {
                "sent": counts.sent, "sends_failed": counts.sends_failed, "other": counts.other,
                "counted_sent": counted, "counted_heard": heard, "lost": lost, "transcoded": is_transcoded,
                "loss_percent": if counted == 0 { 0.0 } else { lost as f64 * 100.0 / counted as f64 },
                "duplicates": counts.duplicates, "reordered": counts.reordered, "crossed": counts.crossed,
                "delay": counts.latency.summary(),
            },
            "own": {
                "starved": starved, "lateness": counts.lateness.summary(), "left_out": counts.left_out,
            },
            "recordings": found,
            "not_checked": not_checked(fleet, found.is_some()),
        });
        LoadResult { value, is_good, starved }
    }

    /// Whether all went well.
    pub fn is_good(&self) -> bool {
        self.is_good
    }

    /// As JSON.
    pub fn json(&self) -> String {
        format!("{:#}", self.value)
    }

    /// In words.
    pub fn told(&self) -> String {
        let [calls, set_up, rtp, own, recordings] =
            ["calls", "set_up", "rtp", "own", "recordings"].map(|part| &self.value[part]);
        let ms = |of: &Value| {
            let of = |key: &str| of[key].as_f64().unwrap_or_default();
            format!("p50 {:.2}, p99 {:.2}, max {:.2} ms", of("p50_ms"), of("p99_ms"), of("max_ms"))
        };
        let mut lines = vec![
            format!(
                "calls       {} wanted, {} accepted, {} talked ({} one-sided), {} at once at most",
                calls["wanted"], calls["accepted"], calls["talked"], calls["one_sided"], calls["at_once"]
            ),
            format!("accepted    {} after the INVITE", ms(&set_up["accepted"])),
            match set_up["rung"]["count"].as_u64() {
                None | Some(0) => "rung        not known: nobody was rung here".to_owned(),
                Some(_) => {
                    format!("rung        {} from the caller's INVITE to the regulator's phone", ms(&set_up["rung"]))
                }
            },
            format!("talked      {} from the INVITE to the first word heard", ms(&set_up["talked"])),
            format!(
                "RTP         {} counted, {} lost ({:.4} %), {} twice, {} out of order, {} in another call",
                rtp["counted_sent"],
                rtp["lost"],
                rtp["loss_percent"].as_f64().unwrap_or_default(),
                rtp["duplicates"],
                rtp["reordered"],
                rtp["crossed"]
            ),
            match rtp["transcoded"] == json!(true) {
                true => "delay       not known: what is transcoded bears no time of sending".to_owned(),
                false => format!("delay       {} from sending to hearing", ms(&rtp["delay"])),
            },
            format!("lateness    {} of this program's own packets", ms(&own["lateness"])),
        ];
        if !recordings.is_null() {
            lines.push(format!(
                "recordings  {} sealed; {} of {} legs complete, {} packets missing, {} unreadable",
                recordings["sealed"],
                recordings["legs_complete"],
                recordings["legs"],
                recordings["packets_missing"],
                recordings["unreadable"]
            ));
        }
        if let Some(faults) = calls["faults"].as_object() {
            lines.extend(faults.iter().map(|(why, count)| format!("fault       {count} × {why}")));
        }
        let not_checked = self.value["not_checked"].as_array().into_iter().flatten();
        lines.extend(not_checked.filter_map(Value::as_str).map(|what| format!("not checked {what}")));
        if self.starved {
            lines.push("STARVED     this program did not get enough of the machine: its delays are its own".to_owned());
        }
        lines.join("\n")
    }
}

/// What this run says nothing of, in words.
fn not_checked(fleet: &Fleet, looked_for_recordings: bool) -> Vec<&'static str> {
    let speech = fleet.voices.speech();
    let all = [
        (speech.is_echoed, "that a regulator's phone is rung, and when: the far end answers by itself"),
        (
            speech.is_echoed,
            "which way a packet was lost, and the delay of one way: what is told of both is there and back",
        ),
        (
            speech.is_transcoded(),
            "the delay, and packets lost before the server encoded them: what is transcoded bears no number",
        ),
        (!looked_for_recordings, "whether anything was recorded: without --recordings nobody looks"),
    ];
    all.into_iter().filter_map(|(applies, what)| applies.then_some(what)).collect()
}

/// From a caller's INVITE to the INVITE at the phone of the regulator whom it heard.
fn rung(fleet: &Fleet, accounts: &[Account]) -> Spread {
    let mut spread = Spread::default();
    for account in accounts.iter().filter(|account| account.leg.side == LoadSide::Caller) {
        let row = fleet.calls.rows.get(account.leg.index as usize);
        let at = account.partner.and_then(|partner| fleet.calls.rung.get(partner.index as usize));
        if let (Some(row), Some(at)) = (row, at) {
            spread.add(at.since(row.dialled));
        }
    }
    spread
}
