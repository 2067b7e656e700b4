//! Retention and access: read, bounded, and refused with their place.

use super::*;

fn read(association: &str, access: &str) -> Result<Settings, Faults> {
    let folder = folder();
    let text = SMALL.replace("[associations.sos]", &format!("[associations.sos]\n{association}\n{access}"));
    Settings::from_text(&text, &folder.path().join("vigie.toml"))
}

#[test]
fn retention_is_the_floor_when_nothing_is_said_and_may_be_raised() {
    let years = |text: &str| read(text, "").expect("right").centre.associations[&"sos".into()].retention_years;
    assert_eq!((years(""), years("retention_years = 5"), years("retention_years = 20")), (5, 5, 20));
}

#[test]
fn retention_under_the_floor_is_refused_with_its_place_and_a_remedy() {
    for wrong in ["4", "0", "-1", "101", "5.0", "\"5y\""] {
        let faults = read(&format!("retention_years = {wrong}"), "").expect_err(wrong);
        let [fault] = faults.errors.as_slice() else { panic!("{faults}") };
        assert_eq!((fault.key.as_str(), fault.line), ("associations.sos.retention_years", 9), "{wrong}");
        assert!(fault.remedy.contains("from 5 to 100"), "{fault:?}");
    }
    let faults = read("retention_years = 4", "").expect_err("under the floor");
    assert!(faults.errors[0].problem.contains("20 October 2011"), "{faults}");
}

#[test]
fn what_bulk_listening_is_can_be_said_within_bounds() {
    let access = read("", "[access]\nbulk_recordings = 3\nbulk_window = \"10m\"").expect("right").access;
    assert_eq!((access.bulk_recordings, access.bulk_window), (3, Duration::from_secs(600)));
    for wrong in ["bulk_recordings = 0", "bulk_window = \"1s\"", "bulk_windo = \"10m\""] {
        let faults = read("", &format!("[access]\n{wrong}")).expect_err(wrong);
        assert!(faults.errors[0].key.starts_with("access.bulk_"), "{faults}");
    }
}
