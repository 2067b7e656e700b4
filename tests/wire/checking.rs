//! What `vigie check` says of what cannot work, with its place and a remedy; and a caller is answered by the widest step all
//! the same.

use super::harness::until;
use super::phone::Phone;
use super::server::{Centre, Setup};

const PLAIN: &str = "ddis = [\"+33261910101\"]\nregion = \"north\"\nskills = { regulation = 50 }\n";

/// The plain line asking something else.
fn asking(what: &str) -> String {
    format!("ddis = [\"+33261910101\"]\nregion = \"north\"\n{what}\n")
}

/// Exit status, and what is said on standard output and on standard error.
fn check(centre: &Centre, more: &[&str]) -> (Option<i32>, String, String) {
    let config = centre.config.to_str().expect("a plain path");
    let output = centre.vigie(&[&["check", "--config", config], more].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// How a fault at this text of the file begins: its line and its key.
fn place(centre: &Centre, written: &str, key: &str) -> (String, String) {
    let text = std::fs::read_to_string(&centre.config).expect("the configuration");
    let at = text.find(written).unwrap_or_else(|| panic!("{written} is not there"));
    let line = text[..at].matches('\n').count() + 1;
    (format!("{}:{line}:", centre.config.display()), format!(": {key}: "))
}

#[test]
fn what_nobody_can_meet_a_circle_an_unknown_skill_and_overlapping_hours_are_told_with_place_and_remedy() {
    let nobody = asking("needs = \"regulation >= 50 and lang-en >= 90\"");
    let never = asking("needs = \"regulation >= 90\"\nsteps = [{ after = \"5s\", lowered_by = 5 }]");
    let unknown = asking("needs = \"regulation >= 50 and (lang-fr or lang-en)\"");
    let regions = "[regions.north]\nneighbours = [\"south\"]\n[regions.south]\n";
    let circle = "[regions.north]\nparent = \"south\"\n[regions.south]\nparent = \"north\"\n";
    let hours = "wrap_up = \"1s\"\nwaiting_max = \"30s\"";
    let overlapping = "wrap_up = \"1s\"\nhours = [\"Mon-Fri 08:00-12:00\", \"Wed 11:00-13:00\"]";
    let exception =
        "wrap_up = \"1s\"\nexceptions = [{ date = \"2026-12-24\", hours = [\"08:00-12:00\", \"11:30-14:00\"] }]";
    let list =
        "[lists.homes]\nkind = \"priority\"\nneeds = \"regulation >= 99\"\nnumbers = [\"+33233000001\"]\n[skills]";
    let cases = [
        (PLAIN, nobody.as_str(), "needs =", "lines.plain.needs", "no regulator can answer", "give a regulator"),
        (PLAIN, never.as_str(), "needs =", "lines.plain.needs", "at any step", "add a step that relaxes"),
        (PLAIN, unknown.as_str(), "needs =", "lines.plain.needs", "`lang-fr` is not configured", "`lang-en`"),
        (
            PLAIN,
            &asking("skills = { regulatoin = 50 }"),
            "skills = { regulatoin",
            "lines.plain.skills.regulatoin",
            "is not configured",
            "`regulation`",
        ),
        (regions, circle, "parent = \"south\"", "regions.north.parent", "leads back here", "no parent"),
        (
            hours,
            overlapping,
            "hours = [\"Mon",
            "lines.plain.hours[1]",
            "overlaps an earlier span on Wednesday",
            "ended",
        ),
        (hours, exception, "exceptions =", "lines.plain.exceptions[0].hours[1]", "overlaps an earlier span", "ended"),
        ("[skills]", list, "needs =", "lists.homes.needs", "nobody could answer", "lower the levels"),
    ];
    for (from, to, written, key, problem, remedy) in cases {
        let centre = Setup::new().change(from, to).write();
        let (status, _, said) = check(&centre, &[]);
        let (line, key) = place(&centre, written, key);
        let fault = said.lines().position(|one| one.starts_with(&line) && one.contains(&key));
        let fault = fault.unwrap_or_else(|| panic!("{line} {key} is not told:\n{said}"));
        let told: Vec<&str> = said.lines().skip(fault).take(2).collect();
        assert!(told[0].contains(problem), "{told:?}");
        assert!(told[1].trim_start().starts_with("what to do: ") && told[1].contains(remedy), "{told:?}");
        assert_eq!(status, Some(1), "{to}");
    }
}

#[tokio::test]
async fn a_caller_whose_expression_nobody_meets_is_answered_by_the_widest_step() {
    let narrow =
        "needs = \"regulation >= 50 and lang-en >= 90\"\nsteps = [{ after = \"2s\", without = [\"lang-en\"] }]";
    let greeted = "ddis = [\"+33261910102\"]\nregion = \"north\"\nskills = { regulation = 50 }\n";
    // A step that asks more than anybody has would strand whoever waits for it.
    let stranding = format!("{greeted}steps = [{{ after = \"1s\", needs = \"regulation >= 100\" }}]\n");
    let centre = Setup::new().change(PLAIN, &asking(narrow)).change(greeted, &stranding).write();
    let (status, told, said) = check(&centre, &[]);
    assert_eq!(status, Some(0), "{said}");
    for (written, key, problem) in [
        ("needs = \"regulation >= 50 and", "lines.plain.needs", "no regulator can answer before 2s"),
        (
            "steps = [{ after = \"1s\"",
            "lines.greeted.steps[0].needs",
            "is passed over, and what was asked before it holds",
        ),
    ] {
        let (line, key) = place(&centre, written, key);
        let is_it = |one: &str| one.starts_with("warning: ") && one.contains(&line) && one.contains(&key);
        let warning = said.lines().find(|one| is_it(one)).unwrap_or_else(|| panic!("{line} {key}:\n{said}"));
        assert!(warning.contains(problem), "{warning}");
    }
    assert!(told.contains("from   0 s  regulation >= 50 and lang-en >= 90: NOBODY"), "{told}");

    let server = centre.start().await;
    let anne = Phone::regulator(&server, "anne").await;
    let first = Phone::caller(&server, "+33612345678").await;
    first.dial_in("0261910101").await;
    anne.talks().await;
    let second = Phone::caller(&server, "+33612345679").await;
    second.dial_in("0261910102").await;
    until("the second has waited past its step", || async {
        let room = server.api.json("/room").await;
        (room["waiting"][0]["wait_ms"].as_u64()? >= 2_000).then_some(())
    })
    .await;
    first.hang_up().await;
    anne.is_over().await;
    anne.talks().await;
    second.hang_up().await;
    until("both are answered", || async {
        let calls = server.api.calls().await;
        calls.iter().all(|call| call["outcome"] == "answered" && call["regulator"] == "anne").then_some(())
    })
    .await;
    let calls = server.api.calls().await;
    let id = calls[1]["id"].as_str().expect("the first call's id");
    let story = server.api.json(&format!("/calls/{id}")).await;
    assert_eq!(story["offers"][0]["reasoning"]["step"].as_u64(), Some(1), "{:#}", story["offers"]);
    assert!(story["call"]["wait_ms"].as_u64() >= Some(2_000), "{:#}", story["call"]);
}

/// Three calendars: an office with holidays and exceptions, a night that ends while the clock is put back, an hour that is
/// left out when it is put forward.
const CALENDARS: &str = r#"[calendars.office]
hours = ["Mon-Fri 08:30-12:00", "Mon-Fri 13:30-18:00"]
holidays = "closed"
exceptions = [
    { date = "2026-12-24", hours = ["08:30-12:00"] },
    { date = "2026-11-11", hours = ["10:00-11:00"] },
]
[calendars.night]
hours = ["Mon-Sun 00:00-02:30"]
[calendars.gap]
hours = ["Mon-Sun 02:00-03:00"]
[skills]"#;

#[test]
fn calendars_are_open_and_closed_on_holidays_exceptions_and_the_nights_on_which_the_clock_is_changed() {
    let line = |ddi: &str, calendar: &str| {
        format!("ddis = [\"{ddi}\"]\ncalendar = \"{calendar}\"\nclosed_to = {{ voicemail = true }}")
    };
    let mut setup = Setup::new().change("[skills]", CALENDARS);
    for (ddi, calendar) in [("+33261910101", "office"), ("+33261910102", "night"), ("+33261910103", "gap")] {
        setup = setup.change(&format!("ddis = [\"{ddi}\"]"), &line(ddi, calendar));
    }
    let centre = setup.write();
    for (at, line, expected) in [
        ("2026-05-07T10:00", "plain", "open until Thu 2026-05-07 12:00 +02:00"),
        ("2026-05-07T12:00", "plain", "closed until Thu 2026-05-07 13:30 +02:00"),
        ("2026-05-08T10:00", "plain", "closed (Victoire 1945) until Mon 2026-05-11 08:30 +02:00"),
        ("2026-04-06T10:00", "plain", "closed (Lundi de Pâques) until Tue 2026-04-07 08:30 +02:00"),
        ("2026-05-14T10:00", "plain", "closed (Ascension) until Fri 2026-05-15 08:30 +02:00"),
        ("2027-05-17T10:00", "plain", "closed (Lundi de Pentecôte) until Tue 2027-05-18 08:30 +02:00"),
        ("2026-11-11T10:30", "plain", "open (an exception) until Wed 2026-11-11 11:00 +01:00"),
        // Noël is a Friday, and then comes the weekend.
        ("2026-12-24T14:00", "plain", "closed (an exception) until Mon 2026-12-28 08:30 +01:00"),
        // In the night in which 02:00 to 03:00 comes twice it closes when the clock shows 02:30 for the second time.
        ("2026-10-25T02:45+02:00", "greeted", "open until Sun 2026-10-25 02:30 +01:00"),
        ("2026-10-25T02:15+01:00", "greeted", "open until Sun 2026-10-25 02:30 +01:00"),
        ("2026-10-25T02:30+01:00", "greeted", "closed until Mon 2026-10-26 00:00 +01:00"),
        // In the night in which it is left out it never opens.
        ("2026-03-28T02:30", "secret", "open until Sat 2026-03-28 03:00 +01:00"),
        ("2026-03-29T00:30Z", "secret", "closed until Mon 2026-03-30 02:00 +02:00"),
        ("2026-03-29T01:00Z", "secret", "closed until Mon 2026-03-30 02:00 +02:00"),
    ] {
        let (status, told, said) = check(&centre, &["--at", at]);
        assert_eq!(status, Some(0), "{said}");
        let shown = told.lines().find_map(|one| one.strip_prefix(&format!("  line {line}: ")));
        let shown = shown.unwrap_or_else(|| panic!("{line} is not shown:\n{told}"));
        assert!(shown == expected || shown.starts_with(&format!("{expected};")), "{at}: {shown}");
        assert_eq!(shown.contains("are led to voicemail"), shown.starts_with("closed"), "{shown}");
    }
    let (status, _, said) = check(&centre, &["--at", "tomorrow"]);
    assert!(status == Some(1) && said.contains("--at tomorrow") && said.contains("write a time such as"), "{said}");
}
