//! What callers hear and press: the sections `[menus.ID]` and `[spoken]`, and a line's keys for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::demand::{REACHES, read_needs};
use super::document::Section;
use super::parts::seconds;
use super::values;
use crate::model::centre::DemandChange;
use crate::model::voice::{Destination, LineVoice, Menu, Tells, Voicemail, WaitingMessage, Way, spoken, spoken_names};
use crate::model::{MenuId, SoundId};

/// The most messages of a line: more would leave no music between them.
const MESSAGES_MAX: usize = 16;

/// Reads the keys of a line.
pub(super) fn read_line_voice(section: &Section<'_>) -> LineVoice {
    let sound = |key| section.take(key, values::id).map(|name| SoundId::from(name.as_str()));
    let usual = Voicemail::default();
    LineVoice {
        menu: section.take("menu", values::id).map(|id| MenuId::from(id.as_str())),
        keys: read_keys(section),
        messages: read_messages(section),
        voicemail: Voicemail {
            prompt: sound("voicemail_prompt"),
            duration_max: section.or("voicemail_max", usual.duration_max, values::duration(seconds(5, 1800))),
        },
        callback_noted: sound("callback_noted"),
        callback_refused: sound("callback_refused"),
    }
}

/// Reads every menu.
pub(super) fn read_menus(root: &Section<'_>) -> BTreeMap<MenuId, Menu> {
    let mut menus = BTreeMap::new();
    for (id, section) in root.named("menus") {
        let id = MenuId::from(id.as_str());
        let otherwise = section.section("otherwise");
        let menu = Menu {
            id: id.clone(),
            say: read_sounds(&section, "say"),
            keys: read_keys(&section),
            key_wait: section.or("key_wait", Duration::from_secs(5), values::duration(seconds(1, 60))),
            attempts_max: section.or("attempts_max", 3, values::whole(1..=9)),
            wrong: section.take("wrong", values::id).map(|name| SoundId::from(name.as_str())),
            otherwise: read_way(&otherwise),
        };
        otherwise.close();
        if menu.say.is_empty() && !section.report.has_fault_under(&section.path("say")) {
            section.report.fault(
                &section.path("say"),
                "the menu says nothing, so nobody would know what to press",
                "name its sounds: say = [\"…\"]",
            );
        }
        section.close();
        menus.insert(id, menu);
    }
    menus
}

/// Reads the folder of each language's spoken numbers: the languages, and the file of each sound.
pub(super) fn read_spoken(root: &Section<'_>, folder: &Path) -> (BTreeSet<String>, Vec<(SoundId, PathBuf)>) {
    let (mut languages, mut sounds) = (BTreeSet::new(), Vec::new());
    for (language, path) in root.pairs("spoken", values::path) {
        let files = folder.join(path);
        for name in spoken_names() {
            sounds.push((spoken(&language, &name), files.join(format!("{name}.wav"))));
        }
        languages.insert(language);
    }
    (languages, sounds)
}

fn read_sounds(section: &Section<'_>, key: &'static str) -> Vec<SoundId> {
    section.list(key, values::id).into_iter().map(|(_, name)| SoundId::from(name.as_str())).collect()
}

fn read_keys(section: &Section<'_>) -> BTreeMap<char, Way> {
    let mut keys = BTreeMap::new();
    for (key, way) in section.of_keys("keys") {
        keys.insert(key, read_way(&way));
        way.close();
    }
    keys
}

fn read_way(section: &Section<'_>) -> Way {
    Way {
        say: read_sounds(section, "say"),
        change: DemandChange {
            region: section.take("region", values::id).map(|region| region.as_str().into()),
            needs: read_needs(section),
            priority: section.take("priority", values::whole(1..=9)),
            reach: section.take("reach", values::choice(&REACHES)),
        },
        language: section.take("language", values::language),
        to: read_destination(section),
    }
}

fn read_destination(section: &Section<'_>) -> Destination {
    let named = |key| section.take(key, values::id);
    let is_set = |key| section.or(key, false, values::flag);
    let mut found: Vec<(&'static str, Destination)> = Vec::new();
    found.extend(named("go_to").map(|id| ("go_to", Destination::Menu(id.as_str().into()))));
    found.extend(named("line").map(|id| ("line", Destination::Line(id.as_str().into()))));
    found.extend(section.take("number", values::text).map(|number| ("number", Destination::Number(number))));
    let flags = [
        ("wait", Destination::Wait),
        ("voicemail", Destination::Voicemail),
        ("call_back", Destination::CallBack),
        ("hang_up", Destination::HangUp),
    ];
    found.extend(flags.into_iter().filter(|(key, _)| is_set(key)));
    let mut found = found.into_iter();
    let first = found.next();
    if let Some((second, _)) = found.next() {
        section.report.fault(
            &section.path(second),
            "leads to a second place",
            "let each key lead to one of: wait, go_to, line, number, voicemail, call_back, hang_up",
        );
    }
    first.map_or(Destination::Wait, |(_, destination)| destination)
}

fn read_messages(section: &Section<'_>) -> Vec<WaitingMessage> {
    const TELLS: [(&str, Tells); 2] = [("position", Tells::Position), ("forecast", Tells::Forecast)];
    let mut messages = Vec::new();
    for one in section.each("messages") {
        let remedy = "write after = \"30s\": the wait after which it is heard first";
        let message = WaitingMessage {
            after: one.must("after", remedy, values::duration(seconds(1, 14_400))).unwrap_or_default(),
            every: one.take("every", values::duration(seconds(10, 3600))),
            sounds: read_sounds(&one, "sounds"),
            tells: one.list("tell", values::choice(&TELLS)).into_iter().map(|(_, tell)| tell).collect(),
            language: one.take("language", values::language),
        };
        if message.sounds.is_empty() && message.tells.is_empty() && !section.report.has_fault_under(&one.key) {
            one.report.fault(
                &one.key,
                "nothing would be heard",
                "name sounds = [\"…\"], or tell = [\"position\", \"forecast\"], or both",
            );
        }
        one.close();
        messages.push(message);
    }
    if messages.len() > MESSAGES_MAX {
        section.report.fault(
            &section.path("messages"),
            format!("more than {MESSAGES_MAX} messages"),
            "let one message hold several sounds",
        );
    }
    messages
}
