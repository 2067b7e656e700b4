//! The section `[codes]`: what regulators dial and press; and who may take part in whose calls by them.

use toml::de::DeValue;

use super::document::{Report, Section, Trouble, nearest};
use super::values;
use crate::model::codes::CODE_DIGITS_MAX;
use crate::model::{AssociationId, Centre, Code, Codes};

/// Reads the section; a code that is left out is the usual one, an empty text is none.
pub(super) fn read_codes(root: &Section<'_>) -> Codes {
    let section = root.section("codes");
    let mut dialled: Vec<(Code, String)> = Vec::new();
    for (code, key, usual) in Code::ALL {
        let text = section.or(key, usual.to_owned(), code_text);
        if text.is_empty() {
            continue;
        }
        let clash = |(_, other): &&(Code, String)| other.starts_with(text.as_str()) || text.starts_with(other.as_str());
        if let Some((other, taken)) = dialled.iter().find(clash) {
            let other = Code::ALL.iter().find(|(one, ..)| one == other).map_or("", |(_, key, _)| key);
            section.report.fault(
                &section.path(key),
                format!("`{text}` and `{taken}` of `{other}` begin with one another, so neither could be told"),
                "give one of the two another code, or turn it off with \"\"",
            );
        }
        dialled.push((code, text));
    }
    section.close();
    Codes { dialled }
}

fn code_text(value: &DeValue<'_>) -> Result<String, Trouble> {
    if value.as_str() == Some("") {
        return Ok(String::new());
    }
    let written = values::text(value)?;
    let digits = written.strip_prefix('*');
    let is_code =
        |digits: &str| (1..=CODE_DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    if digits.is_some_and(is_code) {
        return Ok(written);
    }
    Err((
        format!("`{written}` is no code"),
        format!("write * and 1 to {CODE_DIGITS_MAX} digits, such as \"*15\", or \"\" to turn it off"),
    ))
}

/// Tells tutors and associations that nobody has described.
pub(super) fn check_supervision(report: &Report, centre: &Centre) {
    for (id, person) in &centre.regulators {
        let key = format!("regulators.{id}.trainee_of");
        match &person.terms.trainee_of {
            Some(tutor) if tutor == id => {
                report.fault(&key, "nobody is the own tutor", "write the id of another regulator, or take it out");
            }
            Some(tutor) if !centre.regulators.contains_key(tutor) => {
                let known = centre.regulators.keys().map(|one| one.as_str());
                let problem = format!("`{tutor}` is none of the [regulators.ID]");
                report.fault(&key, problem, remedy(nearest(tutor.as_str(), known)));
            }
            Some(_) | None => {}
        }
        for association in &person.terms.supervises {
            if !centre.associations.contains_key(association) {
                let known = centre.associations.keys().map(|one| one.as_str());
                let problem = format!("`{association}` is none of the [associations.ID]");
                let key = format!("regulators.{id}.supervises");
                report.fault(&key, problem, remedy(nearest(association.as_str(), known)));
            }
        }
    }
    for (id, association) in &centre.associations {
        if let Some(line) = association.outbound_line.as_ref().filter(|line| !centre.lines.contains_key(*line)) {
            let known = centre.lines.keys().map(|one| one.as_str());
            let problem = format!("`{line}` is none of the [lines.ID]");
            let key = format!("associations.{id}.outbound_line");
            report.fault(&key, problem, remedy(nearest(line.as_str(), known)));
        }
    }
}

fn remedy(meant: Option<&str>) -> String {
    meant.map_or_else(|| "describe it, or take it out".to_owned(), |meant| format!("did you mean `{meant}`?"))
}

/// The key `supervises`.
pub(super) fn read_supervises(section: &Section<'_>) -> Vec<AssociationId> {
    section.list("supervises", values::id).into_iter().map(|(_, id)| id.as_str().into()).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Settings;

    fn faults(from: &str, to: &str) -> String {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/vigie.toml");
        let text = std::fs::read_to_string(&file).expect("the sample");
        assert!(text.contains(from), "{from}");
        match Settings::from_text(&text.replacen(from, to, 1), &file) {
            Ok(_) => String::new(),
            Err(faults) => faults.to_string(),
        }
    }

    #[test]
    fn codes_that_begin_with_one_another_or_are_none_are_told_with_place_and_remedy() {
        for (to, expected) in [
            ("samu = \"*1\"", "`*1` and `*11` of `ready`"),
            ("samu = \"15\"", "`15` is no code"),
            ("samu = \"*15678\"", "`*15678` is no code"),
            ("samoo = \"*16\"", "samoo"),
        ] {
            let told = faults("samu = \"*15\"", to);
            assert!(told.contains(expected) && told.contains("vigie.toml:"), "{to}: {told}");
        }
        assert_eq!(faults("samu = \"*15\"", "samu = \"\""), "");
        assert_eq!(faults("longer = \"*12\"", "longer = \"\""), "");
    }

    #[test]
    fn a_tutor_an_association_and_a_line_that_are_nobody_are_told() {
        for (from, to, expected) in [
            ("name = \"Anne Lemoine\"", "name = \"Anne\"\ntrainee_of = \"brunno\"", "did you mean `bruno`"),
            ("name = \"Anne Lemoine\"", "name = \"Anne\"\ntrainee_of = \"anne\"", "own tutor"),
            ("name = \"Anne Lemoine\"", "name = \"Anne\"\nsupervises = [\"sos-ruen\"]", "did you mean `sos-rouen`"),
        ] {
            let told = faults(from, to);
            assert!(told.contains(expected) && told.contains("vigie.toml:"), "{to}: {told}");
        }
    }
}
