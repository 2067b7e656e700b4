//! Importing people: the rows of a file put into the file of people, when everything still holds with them.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::csv::{self, Unclosed, quoted};
use super::fault::{Fault, Faults};
use super::people::{COLUMNS, READABLE};
use super::settings::Settings;

/// What becomes of people who do not stand in the imported file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// They stay.
    Stay,
    /// They go: the imported file is the whole list.
    Go,
}

/// What an import changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Ids that were not there before.
    pub added: Vec<String>,
    /// Ids of whom something is another now.
    pub changed: Vec<String>,
    /// Ids that are there no more.
    pub removed: Vec<String>,
    /// How many are as they were.
    pub unchanged: usize,
    /// What is odd but works.
    pub warnings: Vec<Fault>,
    text: String,
    file: PathBuf,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The configuration would not hold with these people.
    #[error(transparent)]
    Faults(#[from] Faults),
    /// The file of people could not be written.
    #[error("writing {}: {source}; check the folder's owner and the free space", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// By id, the rows of each person, as they stand in the file of people.
type People = BTreeMap<String, Vec<Vec<String>>>;

impl Imported {
    /// Imports: weighs and writes, one import after the other, so that each keeps what the one before has put in.
    pub fn put_in(config: &Path, own: (&Path, &str), others: Others) -> Result<Imported, ImportError> {
        let file = Settings::people_file(config)?;
        let _turn = take_turn(&file)?;
        let imported = Imported::weigh(config, own, others)?;
        imported.write()?;
        Ok(imported)
    }

    /// What importing `text` (called `name` in what is told of it) into the people of this configuration would change.
    /// Nothing is written.
    pub fn weigh(config: &Path, (name, text): (&Path, &str), others: Others) -> Result<Imported, ImportError> {
        // First by its own lines, so that what is told names the person's own file.
        if let Err(faults) = Settings::read_with_people(config, (name, text)) {
            let own: Vec<Fault> = faults.errors.into_iter().filter(|fault| fault.file == name).collect();
            if !own.is_empty() {
                return Err(Faults { errors: own, warnings: faults.warnings }.into());
            }
        }
        let file = Settings::people_file(config)?;
        let before = people_there(&file)?;
        let new = people_of(text).unwrap_or_default();
        let mut after = if others == Others::Stay { before.clone() } else { People::new() };
        after.extend(new);
        let text = written(&after);
        let (_, warnings) = Settings::read_with_people(config, (&file, &text))?;
        let (added, kept): (Vec<&String>, Vec<&String>) = after.keys().partition(|id| !before.contains_key(*id));
        let (changed, same): (Vec<&String>, Vec<&String>) =
            kept.into_iter().partition(|id| before.get(*id) != after.get(*id));
        Ok(Imported {
            removed: before.keys().filter(|id| !after.contains_key(*id)).cloned().collect(),
            added: added.into_iter().cloned().collect(),
            changed: changed.into_iter().cloned().collect(),
            unchanged: same.len(),
            warnings,
            text,
            file,
        })
    }

    /// Puts the file of people in its place: the old one or the new one, whatever happens meanwhile.
    fn write(&self) -> Result<(), ImportError> {
        let refused = |source| ImportError::Write { path: self.file.clone(), source };
        let folder = folder_of(&self.file);
        let beside = self.file.with_extension("csv.new");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o640).open(&beside).map_err(refused)?;
        file.write_all(self.text.as_bytes()).and_then(|()| file.sync_all()).map_err(refused)?;
        fs::rename(&beside, &self.file).map_err(refused)?;
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(refused)
    }

    /// The file of people.
    pub fn file(&self) -> &Path {
        &self.file
    }
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Waits until nobody else imports into this file, and keeps others waiting while the answer lives. The lock is a file
/// beside it, for the file itself is another one after each import.
fn take_turn(file: &Path) -> Result<File, ImportError> {
    let path = file.with_extension("csv.lock");
    let refused = |source| ImportError::Write { path: path.clone(), source };
    fs::create_dir_all(folder_of(file)).map_err(refused)?;
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(refused)?;
    lock.lock().map_err(refused)?;
    Ok(lock)
}

/// Who stands in the file of people now. One that is there and cannot be read is no empty one: everybody in it would go.
fn people_there(file: &Path) -> Result<People, Faults> {
    let refuse = |(line, column): (usize, usize), problem: String, remedy: &str| {
        let (file, key) = (file.to_owned(), String::new());
        let fault = Fault { file, line, column, key, problem, remedy: remedy.to_owned() };
        Faults { errors: vec![fault], warnings: Vec::new() }
    };
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(People::new()),
        Err(error) => {
            return Err(refuse((0, 0), format!("the people imported before cannot be read: {error}"), READABLE));
        }
    };
    people_of(&text).map_err(|Unclosed { line, column }| {
        let remedy = "write a second quote behind the cell, or take the first one out";
        refuse((line, column), "the people imported before cannot be read: a quote is not closed".to_owned(), remedy)
    })
}

/// The rows of a text by id.
fn people_of(text: &str) -> Result<People, Unclosed> {
    let rows = csv::rows(text)?;
    let Some((header, rows)) = rows.split_first() else { return Ok(People::new()) };
    let place = |column: &str| header.cells.iter().position(|cell| cell.text.eq_ignore_ascii_case(column));
    let places = COLUMNS.map(place);
    let mut people = People::new();
    for row in rows {
        let cell = |place: &Option<usize>| row.cells.get((*place)?).map(|cell| cell.text.clone());
        let cells: Vec<String> = places.iter().map(|place| cell(place).unwrap_or_default()).collect();
        if let Some(id) = cells.first() {
            people.entry(id.clone()).or_default().push(cells);
        }
    }
    Ok(people)
}

fn written(people: &People) -> String {
    let mut text = COLUMNS.join(",") + "\n";
    for row in people.values().flatten() {
        let cells: Vec<String> = row.iter().map(|cell| quoted(cell)).collect();
        text += &(cells.join(",") + "\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const CENTRE: &str = r#"
[skills]
regulation = "may regulate"
[associations.sos]
[regions.here]
[lines.main]
association = "sos"
region = "here"
skills = { regulation = 50 }
[trunks.carrier]
peers = ["127.0.0.2"]
fallback_line = "main"
[sounds]
music = "music.wav"
[outbound.roles.lead]
"#;

    /// A folder with a centre that has nobody yet, and its configuration.
    fn centre() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let (channels, sample_rate, bits_per_sample) = (1, 8000, 16);
        let sample_format = hound::SampleFormat::Int;
        let form = hound::WavSpec { channels, sample_rate, bits_per_sample, sample_format };
        let mut wav = hound::WavWriter::create(folder.path().join("music.wav"), form).expect("a file");
        wav.write_sample(1_i16).expect("a sample");
        wav.finalize().expect("a header");
        let file = folder.path().join("vigie.toml");
        let state = folder.path().join("state");
        fs::write(&file, format!("[node]\nstate = \"{}\"\n{CENTRE}", state.display())).expect("written");
        (folder, file)
    }

    fn import(config: &Path, text: &str, others: Others) -> Imported {
        let imported = Imported::put_in(config, (Path::new("mine.csv"), text), others);
        imported.unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn people_come_change_and_go_by_the_week() {
        let (_folder, config) = centre();
        let first = import(
            &config,
            "id;name;association;skills;regions;valid_from;valid_until;role\n\
             anne;Anne;sos;regulation=80;here=0;2026-11-23;2026-11-29;lead\n\
             anne;;;;;2026-12-07;2026-12-13;\n\
             bruno;Bruno;sos;regulation=60;;;;\n",
            Others::Stay,
        );
        assert_eq!((first.added.as_slice(), first.unchanged), (["anne".to_owned(), "bruno".to_owned()].as_slice(), 0));
        let settings = Settings::read(&config).unwrap_or_else(|faults| panic!("{faults}"));
        let anne = &settings.centre.regulators[&"anne".into()];
        let zoned = |at: Option<crate::model::Utc>| at.map(|at| at.with_offset(&settings.centre.zone));
        let periods: Vec<_> = anne.terms.valid.iter().map(|one| (zoned(one.from), zoned(one.until))).collect();
        let written = |from: &str, until: &str| {
            (Some(format!("{from}T00:00:00.000+01:00")), Some(format!("{until}T00:00:00.000+01:00")))
        };
        assert_eq!(periods, [written("2026-11-23", "2026-11-30"), written("2026-12-07", "2026-12-14")]);
        assert_eq!((anne.terms.role.as_str(), anne.name.as_str()), ("lead", "Anne"));

        let text = "id,association,skills\nclara,sos,regulation=70\nbruno,sos,regulation=60\n";
        let second = import(&config, text, Others::Go);
        let ids = |ids: &[String]| ids.join(" ");
        assert_eq!(
            (ids(&second.added), ids(&second.changed), ids(&second.removed)),
            ("clara".into(), "bruno".into(), "anne".into())
        );
        let settings = Settings::read(&config).unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(settings.centre.regulators.len(), 2);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_column_and_nothing_is_written() {
        let (_folder, config) = centre();
        for (text, place, problem) in [
            ("id,association,skills\nanne,sos,regulation=180\n", "mine.csv:2:10", "no name with a number"),
            ("id,association,skills\n\nanne,sos,regulatoin=80\n", "mine.csv:3:10", "`regulatoin` is not configured"),
            ("id,association,skills\nanne,soss,regulation=80\n", "mine.csv:2:6", "`soss` is not configured"),
            ("id,association,skills,role\nanne,sos,regulation=80,boss\n", "mine.csv:2:24", "role `boss`"),
            ("id,skils,association\n", "mine.csv:1:4", "column `skils` is unknown"),
            (
                "id,association,skills,valid_from\nanne,sos,regulation=80,31/12/2026\n",
                "mine.csv:2:24",
                "neither a date",
            ),
            (
                "id,association,skills\nanne,sos,regulation=80\nanne,sos,regulation=80\n",
                "mine.csv:3:1",
                "line 2 already",
            ),
            ("id,association,skills\n../x,sos,regulation=80\n", "mine.csv:2:1", "is no id"),
            ("id,association,skills\nanne,sos,\"regulation=80\n", "mine.csv:2:10", "a quote is not closed"),
        ] {
            let refused = Imported::weigh(&config, (Path::new("mine.csv"), text), Others::Stay);
            let told = refused.expect_err(text).to_string();
            assert!(told.contains(place) && told.contains(problem), "{text}: {told}");
        }
        assert!(!config.with_file_name("state").join("people.csv").exists());
    }

    #[test]
    fn a_file_of_people_that_cannot_be_read_is_not_taken_for_an_empty_one() {
        let (_folder, config) = centre();
        import(&config, "id,association,skills\nanne,sos,regulation=80\n", Others::Stay);
        let people = config.with_file_name("state").join("people.csv");
        let whole = fs::read(&people).expect("there");
        for (broken, told) in [
            ([&whole[..], b"bruno,Ren\xe9,sos,,,,,,,\n"].concat(), "cannot be read"),
            ([&whole[..], b"bruno,\"Bruno,sos,,,,,,,\n"].concat(), "people.csv:3:7: the people imported before"),
        ] {
            fs::write(&people, &broken).expect("written");
            for others in [Others::Stay, Others::Go] {
                let text = "id,association,skills\nclara,sos,regulation=80\n";
                let refused = Imported::put_in(&config, (Path::new("mine.csv"), text), others);
                let said = refused.expect_err("refused").to_string();
                assert!(said.contains(told) && said.contains("what to do"), "{said}");
                assert_eq!(fs::read(&people).expect("there"), broken, "nothing was written");
            }
        }
    }

    #[test]
    fn two_imports_at_once_keep_what_each_of_them_brings() {
        let (_folder, config) = centre();
        let one = |id: usize| {
            let text = format!("id,association,skills\np{id},sos,regulation=80\n");
            import(&config, &text, Others::Stay)
        };
        std::thread::scope(|scope| (0..8).map(|id| scope.spawn(move || one(id))).for_each(drop));
        let settings = Settings::read(&config).unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(settings.centre.regulators.len(), 8);
    }

    #[test]
    fn a_list_that_would_grow_too_long_to_be_read_is_refused() {
        let (_folder, config) = centre();
        let rows = |from: usize| -> String {
            let row = |id: usize| format!("p{id},{},sos,regulation=80\n", "n".repeat(190));
            "id,name,association,skills\n".to_owned() + &(from..from + 9_800).map(row).collect::<String>()
        };
        import(&config, &rows(0), Others::Stay);
        let refused = Imported::put_in(&config, (Path::new("mine.csv"), &rows(9_800)), Others::Stay);
        let said = refused.expect_err("refused").to_string();
        assert!(said.contains("more than 4194304"), "{said}");
        Settings::read(&config).unwrap_or_else(|faults| panic!("{faults}"));
    }
}
