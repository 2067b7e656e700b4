//! Profiles, policies and rosters played for short times.

use std::path::Path;

use super::*;

const ONE_SITE: &str = include_str!("../../../config/profiles/one-site.toml");

fn site(text: &str, staff: Option<u32>) -> Material {
    Material::Profile(Box::new(Site::new(&Source::of(text), staff).unwrap_or_else(|error| panic!("{error}"))))
}

fn fault(text: &str) -> String {
    Site::new(&Source::of(text), None).err().map(|error| error.to_string()).expect("a fault")
}

fn figure(played: &Played, policy: usize, key: &str) -> f64 {
    let place = FIGURES.iter().position(|figure| figure.key == key).expect("a figure");
    played.outcomes[policy].figures[place].expect("a value").mean
}

/// Enough seeds for the published figures, and not more than a debug build plays in a minute; `cargo test --release --lib
/// simulate -- --ignored` plays 20.
fn play_figures(seeds: u32) -> Played {
    let policies = [Policy::Vigie, Policy::LongestIdle, Policy::PerAssociation];
    play(&site(ONE_SITE, None), &policies, seeds)
}

fn assert_published(played: &Played) {
    let within = |policy| figure(played, policy, "answered_within_30s");
    assert!(within(0) >= 0.90, "Vigie answers {} within 30 s", within(0));
    assert!((within(1) - 0.897).abs() < 0.005, "the longest idle {}", within(1));
    assert!((within(2) - 0.49).abs() < 0.015, "separate queues {}", within(2));
    assert!(within(0) > within(1) + 0.005, "{} {}", within(0), within(1));
}

#[test]
fn on_one_site_nine_in_ten_are_answered_within_30_s_where_the_longest_idle_gives_fewer() {
    assert_published(&play_figures(4));
}

#[test]
#[ignore = "for a release build: cargo test --release --lib simulate -- --ignored"]
fn on_one_site_the_published_figures_hold_over_20_seeds() {
    assert_published(&play_figures(20));
}

#[test]
fn every_seed_has_the_same_roster_which_is_filled_once() {
    let site = site(&two_weeks(), None);
    assert!(std::sync::Arc::ptr_eq(&site.scenario(1).duties, &site.scenario(2).duties));
}

fn two_weeks() -> String {
    ONE_SITE.replace("days = 56", "days = 14")
}

#[test]
fn one_pool_answers_what_separate_queues_cannot_and_vigie_no_less_than_the_longest_idle() {
    let policies = [Policy::Vigie, Policy::LongestIdle, Policy::PerAssociation];
    let played = play(&site(&two_weeks(), None), &policies, 2);
    let within = |policy| figure(&played, policy, "answered_within_30s");
    assert!(within(0) > within(1) && within(1) > 0.85, "{} {}", within(0), within(1));
    assert!((0.42..0.56).contains(&within(2)), "{}", within(2));
    for key in ["skill_mismatch", "cross_region_share", "wait_p95_s"] {
        assert!(figure(&played, 0, key) < figure(&played, 1, key), "{key}");
    }
    assert_eq!(figure(&played, 2, "cross_region_share"), 0.0);
}

#[test]
fn with_fewer_people_callers_wait_longer() {
    let text = two_weeks();
    let within = |staff| figure(&play(&site(&text, Some(staff)), &[Policy::Vigie], 2), 0, "answered_within_30s");
    let (few, many) = (within(30), within(40));
    assert!(few + 0.05 < many, "{few} {many}");
}

#[test]
fn the_same_seeds_give_the_same_figures_on_however_many_threads() {
    let site = site(&two_weeks(), None);
    let shown = || told::json(&play(&site, &[Policy::Vigie, Policy::Xivo], 2)).to_string();
    assert_eq!(shown(), shown());
}

#[test]
fn every_person_is_counted_once_and_every_call_has_one_end() {
    let site = site(&two_weeks(), None);
    for policy in [Policy::Vigie, Policy::Rrmemory, Policy::Leastrecent, Policy::Xivo, Policy::PerAssociation] {
        let scenario = site.scenario(1);
        let mut tally = policy.play(&scenario);
        assert_eq!(tally.persons, scenario.callers.len() as u64);
        let figures = tally.figures();
        let of = |key: &str| {
            let place = FIGURES.iter().position(|figure| figure.key == key).expect("a figure");
            figures[place].expect("a value")
        };
        let ends = of("answered") + of("abandonment");
        assert!((ends - 1.0).abs() < 1e-9, "{}: {ends}", policy.name());
    }
}

#[test]
fn the_roster_is_that_of_thirty_five_people_with_an_average_of_six() {
    let scenario = site(ONE_SITE, None).scenario(1);
    assert!((scenario.on_duty_mean() * 168.0 - 1065.0).abs() < 5.0, "{}", scenario.on_duty_mean());
    for (place, duty) in scenario.duties.iter().enumerate() {
        let own = scenario.duties.iter().skip(place + 1).find(|other| other.person == duty.person);
        assert!(own.is_none_or(|next| next.from >= duty.to), "{duty:?} overlaps {own:?}");
    }
}

#[test]
fn the_network_keeps_its_people_busy_and_every_region_is_called_from() {
    let source = Source::read(Path::new("network")).expect("built in");
    let site = Site::new(&source, None).unwrap_or_else(|error| panic!("{error}"));
    let scenario = site.scenario(1);
    assert_eq!((site.staff(), scenario.centre.associations.len()), (245, 63));
    let handling: f64 = scenario.callers.iter().map(|one| (one.handling + one.wrap_up).as_secs_f64()).sum();
    let offered = handling / scenario.span.as_secs_f64() / scenario.on_duty_mean();
    assert!((0.75..0.9).contains(&offered), "{offered}");
    let lines: std::collections::BTreeSet<usize> = scenario.callers.iter().map(|one| one.line).collect();
    assert!(lines.len() > 150, "{}", lines.len());
}

#[test]
fn what_is_wrong_with_a_profile_is_said_with_its_place_and_what_to_do() {
    let cases = [
        ("days = 56", "days = 0", "test.toml:7:8: days is 0", "from 1 to 366"),
        ("unanswered_share = 0.02", "unanswered_share = 2", "ringing.unanswered_share is 2", "from 0 to 0.9"),
        ("weekdays = [1, 1,", "weekdays = [1,", "arrivals.weekdays is no list of weights", "7 numbers"),
        ("day_cv = 0.12", "day_dv = 0.12", "day_dv", "compare it with"),
        ("days = \"Sat\"", "days = \"Sam\"", "`Sam` names no days", "Mon-Fri"),
        ("kinds = { language = 0.08 }", "kinds = { langage = 0.08 }", "`langage`, which is not there", "[[kinds]]"),
        (
            "skills = { regulation = 50 }",
            "skills = { regulation = 99 }",
            "no regulator can answer this line",
            "lower the levels",
        ),
        ("priority = 3", "prioritty = 3", "prioritty", "what to do"),
        ("language = 0.08", "language = -1", "associations.kinds is -1", "from 0 to 1"),
        ("language = 0.08", "language = 0.9", "associations has kinds whose shares are 1.04", "lower `share`"),
        ("share = 0.14", "share = 0.98", "associations has kinds whose shares are 1.01", "to 1 at most"),
    ];
    for (old, new, problem, remedy) in cases {
        assert!(ONE_SITE.contains(old), "{old}");
        let told = fault(&ONE_SITE.replacen(old, new, 1));
        assert!(told.contains(problem) && told.contains(remedy), "{new}:\n{told}");
    }
    let nobody = ONE_SITE
        .replace("share = 0.2\nparent", "share = 0\nparent")
        .replace("share = 0.3\nparent", "share = 0\nparent");
    let nobody = nobody
        .replace("\"dijon\"\nshare = 0.25", "\"dijon\"\nshare = 0")
        .replace("share = 0.25\nkinds", "share = 0\nkinds");
    let told = fault(&nobody);
    assert!(told.contains("associations.share is 0 in all") && told.contains("above 0"), "{told}");
    let gone = Source::read(Path::new("gone.toml")).err().map(|error| error.to_string()).expect("a fault");
    assert!(gone.contains("gone.toml") && gone.contains("one-site, network"), "{gone}");
}

#[test]
fn at_the_networks_scale_vigie_gives_half_as_many_calls_to_somebody_without_the_skill() {
    let source = include_str!("../../../config/profiles/network.toml").replace("days = 7", "days = 2");
    let policies = [Policy::Vigie, Policy::Rrmemory, Policy::Leastrecent, Policy::LongestIdle, Policy::Xivo];
    let played = play(&site(&source, None), &policies, 1);
    let mismatch = |policy| figure(&played, policy, "skill_mismatch");
    for (rival, policy) in policies.iter().enumerate().skip(1) {
        assert!(mismatch(0) <= mismatch(rival) / 2.0, "{}: {} {}", policy.name(), mismatch(0), mismatch(rival));
    }
    assert!(figure(&played, 0, "answered_within_30s") > figure(&played, 3, "answered_within_30s"));
}

#[test]
fn a_picture_shows_every_policy() {
    let played = play(&site(&ONE_SITE.replace("days = 56", "days = 1"), None), &[Policy::Vigie, Policy::Xivo], 1);
    let drawn = String::from_utf8(Form::Svg.draw(&played)).expect("a text");
    let lines = drawn.matches("stroke-width=\"2\"").count();
    assert!(drawn.starts_with("<svg ") && drawn.ends_with("</svg>\n") && lines == 4, "{lines}");
    assert!(drawn.contains(">vigie</text>") && drawn.contains(">xivo</text>") && !drawn.contains("NaN"));
    // The same in pixels: each policy's colour is seen.
    let drawn = picture::paint(&played);
    let inked = |colour: [u8; 3]| drawn.colours().iter().filter(|pixel| **pixel == colour).count();
    // The mark of each is 72 of them; where both lines run together, the second one is seen.
    assert!(inked([0x0b, 0x6e, 0x4f]) >= 72 && inked([0xd1, 0x49, 0x5b]) > 300, "two lines and two marks");
    assert!(inked([0x30, 0x63, 0x8e]) == 0, "there is no third policy");
}
