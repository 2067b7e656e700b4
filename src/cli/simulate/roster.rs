//! Who is on duty when: the shifts of a profile, filled with people of each association.

use std::time::Duration;

use super::profile::Profile;
use super::scenario::Duty;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const HOUR_S: f64 = 3600.0;
/// Nobody comes again sooner after a shift, unless nobody else is there.
const REST: Duration = Duration::from_secs(9 * 3600);

/// The days of the week that `text` names, Monday being 0: `Mon-Fri`, `Sat,Sun`.
pub fn parse_days(text: &str) -> Option<Vec<usize>> {
    let number = |name: &str| DAYS.iter().position(|day| *day == name.trim());
    let mut days = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        days.extend((0..(last + 7 - first) % 7 + 1).map(|step| (first + step) % 7));
    }
    Some(days)
}

/// How many people each association has of `people` in all, at least one each while they last.
pub fn split_people(profile: &Profile, people: usize) -> Vec<usize> {
    let shares: Vec<f64> = profile.associations.iter().map(|one| *one.share.get_ref()).collect();
    let mut counts = vec![0; shares.len()];
    for _ in 0..people {
        let most_owed = owed(&shares, &counts);
        if let Some(count) = most_owed.and_then(|index| counts.get_mut(index)) {
            *count += 1;
        }
    }
    counts
}

/// Who is the farthest below its share (the method of Sainte-Laguë, which favours neither large nor small).
fn owed(shares: &[f64], counts: &[usize]) -> Option<usize> {
    let claims = shares.iter().zip(counts).map(|(share, count)| share / (*count as f64 + 0.5));
    claims.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(index, _)| index)
}

/// A place in the roster that somebody must fill.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Slot {
    from: Duration,
    to: Duration,
}

/// Fills the shifts of `days` days from a Monday on with `people`, each place with whoever has rested and worked least.
///
/// It is one roster for the whole centre: nobody looks at whose people come together. The shifts are written for
/// `staff.people`; with more or fewer people, as many places more or fewer are filled.
pub fn fill(profile: &Profile, people: usize, days: usize) -> Vec<Duty> {
    let mut until: Vec<Option<Duration>> = vec![None; people];
    let mut worked = vec![Duration::ZERO; people];
    let mut duties: Vec<Duty> = Vec::new();
    for slot in slots(profile, people, days) {
        let rested = |person: &usize| match until.get(*person).copied().flatten() {
            Some(until) => until + REST <= slot.from,
            None => true,
        };
        let home = |person: &usize| match until.get(*person).copied().flatten() {
            Some(until) => until <= slot.from,
            None => true,
        };
        let least = |person: &usize| (worked.get(*person).copied(), shuffled(*person));
        let latest = |person: &usize| (until.get(*person).copied(), shuffled(*person));
        let rested = (0..people).filter(rested).min_by_key(least);
        let Some(person) = rested.or_else(|| (0..people).filter(home).min_by_key(latest)) else { continue };
        if let (Some(until), Some(worked)) = (until.get_mut(person), worked.get_mut(person)) {
            *until = Some(slot.to);
            *worked += slot.to.saturating_sub(slot.from);
        }
        duties.push(Duty { person, from: slot.from, to: slot.to });
    }
    duties
}

/// An order of people that has nothing to do with their associations (Fibonacci hashing).
fn shuffled(person: usize) -> u64 {
    (person as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17)
}

fn slots(profile: &Profile, people: usize, days: usize) -> Vec<Slot> {
    let written_for = *profile.staff.people.get_ref() as usize;
    let mut all = Vec::new();
    for day in 0..days {
        for shift in &profile.staff.shifts {
            let is_today = parse_days(shift.days.get_ref()).is_some_and(|on| on.contains(&(day % 7)));
            if !is_today {
                continue;
            }
            let (from, to) = (*shift.from.get_ref(), *shift.to.get_ref());
            let to = if to <= from { to + 24.0 } else { to };
            let at = |hour: f64| Duration::from_secs_f64(day as f64 * 24.0 * HOUR_S + hour * HOUR_S);
            all.extend(std::iter::repeat_n(Slot { from: at(from), to: at(to) }, *shift.people.get_ref() as usize));
            // The night before the first day is on duty too.
            if day == 0 && to > 24.0 {
                let slot = Slot { from: Duration::ZERO, to: at(to - 24.0) };
                all.extend(std::iter::repeat_n(slot, *shift.people.get_ref() as usize));
            }
        }
    }
    all.sort_by_key(|slot| (slot.from, slot.to));
    // As many of them as there are people for, evenly spread over the week.
    let mut kept = Vec::new();
    for (place, slot) in all.into_iter().enumerate() {
        let times = (place + 1) * people / written_for.max(1) - place * people / written_for.max(1);
        kept.extend(std::iter::repeat_n(slot, times));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_around_the_weekend_and_nothing_else_is_taken() {
        assert_eq!(parse_days("Fri-Mon"), Some(vec![4, 5, 6, 0]));
        assert_eq!(parse_days("Sat,Sun"), Some(vec![5, 6]));
        assert_eq!((parse_days("Lun"), parse_days(""), parse_days("Mon-")), (None, None, None));
    }
}
