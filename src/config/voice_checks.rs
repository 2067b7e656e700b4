//! What callers hear and press must exist, lead somewhere, and end.

use std::collections::BTreeSet;

use super::centre::Skills;
use super::document::Report;
use super::references::{check_name, check_needs};
use crate::model::centre::{Accept, DemandChange, Line};
use crate::model::outside::outside;
use crate::model::voice::{Destination, Menu, Way};
use crate::model::{Centre, MenuId, RegionId, SoundId};

/// Tells every sound, menu, line, number, region and skill that is not there, and menus that lead in a circle.
pub(super) fn check_voice(report: &Report, centre: &Centre, skills: &Skills) {
    let checks = Checks { report, centre, skills };
    for line in centre.lines.values() {
        checks.line(line);
    }
    for menu in centre.menus.values() {
        checks.menu(menu);
    }
    checks.unused();
}

struct Checks<'a> {
    report: &'a Report,
    centre: &'a Centre,
    skills: &'a Skills,
}

impl Checks<'_> {
    fn line(&self, line: &Line) {
        let key = |name: &str| format!("lines.{}.{name}", line.id);
        let voice = &line.voice;
        if let Some(menu) = &voice.menu {
            self.menu_name(&key("menu"), menu);
        }
        let has_keys = voice.menu.is_some() || !voice.keys.is_empty();
        if has_keys && line.accept == Accept::Answered {
            self.report.warn(
                &key("accept"),
                "many carriers pass no keys on before the call is accepted, and this line's callers are to press some",
                "write accept = \"at-once\", or ask the carrier",
            );
        }
        for (pad, way) in &voice.keys {
            self.way(&format!("{}.{pad}", key("keys")), way);
        }
        for (number, message) in voice.messages.iter().enumerate() {
            let key = format!("{}[{number}]", key("messages"));
            self.sounds(&format!("{key}.sounds"), &message.sounds);
            let language = message.language.as_deref().unwrap_or(&line.language);
            if !message.tells.is_empty() && !self.centre.spoken.contains(language) {
                self.report.warn(
                    &format!("{key}.tell"),
                    format!("nothing is told to callers who speak `{language}`: its numbers are not there"),
                    format!("write {language} = \"sounds/{language}\" in [spoken]: the folder of its numbers"),
                );
            }
        }
        for (name, sound) in [
            ("voicemail_prompt", &voice.voicemail.prompt),
            ("callback_noted", &voice.callback_noted),
            ("callback_refused", &voice.callback_refused),
        ] {
            if let Some(sound) = sound {
                self.sound(&key(name), sound);
            }
        }
    }

    fn menu(&self, menu: &Menu) {
        let key = format!("menus.{}", menu.id);
        self.sounds(&format!("{key}.say"), &menu.say);
        if let Some(wrong) = &menu.wrong {
            self.sound(&format!("{key}.wrong"), wrong);
        }
        for (pad, way) in &menu.keys {
            self.way(&format!("{key}.keys.{pad}"), way);
        }
        self.way(&format!("{key}.otherwise"), &menu.otherwise);
        if self.leads_back(&menu.id) {
            self.report.fault(
                &format!("{key}.otherwise"),
                "a caller who presses nothing would come back here again and again",
                "let one menu of the circle lead on: otherwise = { wait = true }",
            );
        }
    }

    /// Whether whoever presses nothing comes back to this menu.
    fn leads_back(&self, id: &MenuId) -> bool {
        let mut at = id;
        for _ in 0..=self.centre.menus.len() {
            match self.centre.menus.get(at).and_then(|menu| self.next_menu(&menu.otherwise.to)) {
                Some(next) if next == id => return true,
                Some(next) => at = next,
                None => return false,
            }
        }
        false
    }

    /// The menu that is heard next by whoever is led there: of a line, its own.
    fn next_menu(&self, to: &Destination) -> Option<&MenuId> {
        match to {
            Destination::Menu(menu) => self.centre.menus.get_key_value(menu).map(|(menu, _)| menu),
            Destination::Line(line) => self.centre.lines.get(line)?.voice.menu.as_ref(),
            Destination::Wait
            | Destination::Number(_)
            | Destination::Voicemail
            | Destination::CallBack
            | Destination::HangUp => None,
        }
    }

    fn way(&self, key: &str, way: &Way) {
        self.sounds(&format!("{key}.say"), &way.say);
        self.change(key, &way.change);
        match &way.to {
            Destination::Menu(menu) => self.menu_name(&format!("{key}.go_to"), menu),
            Destination::Line(line) => {
                let lines = self.centre.lines.keys().map(|id| id.as_str());
                check_name(self.report, &format!("{key}.line"), line.as_str(), lines, "lines.ID");
            }
            Destination::Number(number) => {
                if outside(self.centre, number).is_none() {
                    self.report.fault(
                        &format!("{key}.number"),
                        format!("no trunk may dial `{number}`"),
                        format!("write the number or its beginning into a trunk's list: dials = [\"{number}\"]"),
                    );
                }
            }
            Destination::CallBack => {
                if self.centre.trunks.values().all(|trunk| trunk.dials.is_empty()) {
                    self.report.fault(
                        &format!("{key}.call_back"),
                        "no trunk may dial anybody, so nobody could be called back",
                        "write what numbers begin with into a trunk's list: dials = [\"+33\"]",
                    );
                }
            }
            Destination::Wait | Destination::Voicemail | Destination::HangUp => {}
        }
    }

    fn change(&self, key: &str, change: &DemandChange) {
        if let Some(region) = &change.region {
            let regions = self.centre.regions.keys().map(RegionId::as_str);
            check_name(self.report, &format!("{key}.region"), region.as_str(), regions, "regions.ID");
        }
        let Some(asked) = &change.needs else { return };
        check_needs(self.report, key, asked, self.skills);
        let mut people = self.centre.regulators.values();
        let is_told = self.report.has_fault_under(key);
        if !is_told && !people.any(|person| asked.is_met_by(&person.skills)) {
            let written = if self.report.has(&format!("{key}.needs")) { "needs" } else { "skills" };
            self.report.fault(
                &format!("{key}.{written}"),
                "no regulator can answer who chooses this",
                "lower the levels, or give a regulator these skills",
            );
        }
    }

    fn sounds(&self, key: &str, sounds: &[SoundId]) {
        for (number, sound) in sounds.iter().enumerate() {
            self.sound(&format!("{key}[{number}]"), sound);
        }
    }

    fn sound(&self, key: &str, sound: &SoundId) {
        check_name(self.report, key, sound.as_str(), self.centre.sounds.keys().map(SoundId::as_str), "sounds");
    }

    fn menu_name(&self, key: &str, menu: &MenuId) {
        check_name(self.report, key, menu.as_str(), self.centre.menus.keys().map(MenuId::as_str), "menus.ID");
    }

    fn unused(&self) {
        let ways = self.centre.menus.values().flat_map(|menu| menu.keys.values().chain([&menu.otherwise]));
        let ways = ways.chain(self.centre.lines.values().flat_map(|line| line.voice.keys.values()));
        let mut used: BTreeSet<&MenuId> =
            self.centre.lines.values().filter_map(|line| line.voice.menu.as_ref()).collect();
        used.extend(ways.filter_map(|way| match &way.to {
            Destination::Menu(id) => Some(id),
            Destination::Wait
            | Destination::Number(_)
            | Destination::Line(_)
            | Destination::Voicemail
            | Destination::CallBack
            | Destination::HangUp => None,
        }));
        for id in self.centre.menus.keys().filter(|id| !used.contains(id)) {
            self.report.warn(
                &format!("menus.{id}"),
                "nothing leads to this menu",
                "name it: menu = \"…\" of a line, or go_to = \"…\" of a key",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Fault, Settings};
    use std::path::Path;

    /// A centre with one line, whose trunk may dial what this says; `more` stands at its end, `line` in the line.
    fn read(dials: &str, line: &str, more: &str) -> Result<Vec<Fault>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let form = hound::WavSpec {
            channels: 1,
            sample_rate: 8000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut wav = hound::WavWriter::create(folder.path().join("music.wav"), form).expect("a file");
        wav.write_sample(1_i16).expect("a sample");
        wav.finalize().expect("a header");
        let text = format!(
            "[sip]\n[media]\nports = \"20000-20999\"\n[skills]\nregulation = \"r\"\n[associations.sos]\n[regions.here]\n\
             [regulators.anne]\nassociation = \"sos\"\nskills = {{ regulation = 60 }}\nregions = {{ here = 0 }}\n\
             [trunks.carrier]\nhost = \"127.0.0.2\"\nfallback_line = \"main\"\ndials = {dials}\n\
             [sounds]\nmusic = \"music.wav\"\n[lines.main]\nassociation = \"sos\"\nddis = [\"+33199000101\"]\n\
             region = \"here\"\nskills = {{ regulation = 50 }}\n{line}\n{more}\n"
        );
        let file = folder.path().join("test.toml");
        std::fs::write(&file, &text).expect("written");
        let at = |fault: &Fault| text.lines().nth(fault.line.saturating_sub(1)).unwrap_or_default().to_owned();
        match Settings::read_with_warnings(Path::new(&file)) {
            Ok((_, warnings)) => Ok(warnings),
            Err(faults) => {
                let told =
                    faults.errors.iter().map(|f| format!("{} | {} | {} | {}", f.key, at(f), f.problem, f.remedy));
                Err(told.collect::<Vec<_>>().join("\n"))
            }
        }
    }

    const MENU: &str = "[menus.a]\nsay = [\"music\"]\nkeys.1 = { number = \"15\" }\nkeys.2 = { call_back = true }";

    #[test]
    fn a_menu_that_leads_somewhere_is_taken() {
        let warnings = read("[\"15\", \"+33\"]", "menu = \"a\"", MENU).unwrap_or_else(|told| panic!("{told}"));
        assert!(!warnings.iter().any(|warning| warning.key.starts_with("menus")), "{warnings:?}");
        let warnings = read("[\"15\", \"+33\"]", "", MENU).unwrap_or_else(|told| panic!("{told}"));
        assert!(warnings.iter().any(|warning| warning.key == "menus.a" && warning.problem.contains("nothing leads")));
    }

    #[test]
    fn what_leads_nowhere_is_told_at_its_line_with_what_to_do() {
        let say = "say = [\"music\"]";
        let cases = [
            ("[]", "", MENU, "menus.a.keys.1.number | keys.1 = ", "no trunk may dial `15`"),
            ("[]", "", MENU, "menus.a.keys.2.call_back | keys.2 = ", "nobody could be called back"),
            ("[]", "menu = \"b\"", "", "lines.main.menu | menu = ", "`b` is not configured"),
            ("[]", "keys.x = { wait = true }", "", "lines.main.keys.x | keys.x", "`x` is no key of a telephone"),
            ("[]", "keys.1 = { go_to = \"z\" }", "", "lines.main.keys.1.go_to | keys.1", "`z` is not configured"),
            (
                "[]",
                "keys.1 = { voicemail = true, hang_up = true }",
                "",
                "lines.main.keys.1.hang_up | keys.1",
                "a second place",
            ),
            (
                "[]",
                "keys.1 = { needs = \"regulation >= 90\" }",
                "",
                "lines.main.keys.1.needs | keys.1",
                "no regulator can answer who chooses this",
            ),
            (
                "[]",
                "messages = [{ after = \"5s\" }]",
                "",
                "lines.main.messages[0] | messages",
                "nothing would be heard",
            ),
            ("[]", "voicemail_prompt = \"none\"", "", "lines.main.voicemail_prompt | voicemail", "not configured"),
        ];
        for (dials, line, more, place, problem) in cases {
            let told = read(dials, line, more).expect_err(line);
            assert!(told.contains(place) && told.contains(problem), "{line}{more}:\n{told}");
        }
        let circle = format!(
            "[menus.a]\n{say}\notherwise = {{ go_to = \"b\" }}\n[menus.b]\n{say}\notherwise = {{ go_to = \"a\" }}"
        );
        let told = read("[]", "menu = \"a\"", &circle).expect_err("a circle");
        assert!(told.contains("menus.a.otherwise | otherwise") && told.contains("again and again"), "{told}");
        // A line begins with its menu: by way of it, too.
        let circle = format!("[menus.a]\n{say}\notherwise = {{ line = \"main\" }}");
        let told = read("[]", "menu = \"a\"", &circle).expect_err("a circle over the line");
        assert!(told.contains("menus.a.otherwise | otherwise") && told.contains("again and again"), "{told}");
        read("[]", "", &circle).unwrap_or_else(|told| panic!("the line has no menu: {told}"));
        let told = read("[]", "", "[spoken]\nfr = \"nowhere\"").expect_err("no such folder");
        assert!(told.contains("spoken.fr | fr = ") && told.contains("next.wav is missing"), "{told}");
    }
}
