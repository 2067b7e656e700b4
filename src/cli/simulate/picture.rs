//! The picture of a simulation, as SVG: how soon calls are answered, and how it goes over the week.

use std::fmt::Write as _;

use super::Played;
use super::measure::WEEK_HOURS;

/// The waits shown, in seconds.
pub const SHOWN_S: usize = 120;
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 720.0;
/// One for each policy; they can be told apart in grey as well.
const COLOURS: [&str; 6] = ["#0b6e4f", "#d1495b", "#30638e", "#edae49", "#6d597a", "#7f7f7f"];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Where one diagram stands in the picture.
struct Frame {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Frame {
    /// A place in it: both from 0.0 to 1.0, upwards.
    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (self.left + x * self.width, self.top + (1.0 - y) * self.height)
    }

    /// The lines of 0 % to 100 %.
    fn grid(&self, text: &mut String) {
        for tenth in (0..=10).step_by(2) {
            let (x, y) = self.at(0.0, f64::from(tenth) / 10.0);
            let right = x + self.width;
            let _ = writeln!(text, r##"<path d="M{x:.1} {y:.1}H{right:.1}" stroke="#ddd"/>"##);
            let _ = writeln!(
                text,
                r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{} %</text>"#,
                x - 6.0,
                y + 4.0,
                tenth * 10
            );
        }
    }

    fn line(&self, text: &mut String, points: impl Iterator<Item = (f64, f64)>, colour: &str) {
        let mut path = String::new();
        for (place, (x, y)) in points.enumerate() {
            let (x, y) = self.at(x, y);
            let _ = write!(path, "{}{x:.1} {y:.1}", if place == 0 { "M" } else { "L" });
        }
        let _ = writeln!(text, r#"<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>"#);
    }
}

/// The whole picture.
pub fn draw(played: &Played) -> String {
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n"
    );
    let title = escape(&format!(
        "{}: {} people, {:.1} on duty on average, {} days, {} seeds",
        played.name, played.staff, played.on_duty_mean, played.days, played.seeds
    ));
    let _ = writeln!(text, r#"<text x="60" y="28" font-size="16">{title}</text>"#);
    draw_waits(&mut text, played, &Frame { left: 60.0, top: 80.0, width: 640.0, height: 250.0 });
    draw_week(&mut text, played, &Frame { left: 60.0, top: 410.0, width: 860.0, height: 250.0 });
    text.push_str("</svg>\n");
    text
}

fn draw_waits(text: &mut String, played: &Played, frame: &Frame) {
    let _ = writeln!(text, r#"<text x="60" y="62">Calls answered within so many seconds, of all that came</text>"#);
    frame.grid(text);
    for second in (0..=SHOWN_S).step_by(15) {
        let (x, y) = frame.at(second as f64 / SHOWN_S as f64, 0.0);
        let _ = writeln!(text, r#"<text x="{x:.1}" y="{:.1}" text-anchor="middle">{second} s</text>"#, y + 16.0);
    }
    for (place, (outcome, colour)) in played.outcomes.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let points = outcome.by_second.iter().enumerate();
        frame.line(text, points.map(|(second, share)| (second as f64 / SHOWN_S as f64, *share)), colour);
        let y = frame.top + 14.0 + 20.0 * place as f64;
        let name = escape(outcome.policy_name());
        let _ = writeln!(text, r#"<rect x="724" y="{:.1}" width="18" height="4" fill="{colour}"/>"#, y - 6.0);
        let _ = writeln!(text, r#"<text x="750" y="{y:.1}">{name}</text>"#);
    }
}

fn draw_week(text: &mut String, played: &Played, frame: &Frame) {
    let _ = writeln!(
        text,
        r#"<text x="60" y="392">Calls answered within 30 s, by the hour of the week; grey: calls, the busiest hour is 100 %</text>"#
    );
    frame.grid(text);
    let most = played.outcomes.first().and_then(|first| first.hours.iter().map(|hour| hour.0).max()).unwrap_or(0);
    for (hour, (calls, _)) in played.outcomes.iter().take(1).flat_map(|first| first.hours.iter().enumerate()) {
        let (x, y) = frame.at(hour as f64 / WEEK_HOURS as f64, *calls as f64 / most.max(1) as f64);
        let (width, height) = (frame.width / WEEK_HOURS as f64, frame.top + frame.height - y);
        let _ = writeln!(
            text,
            r##"<rect x="{x:.1}" y="{y:.1}" width="{:.1}" height="{height:.1}" fill="#e6e6e6"/>"##,
            width * 0.8
        );
    }
    for (day, name) in DAYS.iter().enumerate() {
        let (x, y) = frame.at((day as f64 + 0.5) / DAYS.len() as f64, 0.0);
        let _ = writeln!(text, r#"<text x="{x:.1}" y="{:.1}" text-anchor="middle">{name}</text>"#, y + 16.0);
    }
    for (outcome, colour) in played.outcomes.iter().zip(COLOURS.iter().cycle()) {
        let hours = outcome.hours.iter().enumerate().filter(|(_, (calls, _))| *calls > 0);
        let points = hours
            .map(|(hour, (calls, within))| ((hour as f64 + 0.5) / WEEK_HOURS as f64, *within as f64 / *calls as f64));
        frame.line(text, points, colour);
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
