//! Calendars and lists of callers: read as written, each fault told with its place.

use super::*;

#[test]
fn each_fault_of_a_calendar_is_told_with_its_line() {
    let table = [
        (r#"region = "here""#, "region = \"here\"\ncalendar = \"offic\"", "lines.main.calendar", "[calendars.offic]"),
        (
            r#"region = "here""#,
            "region = \"here\"\nhours = [\"Mon 08:00-12:00\"]\nholidays = [\"08:00-12:00\", \"11:00-13:00\"]",
            "lines.main.holidays",
            "ended",
        ),
        (r#"region = "here""#, "region = \"here\"\nholidays = \"never\"", "lines.main.holidays", "\"sunday\""),
        (
            r#"region = "here""#,
            "region = \"here\"\nexceptions = [{ date = \"2026-13-01\", closed = true }]",
            "lines.main.exceptions[0].date",
            "2026-12-24",
        ),
        (
            r#"region = "here""#,
            "region = \"here\"\nexceptions = [{ date = 2026-12-24, hours = [\"08:00-12:00\", \"11:00-14:00\"] }]",
            "lines.main.exceptions[0].hours[1]",
            "ended",
        ),
        (
            r#"region = "here""#,
            "region = \"here\"\nexceptions = [{ from = \"2026-12-20\", to = \"2026-12-26\", closed = true }, { date = \"2026-12-24\", closed = true }]",
            "lines.main.exceptions[1]",
            "once",
        ),
        (
            r#"region = "here""#,
            "region = \"here\"\nexceptions = [{ date = \"2026-12-24\" }]",
            "lines.main.exceptions[0]",
            "closed = true",
        ),
    ];
    table.iter().for_each(told);
}

#[test]
fn each_fault_of_where_a_line_leads_is_told() {
    let table = [
        (
            r#"region = "here""#,
            "region = \"here\"\noverflow_to = { line = \"mian\" }",
            "lines.main.overflow_to.line",
            "`main`",
        ),
        (
            r#"region = "here""#,
            "region = \"here\"\noverflow_to = { line = \"main\" }",
            "lines.main.overflow_to.line",
            "circle",
        ),
        (
            r#"region = "here""#,
            "region = \"here\"\nclosed_to = { number = \"15\" }",
            "lines.main.closed_to.number",
            "dials",
        ),
        (r#"region = "here""#, "region = \"here\"\nnobody_to = {}", "lines.main.nobody_to", "voicemail = true"),
        (
            r#"region = "here""#,
            "region = \"here\"\nnobody_to = { voicemail = true, line = \"main\" }",
            "lines.main.nobody_to",
            "one of",
        ),
        (
            r#"region = "here""#,
            "region = \"here\"\nnobody_to = { lin = \"main\" }",
            "lines.main.nobody_to.lin",
            "`line`",
        ),
    ];
    table.iter().for_each(told);
}

const LIST: &str = "[lists.l]\nkind = \"blocked\"\n";

#[test]
fn each_fault_of_a_list_is_told() {
    let own = |text: &str| format!("[lists.l]\n{text}\n[associations.sos]");
    let table = [
        (own("numbers = []"), "lists.l.kind", "\"blocked\""),
        (own("kind = \"black\""), "lists.l.kind", "\"blocked\""),
        (own("kind = \"priority\""), "lists.l", "priority = 2"),
        (own("kind = \"priority\"\npriority = 2\nregion = \"ther\""), "lists.l.region", "`there`"),
        (own("kind = \"priority\"\nskills = { regulatoin = 5 }"), "lists.l.skills.regulatoin", "`regulation`"),
        (own("kind = \"test\"\npriority = 2"), "lists.l.priority", "kind = \"priority\""),
        (own("kind = \"test\"\nnumbers = [\"0233\"]"), "lists.l.numbers[0]", "+3323300*"),
        (own("kind = \"test\"\nlines = [\"mian\"]"), "lists.l.lines[0]", "`main`"),
        (own("kind = \"blocked\"\nreason = \"x\"\nnumbers = [\"anonymous\"]"), "lists.l.until", "2026-12-31"),
        (own("kind = \"blocked\"\nuntil = 2030-12-31\nnumbers = [\"anonymous\"]"), "lists.l.reason", "write why"),
    ];
    for (text, key, remedy) in &table {
        let text = changed("[associations.sos]", text);
        let faults = read(&text).expect_err(key);
        let found = faults.errors.iter().find(|fault| fault.key == *key);
        let found = found.unwrap_or_else(|| panic!("no fault at {key}, but\n{faults}"));
        assert!(found.remedy.contains(remedy), "{found}");
    }
    let good = changed("[associations.sos]", &format!("{LIST}[associations.sos]"));
    read(&good).unwrap_or_else(|faults| panic!("a list that is filled through the API: {faults}"));
}

#[test]
fn a_list_and_a_calendar_are_read_as_they_are_written() {
    let text = "[lists.l]\nkind = \"blocked\"\nnumbers = [\"+3323300*\"]\nreason = \"why\"\nuntil = \"2030-06-30\"\n\
                [calendars.office]\nhours = [\"Mon-Fri 08:00-12:00\"]\nholidays = [\"10:00-11:00\"]\n\
                exceptions = [{ from = 2030-05-01, to = 2030-05-03, closed = true }]\n[associations.sos]";
    let text = changed("[associations.sos]", text);
    let text = text.replacen("region = \"here\"", "region = \"here\"\ncalendar = \"office\"", 1);
    let settings = read(&text).unwrap_or_else(|faults| panic!("{faults}"));
    let list = settings.centre.lists.values().next().expect("a list");
    // The end of 30 June in Paris.
    assert_eq!(list.until.map(|until| until.rfc3339()).as_deref(), Some("2030-06-30T22:00:00.000Z"));
    assert_eq!(list.numbers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["+3323300*"]);
    let hours = settings.centre.lines.values().find_map(|line| line.hours.clone()).expect("a calendar");
    let on = |month, day| hours.hours_on(jiff::civil::date(2030, month, day)).len();
    // Thursday 2 May is an exception, Wednesday 8 May a holiday, Saturday 4 May no day of the week.
    assert_eq!([on(5, 2), on(5, 4), on(5, 6), on(5, 8)], [0, 0, 1, 1]);
}
