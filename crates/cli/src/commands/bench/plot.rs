//! A small line plot as SVG.

use std::fmt::Write;

/// A line: its name, and its points.
pub struct Line {
    /// The name.
    pub name: &'static str,
    /// Points, from left to right.
    pub points: Vec<(f64, f64)>,
}

/// Size of the picture, and of the margins: left, right, top, bottom.
const SIZE: [f64; 2] = [640.0, 400.0];
const MARGIN: [f64; 4] = [80.0, 20.0, 40.0, 50.0];
const COLOURS: [&str; 4] = ["#1b6ca8", "#c8553d", "#5a8f29", "#7d5ba6"];

/// Draws lines over axes that begin at zero.
pub fn svg(title: &str, [across, up]: [&str; 2], lines: &[Line]) -> String {
    let all = || lines.iter().flat_map(|line| &line.points);
    let most = |value: fn(&(f64, f64)) -> f64| all().map(value).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let (right, top) = (most(|point| point.0), most(|point| point.1));
    let inner = [SIZE[0] - MARGIN[0] - MARGIN[1], SIZE[1] - MARGIN[2] - MARGIN[3]];
    let place =
        |(x, y): (f64, f64)| (MARGIN[0] + x / right * inner[0], SIZE[1] - MARGIN[3] - y / top * inner[1]);
    let mut out = String::new();
    let mut add = |text: String| {
        // Writing to a string does not fail.
        let _ = writeln!(out, "{text}");
    };
    let text = |(x, y): (f64, f64), anchor: &str, words: &str| {
        format!(r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{words}</text>"#)
    };
    add(format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" font-family="sans-serif" font-size="12">"#,
        SIZE[0], SIZE[1]
    ));
    add(r#"<rect width="100%" height="100%" fill="white"/>"#.to_owned());
    add(text((SIZE[0] / 2.0, 20.0), "middle", title));
    add(text((SIZE[0] / 2.0, SIZE[1] - 10.0), "middle", across));
    add(text((MARGIN[0], MARGIN[2] - 8.0), "middle", up));
    for step in 0..=4 {
        let part = f64::from(step) / 4.0;
        let (x, y) = (place((part * right, 0.0)), place((0.0, part * top)));
        add(text(
            (x.0, x.1 + 16.0),
            "middle",
            format!("{:.3}", part * right).trim_end_matches('0').trim_end_matches('.'),
        ));
        add(text(
            (y.0 - 6.0, y.1 + 4.0),
            "end",
            format!("{:.3}", part * top).trim_end_matches('0').trim_end_matches('.'),
        ));
        add(format!(
            r##"<line x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}" stroke="#ddd"/>"##,
            y.0,
            y.1,
            SIZE[0] - MARGIN[1],
            y.1
        ));
    }
    for (number, line) in lines.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let points: Vec<String> =
            line.points.iter().map(|point| place(*point)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        add(format!(
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>"#,
            points.join(" ")
        ));
        let (x, y) = (SIZE[0] - MARGIN[1] - 150.0, MARGIN[2] + 16.0 * (number as f64 + 1.0));
        add(format!(
            r#"<rect x="{:.1}" y="{:.1}" width="10" height="10" fill="{colour}"/>"#,
            x - 14.0,
            y - 9.0
        ));
        add(text((x, y), "start", line.name));
    }
    add("</svg>".to_owned());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_lie_within_the_picture() {
        let lines = [Line { name: "a", points: vec![(0.0, 5.0), (26.0, 1.0)] }];
        let picture = svg("t", ["x", "y"], &lines);
        assert!(picture.contains(r#"points="80.0,40.0 620.0,288.0""#), "{picture}");
        assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
    }
}
