//! Bars on a logarithmic axis, as SVG. Enough for a report, and no dependency.
//!
//! **Invariants**
//! - The axis begins at a power of ten below the smallest value and says its numbers; each bar says its own.

use crate::report::number;
use std::fmt::Write;

const BAR: f64 = 22.0;
const GAP: f64 = 14.0;
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
    let values = || groups.iter().flat_map(|g| g.values).flatten().filter(|v| *v > 0.0);
    let (least, most) = values().fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
    let (low, high) = if least > most { (0.0, 1.0) } else { (least.log10().floor(), most.log10().ceil()) };
    let high = if high <= low { low + 1.0 } else { high };
    let x = |v: f64| LEFT + (v.log10() - low) / (high - low) * WIDTH;
    let step = BAR * 2.0 + GAP;
    let height = TOP + groups.len() as f64 * step + 40.0;
    let width = LEFT + WIDTH + RIGHT;
    let mut svg = String::new();
    let mut put = |line: std::fmt::Arguments<'_>| svg.write_fmt(line).expect("writing into a String does not fail");
    put(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    ));
    put(format_args!("<text x=\"12\" y=\"22\" font-size=\"15\">{}</text>\n", escape(title)));
    for (n, name) in series.iter().enumerate() {
        let (at, colour) = (LEFT + n as f64 * 220.0, COLOURS[n]);
        put(format_args!(
            "<rect x=\"{at}\" y=\"34\" width=\"12\" height=\"12\" fill=\"{colour}\"/><text x=\"{}\" y=\"44\">{}</text>\n",
            at + 18.0,
            escape(name)
        ));
    }
    for power in low as i32..=high as i32 {
        let (at, bottom) = (x(10f64.powi(power)), height - 30.0);
        put(format_args!(
            "<line x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{bottom}\" stroke=\"#dddddd\"/><text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#666666\">{}</text>\n",
            bottom + 16.0,
            axis(power)
        ));
    }
    put(format_args!("<text x=\"12\" y=\"{}\" fill=\"#666666\">{}</text>\n", height - 14.0, escape(unit)));
    for (n, group) in groups.iter().enumerate() {
        let top = TOP + n as f64 * step + GAP / 2.0;
        put(format_args!(
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
            LEFT - 8.0,
            top + BAR + 4.0,
            escape(&group.label)
        ));
        for (at, (value, colour)) in group.values.iter().zip(COLOURS).enumerate() {
            let y = top + at as f64 * BAR;
            match value {
                Some(value) if *value > 0.0 => put(format_args!(
                    "<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{}\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
                    (x(*value) - LEFT).max(1.0),
                    BAR - 2.0,
                    x(*value).max(LEFT) + 5.0,
                    y + BAR - 7.0,
                    number(*value)
                )),
                _ => put(format_args!(
                    "<text x=\"{}\" y=\"{:.1}\" fill=\"#999999\">missing</text>\n",
                    LEFT + 5.0,
                    y + BAR - 7.0
                )),
            }
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn axis(power: i32) -> String {
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
            .filter(|l| l.starts_with("<rect x=\"130\" y=\"") && !l.contains("height=\"12\""))
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
