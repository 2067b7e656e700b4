//! An arrival profile: a TOML file that says how calls come, who is on duty, and what the lines ask.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Spanned, Table};

/// The largest profile read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The profiles that are built in, by name.
const BUILT_IN: [(&str, &str); 2] = [
    ("one-site", include_str!("../../../config/profiles/one-site.toml")),
    ("network", include_str!("../../../config/profiles/network.toml")),
];

/// What a profile says; every key but those with a default must be there.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Shown to people.
    pub name: String,
    /// Days that each seed plays.
    pub days: Spanned<u32>,
    /// How calls come.
    pub arrivals: Arrivals,
    /// How long they take.
    pub handling: Handling,
    /// How long callers wait.
    pub patience: Patience,
    /// How phones ring.
    pub ringing: RingingPlan,
    /// Who is on duty.
    pub staff: Staff,
    /// Whose lines are answered.
    pub associations: Vec<AssociationPlan>,
    /// What calls are about.
    pub kinds: Vec<Kind>,
    /// As in the configuration: `[routing.weights]`.
    #[serde(default)]
    pub routing: Table,
    /// As in the configuration: `[offers]`.
    #[serde(default)]
    pub offers: Table,
}

/// How calls come.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arrivals {
    /// Calls a year, without those who call again.
    pub calls_a_year: Spanned<f64>,
    /// Weights of Monday to Sunday.
    pub weekdays: Spanned<Vec<f64>>,
    /// Weights of the day's 24 hours.
    pub hours: Spanned<Vec<f64>>,
    /// Coefficient of variation of a day's volume (gamma); 0 is none.
    pub day_cv: Spanned<f64>,
    /// Busier days of the year: each day is one with this share…
    pub winter_share: Spanned<f64>,
    /// …and then has so many times the calls; the year's sum stays.
    pub winter_factor: Spanned<f64>,
    /// Hours a week, each in one region, with so many times its calls.
    pub burst_hours_a_week: Spanned<f64>,
    /// How many times.
    pub burst_factor: Spanned<f64>,
    /// The share of calls of priority 1, of any kind.
    pub priority_1_share: Spanned<f64>,
}

/// The distribution of handling times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Lognormal, with `cv`.
    #[default]
    Lognormal,
    /// Exponential; `cv` is not used.
    Exponential,
}

/// How long calls take.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handling {
    /// Mean talking time.
    pub mean_s: Spanned<f64>,
    /// Its coefficient of variation.
    pub cv: Spanned<f64>,
    /// Its distribution.
    #[serde(default)]
    pub shape: Shape,
    /// Mean wrap-up (exponential).
    pub wrap_up_mean_s: Spanned<f64>,
    /// So many times as long from the regulator's second region.
    pub second_region: Spanned<f64>,
    /// And from any other.
    pub other_region: Spanned<f64>,
}

/// How long callers wait.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patience {
    /// Mean patience (exponential); of several each is as likely.
    pub means_s: Spanned<Vec<f64>>,
    /// The share of callers with little…
    pub hurried_share: Spanned<f64>,
    /// …and theirs, give or take a third.
    pub hurried_mean_s: Spanned<f64>,
    /// The share of those who gave up and call again.
    pub again_share: Spanned<f64>,
    /// Mean time until they do (exponential).
    pub again_after_mean_s: Spanned<f64>,
}

/// How phones ring.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RingingPlan {
    /// Mean time until a regulator picks up (exponential); 0 is at once.
    pub mean_s: Spanned<f64>,
    /// The share of offers that nobody picks up.
    pub unanswered_share: Spanned<f64>,
}

/// Who is on duty.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Staff {
    /// People on the roster whom the shifts are written for.
    pub people: Spanned<u32>,
    /// The shifts of a week.
    pub shifts: Vec<ShiftPlan>,
    /// What some of them can beside `regulation`.
    #[serde(default)]
    pub skills: Vec<SkillPlan>,
}

/// The same shift on some days of the week.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShiftPlan {
    /// `Mon Tue Wed Thu Fri Sat Sun`, as `Mon-Fri` or `Sat,Sun`.
    pub days: Spanned<String>,
    /// Hour of the day that it begins, with decimals.
    pub from: Spanned<f64>,
    /// Hour that it ends; one not later than `from` is the next day's.
    pub to: Spanned<f64>,
    /// How many come.
    pub people: Spanned<u32>,
}

/// A skill that a share of the people has.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SkillPlan {
    /// Which.
    pub skill: String,
    /// At which level.
    pub level: Spanned<u8>,
    /// The share of the people; 1 is all.
    pub share: Spanned<f64>,
}

/// An association with one region.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssociationPlan {
    /// Its id, and its region's.
    pub id: Spanned<String>,
    /// Its share of calls and of people, as a weight.
    pub share: Spanned<f64>,
    /// The region that its own is a part of.
    #[serde(default)]
    pub parent: Option<String>,
    /// Regions beside its own, by id.
    #[serde(default)]
    pub neighbours: Vec<String>,
    /// The share of a kind of call where it is not the usual one, by name.
    #[serde(default)]
    pub kinds: std::collections::BTreeMap<String, Spanned<f64>>,
}

/// A kind of call: each association has a line for each.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kind {
    /// Its name.
    pub name: Spanned<String>,
    /// Its share; the one without it has the rest.
    #[serde(default)]
    pub share: Option<Spanned<f64>>,
    /// Any key of a `[lines.ID]` of the configuration: `skills`, `steps`, `priority`, `waiting_max`.
    pub line: Table,
}

/// Why a profile cannot be played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// The file could not be read.
    #[error("reading the profile {path}: {problem}; give a file, or the name of a built-in one: one-site, network")]
    Unread {
        /// Which.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// It is no TOML, or a key is unknown or of the wrong type.
    #[error(
        "{place}: {problem}\n    what to do: compare it with config/profiles/one-site.toml, which explains each key"
    )]
    Unreadable {
        /// `FILE:LINE:COLUMN`.
        place: String,
        /// What is wrong.
        problem: String,
    },
    /// A value is out of its range, or what it names is not there.
    #[error("{place}: {key} {problem}\n    what to do: {remedy}")]
    Unfit {
        /// `FILE:LINE:COLUMN`.
        place: String,
        /// The key.
        key: String,
        /// What is wrong.
        problem: String,
        /// What to do.
        remedy: String,
    },
    /// The centre that it makes is refused by the configuration's own checks.
    #[error("{path}: the centre that the profile makes is refused:\n{faults}")]
    Centre {
        /// Which.
        path: PathBuf,
        /// All that is wrong.
        faults: String,
    },
}

/// A profile as read, with its text, so that faults have a place.
#[derive(Clone, Debug)]
pub struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// The file at `path`, or the built-in profile of that name.
    pub fn read(path: &Path) -> Result<Source, ProfileError> {
        let unread = |problem: String| ProfileError::Unread { path: path.to_owned(), problem };
        let built_in = BUILT_IN.iter().find(|(name, _)| Path::new(name) == path && !path.exists());
        if let Some((_, text)) = built_in {
            return Ok(Source { path: path.to_owned(), text: (*text).to_owned() });
        }
        let size = std::fs::metadata(path).map_err(|error| unread(error.to_string()))?.len();
        if size > FILE_BYTES_MAX {
            return Err(unread(format!("it has {size} bytes, more than {FILE_BYTES_MAX}")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| unread(error.to_string()))?;
        Ok(Source { path: path.to_owned(), text })
    }

    /// Text that stands for a file.
    #[cfg(test)]
    pub fn of(text: &str) -> Source {
        Source { path: PathBuf::from("test.toml"), text: text.to_owned() }
    }

    /// The file's path, or the built-in profile's name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `FILE:LINE:COLUMN` of a byte.
    fn place(&self, at: usize) -> String {
        let before = self.text.get(..at).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("{}:{line}:{column}", self.path.display())
    }

    /// What is wrong with a value, at its place.
    pub fn unfit<T>(
        &self,
        value: &Spanned<T>,
        key: &str,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> ProfileError {
        let place = self.place(value.span().start);
        ProfileError::Unfit { place, key: key.to_owned(), problem: problem.into(), remedy: remedy.into() }
    }

    /// Reads and checks it.
    pub fn parse(&self) -> Result<Profile, ProfileError> {
        let profile: Profile = toml::from_str(&self.text).map_err(|error| ProfileError::Unreadable {
            place: self.place(error.span().map_or(0, |span| span.start)),
            problem: error.message().to_owned(),
        })?;
        self.check(&profile)?;
        Ok(profile)
    }

    fn within(&self, value: &Spanned<f64>, key: &str, from: f64, to: f64) -> Result<(), ProfileError> {
        if (from..=to).contains(value.get_ref()) {
            return Ok(());
        }
        Err(self.unfit(value, key, format!("is {}", value.get_ref()), format!("write a number from {from} to {to}")))
    }

    fn whole(&self, value: &Spanned<u32>, key: &str, from: u32, to: u32) -> Result<(), ProfileError> {
        if (from..=to).contains(value.get_ref()) {
            return Ok(());
        }
        let remedy = format!("write a whole number from {from} to {to}");
        Err(self.unfit(value, key, format!("is {}", value.get_ref()), remedy))
    }

    fn weights(&self, values: &Spanned<Vec<f64>>, key: &str, count: usize) -> Result<(), ProfileError> {
        let list = values.get_ref();
        let is_good = list.len() == count && list.iter().all(|one| (0.0..=1e6).contains(one));
        if is_good && list.iter().sum::<f64>() > 0.0 {
            return Ok(());
        }
        Err(self.unfit(values, key, "is no list of weights", format!("write {count} numbers from 0 on, not all zero")))
    }

    fn check(&self, profile: &Profile) -> Result<(), ProfileError> {
        self.whole(&profile.days, "days", 1, 366)?;
        let Arrivals { calls_a_year, weekdays, hours, day_cv, .. } = &profile.arrivals;
        self.within(calls_a_year, "arrivals.calls_a_year", 1.0, 1e8)?;
        self.weights(weekdays, "arrivals.weekdays", 7)?;
        self.weights(hours, "arrivals.hours", 24)?;
        self.within(day_cv, "arrivals.day_cv", 0.0, 1.0)?;
        let arrivals = &profile.arrivals;
        self.within(&arrivals.winter_share, "arrivals.winter_share", 0.0, 1.0)?;
        self.within(&arrivals.winter_factor, "arrivals.winter_factor", 0.1, 10.0)?;
        self.within(&arrivals.burst_hours_a_week, "arrivals.burst_hours_a_week", 0.0, 168.0)?;
        self.within(&arrivals.burst_factor, "arrivals.burst_factor", 1.0, 100.0)?;
        self.within(&arrivals.priority_1_share, "arrivals.priority_1_share", 0.0, 1.0)?;
        let handling = &profile.handling;
        self.within(&handling.mean_s, "handling.mean_s", 1.0, 36_000.0)?;
        self.within(&handling.cv, "handling.cv", 0.0, 10.0)?;
        self.within(&handling.wrap_up_mean_s, "handling.wrap_up_mean_s", 0.0, 3600.0)?;
        self.within(&handling.second_region, "handling.second_region", 0.1, 10.0)?;
        self.within(&handling.other_region, "handling.other_region", 0.1, 10.0)?;
        let patience = &profile.patience;
        let means = patience.means_s.get_ref();
        if means.is_empty() || means.iter().any(|mean| !(1.0..=1e6).contains(mean)) {
            let remedy = "write one number or more, each from 1 to 1000000, such as [240]";
            return Err(self.unfit(&patience.means_s, "patience.means_s", "is no list of means", remedy));
        }
        self.within(&patience.hurried_share, "patience.hurried_share", 0.0, 1.0)?;
        self.within(&patience.hurried_mean_s, "patience.hurried_mean_s", 0.0, 3600.0)?;
        self.within(&patience.again_share, "patience.again_share", 0.0, 1.0)?;
        self.within(&patience.again_after_mean_s, "patience.again_after_mean_s", 1.0, 86_400.0)?;
        self.within(&profile.ringing.mean_s, "ringing.mean_s", 0.0, 120.0)?;
        self.within(&profile.ringing.unanswered_share, "ringing.unanswered_share", 0.0, 0.9)?;
        self.check_staff(&profile.staff)?;
        self.check_shares(profile)
    }

    fn check_staff(&self, staff: &Staff) -> Result<(), ProfileError> {
        self.whole(&staff.people, "staff.people", 1, 10_000)?;
        if staff.shifts.is_empty() {
            return Err(self.unfit(&staff.people, "staff.shifts", "is empty", "write at least one shift"));
        }
        for shift in &staff.shifts {
            self.within(&shift.from, "staff.shifts.from", 0.0, 24.0)?;
            self.within(&shift.to, "staff.shifts.to", 0.0, 24.0)?;
            self.whole(&shift.people, "staff.shifts.people", 0, 10_000)?;
            if super::roster::parse_days(shift.days.get_ref()).is_none() {
                let problem = format!("`{}` names no days", shift.days.get_ref());
                let remedy = "write days such as \"Mon-Fri\", \"Sat,Sun\" or \"Mon\"";
                return Err(self.unfit(&shift.days, "staff.shifts.days", problem, remedy));
            }
        }
        for skill in &staff.skills {
            self.within(&skill.share, "staff.skills.share", 0.0, 1.0)?;
        }
        Ok(())
    }

    fn check_shares(&self, profile: &Profile) -> Result<(), ProfileError> {
        let days = &profile.days;
        if profile.associations.is_empty() || profile.kinds.is_empty() {
            let remedy = "write at least one [[associations]] and one [[kinds]]";
            return Err(self.unfit(days, "associations", "or kinds are missing", remedy));
        }
        let names: Vec<&str> = profile.kinds.iter().map(|kind| kind.name.get_ref().as_str()).collect();
        for one in &profile.associations {
            self.within(&one.share, "associations.share", 0.0, 1e6)?;
            one.kinds.values().try_for_each(|share| self.within(share, "associations.kinds", 0.0, 1.0))?;
            let unknown = one.kinds.keys().find(|kind| !names.contains(&kind.as_str()));
            if let Some(kind) = unknown {
                let problem = format!("names the kind `{kind}`, which is not there");
                return Err(self.unfit(
                    &one.id,
                    "associations.kinds",
                    problem,
                    "write the name of one of the [[kinds]]",
                ));
            }
        }
        let without = profile.kinds.iter().filter(|kind| kind.share.is_none()).count();
        if let Some(kind) = profile.kinds.first().filter(|_| without != 1) {
            let problem = format!("is missing in {without} kinds");
            let remedy = "leave it out in exactly one, which gets the rest";
            return Err(self.unfit(&kind.name, "kinds.share", problem, remedy));
        }
        for share in profile.kinds.iter().filter_map(|kind| kind.share.as_ref()) {
            self.within(share, "kinds.share", 0.0, 1.0)?;
        }
        if let Some(first) = profile.associations.first().filter(|_| profile.associations.iter().all(is_empty)) {
            let remedy = "write a share above 0 for at least one: they are weights";
            return Err(self.unfit(&first.share, "associations.share", "is 0 in all of them", remedy));
        }
        profile.associations.iter().try_for_each(|one| self.check_kinds(profile, one))
    }

    /// The shares of one association's kinds leave something for the kind that gets the rest, or nothing; never less.
    fn check_kinds(&self, profile: &Profile, one: &AssociationPlan) -> Result<(), ProfileError> {
        let share =
            |kind: &Kind| one.kinds.get(kind.name.get_ref()).or(kind.share.as_ref()).map(|share| *share.get_ref());
        let sum: f64 = profile.kinds.iter().filter_map(share).sum();
        if sum <= 1.0 + 1e-9 {
            return Ok(());
        }
        let problem = format!("has kinds whose shares are {sum} together, and none may be left for the others");
        let remedy = "lower `share` in [[kinds]], or `kinds` here, to 1 at most together";
        Err(self.unfit(&one.id, "associations", problem, remedy))
    }
}

fn is_empty(one: &AssociationPlan) -> bool {
    *one.share.get_ref() <= 0.0
}
