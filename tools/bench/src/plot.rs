//! Bars on a logarithmic axis, as SVG. Enough for a report, and no dependency.
//!
//! **Invariants**
//! - The axis begins at a power of ten below the smallest value and says its numbers; each bar says its own.

use crate::report::number;
use std::fmt::Write;

const BAR: f64 = 22.0;
const GAP: f64 = 14.0;
const STEP: f64 = BAR * 2.0 + GAP;
const LEFT: f64 = 130.0;
const TOP: f64 = 64.0;
const WIDTH: f64 = 640.0;
const RIGHT: f64 = 90.0;
const COLOURS: [&str; 2] = ["#1b6ca8", "#c26a1b"];

/// A group of bars side by side.
pub(crate) struct Group {
    pub(crate) label: String,
    /// A value for each series, where there is one.
    pub(crate) values: [Option<f64>; 2],
}

/// A picture of bars.
pub(crate) fn bars(title: &str, unit: &str, series: [&str; 2], groups: &[Group]) -> String {
    let axis = Axis::of(groups);
    let (width, height) = (LEFT + WIDTH + RIGHT, TOP + groups.len() as f64 * STEP + 40.0);
    let mut svg = Svg(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    ));
    svg.text(12.0, 22.0, "font-size=\"15\"", title);
    for (n, name) in series.iter().enumerate() {
        let at = LEFT + n as f64 * 220.0;
        svg.rect([at, 34.0, 12.0, 12.0], COLOURS[n]);
        svg.text(at + 18.0, 44.0, "", name);
    }
    for power in axis.low..=axis.high {
        let (at, bottom) = (axis.at(10f64.powi(power)), height - 30.0);
        svg.put(format_args!("<line x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{bottom}\" stroke=\"#dddddd\"/>"));
        svg.text(at, bottom + 16.0, "text-anchor=\"middle\" fill=\"#666666\"", &power_of_ten(power));
    }
    svg.text(12.0, height - 14.0, "fill=\"#666666\"", unit);
    for (n, group) in groups.iter().enumerate() {
        svg.group(TOP + n as f64 * STEP + GAP / 2.0, group, &axis);
    }
    svg.0.push_str("</svg>\n");
    svg.0
}

/// The axis, in powers of ten.
struct Axis {
    low: i32,
    high: i32,
}

impl Axis {
    fn of(groups: &[Group]) -> Axis {
        let values = groups.iter().flat_map(|g| g.values).flatten().filter(|v| *v > 0.0);
        let (least, most) = values.fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
        if least > most {
            return Axis { low: 0, high: 1 };
        }
        let low = least.log10().floor() as i32;
        Axis { low, high: (most.log10().ceil() as i32).max(low + 1) }
    }

    fn at(&self, value: f64) -> f64 {
        LEFT + (value.log10() - f64::from(self.low)) / f64::from(self.high - self.low) * WIDTH
    }
}

/// The text of a picture.
struct Svg(String);

impl Svg {
    fn put(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("writing into a String does not fail");
    }

    fn text(&mut self, x: f64, y: f64, how: &str, text: &str) {
        self.put(format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" {how}>{}</text>", escape(text)));
    }

    fn rect(&mut self, [x, y, width, height]: [f64; 4], colour: &str) {
        let at = format_args!("x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"");
        self.put(format_args!("<rect {at} fill=\"{colour}\"/>"));
    }

    /// A label and its bars, from here on downwards.
    fn group(&mut self, top: f64, group: &Group, axis: &Axis) {
        self.text(LEFT - 8.0, top + BAR + 4.0, "text-anchor=\"end\"", &group.label);
        for (at, (value, colour)) in group.values.iter().zip(COLOURS).enumerate() {
            let y = top + at as f64 * BAR;
            match value {
                Some(value) if *value > 0.0 => {
                    let long = (axis.at(*value) - LEFT).max(1.0);
                    self.rect([LEFT, y, long, BAR - 2.0], colour);
                    self.text(LEFT + long + 5.0, y + BAR - 7.0, "", &number(*value));
                }
                _ => self.text(LEFT + 5.0, y + BAR - 7.0, "fill=\"#999999\"", "missing"),
            }
        }
    }
}

fn power_of_ten(power: i32) -> String {
    match power {
        0..=6 => format!("{}", 10_i64.pow(power as u32)),
        -3..=-1 => format!("{}", 10f64.powi(power)),
        _ => format!("1e{power}"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_of_a_hundred_times_the_value_is_two_powers_longer() {
        let group = |label: &str, a, b| Group { label: label.into(), values: [a, b] };
        let groups = [group("get & list", Some(10_000.0), Some(100.0)), group("create", Some(10.0), None)];
        let svg = bars("Title <1>", "1/s", ["ours", "peer"], &groups);
        let widths: Vec<f64> = svg
            .lines()
            .filter(|l| l.starts_with("<rect x=\"130.0\" y=\"") && !l.contains("height=\"12.0\""))
            .map(|l| {
                l.split("width=\"")
                    .nth(1)
                    .and_then(|r| r.split('"').next())
                    .expect("has a width")
                    .parse()
                    .expect("a number")
            })
            .collect();
        assert_eq!(widths, [WIDTH, WIDTH / 3.0, 1.0].map(|w| (w * 10.0).round() / 10.0));
        assert!(svg.contains("missing") && svg.contains("get &amp; list") && svg.contains("Title &lt;1&gt;"));
    }
}
