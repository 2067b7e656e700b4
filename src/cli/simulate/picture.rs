//! The picture of a simulation: how soon calls are answered, and how it goes over the week.

use std::path::Path;

use super::Played;
use super::canvas::{Anchor, Canvas, Colour, Pair, Svg};
use super::measure::WEEK_HOURS;
use super::pixels::Pixels;

/// The waits shown, in seconds.
pub const SHOWN_S: usize = 120;
const SIZE: Pair = (960.0, 720.0);
/// One for each policy; they can be told apart in grey as well.
const COLOURS: [Colour; 6] = [
    [0x0b, 0x6e, 0x4f],
    [0xd1, 0x49, 0x5b],
    [0x30, 0x63, 0x8e],
    [0xed, 0xae, 0x49],
    [0x6d, 0x59, 0x7a],
    [0x7f, 0x7f, 0x7f],
];
const GRID: Colour = [0xdd; 3];
const CALLS: Colour = [0xe6; 3];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// What a picture's file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Lines and words, sharp at every size.
    Svg,
    /// Pixels.
    Png,
}

impl Form {
    /// By the end of the file's name; `None` when it is neither.
    pub fn of(file: &Path) -> Option<Form> {
        let end = file.extension()?.to_str()?.to_ascii_lowercase();
        match end.as_str() {
            "svg" => Some(Form::Svg),
            "png" => Some(Form::Png),
            _ => None,
        }
    }

    /// The whole picture as a file.
    pub fn draw(self, played: &Played) -> Vec<u8> {
        match self {
            Form::Svg => {
                let mut svg = Svg::new(SIZE);
                draw(&mut svg, played);
                svg.finish().into_bytes()
            }
            Form::Png => paint(played).finish(),
        }
    }
}

/// Where one diagram stands in the picture.
struct Frame {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Frame {
    /// A place in it: both from 0.0 to 1.0, upwards.
    fn at(&self, (x, y): Pair) -> Pair {
        (self.left + x * self.width, self.top + (1.0 - y) * self.height)
    }

    /// The lines of 0 % to 100 %.
    fn grid(&self, canvas: &mut dyn Canvas) {
        for tenth in (0..=10).step_by(2) {
            let (x, y) = self.at((0.0, f64::from(tenth) / 10.0));
            canvas.line(&[(x, y), (x + self.width, y)], 1.0, GRID);
            canvas.words((x - 6.0, y + 4.0), Anchor::End, false, &format!("{} %", tenth * 10));
        }
    }

    fn line(&self, canvas: &mut dyn Canvas, points: impl Iterator<Item = Pair>, colour: Colour) {
        let points: Vec<Pair> = points.map(|point| self.at(point)).collect();
        canvas.line(&points, 2.0, colour);
    }
}

/// The picture in pixels.
pub fn paint(played: &Played) -> Pixels {
    let mut pixels = Pixels::new(SIZE);
    draw(&mut pixels, played);
    pixels
}

fn draw(canvas: &mut dyn Canvas, played: &Played) {
    let title = format!(
        "{}: {} people, {:.1} on duty on average, {} days, {} seeds",
        played.name, played.staff, played.on_duty_mean, played.days, played.seeds
    );
    canvas.words((60.0, 28.0), Anchor::Start, true, &title);
    draw_waits(canvas, played, &Frame { left: 60.0, top: 80.0, width: 640.0, height: 250.0 });
    draw_week(canvas, played, &Frame { left: 60.0, top: 410.0, width: 860.0, height: 250.0 });
}

fn draw_waits(canvas: &mut dyn Canvas, played: &Played, frame: &Frame) {
    let head = "Calls answered within so many seconds, of all that came";
    canvas.words((60.0, 62.0), Anchor::Start, false, head);
    frame.grid(canvas);
    let place = |second: usize| second as f64 / SHOWN_S as f64;
    for second in (0..=SHOWN_S).step_by(15) {
        let (x, y) = frame.at((place(second), 0.0));
        canvas.words((x, y + 16.0), Anchor::Middle, false, &format!("{second} s"));
    }
    for (row, (outcome, colour)) in played.outcomes.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let points = outcome.by_second.iter().enumerate();
        frame.line(canvas, points.map(|(second, share)| (place(second), *share)), *colour);
        let y = frame.top + 14.0 + 20.0 * row as f64;
        canvas.bar((724.0, y - 6.0), (18.0, 4.0), *colour);
        canvas.words((750.0, y), Anchor::Start, false, outcome.policy_name());
    }
}

fn draw_week(canvas: &mut dyn Canvas, played: &Played, frame: &Frame) {
    let head = "Calls answered within 30 s, by the hour of the week; grey: calls, the busiest hour is 100 %";
    canvas.words((60.0, 392.0), Anchor::Start, false, head);
    frame.grid(canvas);
    let most = played.outcomes.first().and_then(|first| first.hours.iter().map(|hour| hour.0).max()).unwrap_or(0);
    for (hour, (calls, _)) in played.outcomes.iter().take(1).flat_map(|first| first.hours.iter().enumerate()) {
        let (x, y) = frame.at((hour as f64 / WEEK_HOURS as f64, *calls as f64 / most.max(1) as f64));
        let size = (frame.width / WEEK_HOURS as f64 * 0.8, frame.top + frame.height - y);
        canvas.bar((x, y), size, CALLS);
    }
    for (day, name) in DAYS.iter().enumerate() {
        let (x, y) = frame.at(((day as f64 + 0.5) / DAYS.len() as f64, 0.0));
        canvas.words((x, y + 16.0), Anchor::Middle, false, name);
    }
    for (outcome, colour) in played.outcomes.iter().zip(COLOURS.iter().cycle()) {
        let hours = outcome.hours.iter().enumerate().filter(|(_, (calls, _))| *calls > 0);
        let points = hours
            .map(|(hour, (calls, within))| ((hour as f64 + 0.5) / WEEK_HOURS as f64, *within as f64 / *calls as f64));
        frame.line(canvas, points, *colour);
    }
}
