//! Pictures in the terminal.

use std::fmt::Write;

/// Widest picture drawn, in columns; a wider one is thinned out.
const COLUMNS: usize = 56;

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// Half blocks in the 24 greys of a 256-colour terminal: two pixels a character.
    Grey256,
    /// Characters of growing darkness.
    Ascii,
}

impl Ink {
    /// For a terminal or not, by the customs of `NO_COLOR` and `TERM`.
    pub fn detect(is_terminal: bool) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if is_terminal && !dumb && !set("NO_COLOR") { Self::Grey256 } else { Self::Ascii }
    }
}

/// A grey picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    width: usize,
    height: usize,
    /// 0 is black, 1 is white.
    pixels: Vec<f32>,
}

impl Picture {
    /// An input tensor as a picture, if its shape is one: channels (1 or 3) first or last, after a batch axis of one.
    /// The darkest value becomes black and the brightest white; channels are averaged.
    pub fn from_tensor(shape: &[usize], values: &[f32]) -> Option<Self> {
        let (channels, height, width, last) = match *shape {
            [1, c @ (1 | 3), h, w] | [c @ (1 | 3), h, w] => (c, h, w, false),
            [1, h, w, c @ (1 | 3)] | [h, w, c @ (1 | 3)] => (c, h, w, true),
            _ => return None,
        };
        let area = height.checked_mul(width)?;
        if area == 0 || area.checked_mul(channels)? != values.len() {
            return None;
        }
        let low = values.iter().copied().fold(f32::INFINITY, f32::min);
        let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let span = if high > low { high - low } else { 1.0 };
        let at = |pixel: usize, channel: usize| {
            values[if last { pixel * channels + channel } else { channel * area + pixel }]
        };
        let grey = |pixel| (0..channels).map(|c| (at(pixel, c) - low) / span).sum::<f32>() / channels as f32;
        Some(Self { width, height, pixels: (0..area).map(grey).collect() })
    }

    /// The lines to print, all of the same visible width.
    pub fn lines(&self, ink: Ink) -> Vec<String> {
        let step = self.width.div_ceil(COLUMNS).max(1);
        let at = |x: usize, y: usize| if y < self.height { self.pixels[y * self.width + x] } else { 0.0 };
        let row = |y: usize| {
            let columns = (0..self.width).step_by(step).map(|x| (at(x, y), at(x, y + step)));
            match ink {
                Ink::Grey256 => blocks(columns),
                Ink::Ascii => columns.map(|(upper, lower)| character((upper + lower) / 2.0)).collect(),
            }
        };
        (0..self.height).step_by(2 * step).map(row).collect()
    }

    /// Visible width of the lines.
    pub fn columns(&self) -> usize {
        self.width.div_ceil(self.width.div_ceil(COLUMNS).max(1))
    }
}

/// Half blocks: the upper pixel in the foreground colour, the lower one in the background colour.
fn blocks(columns: impl Iterator<Item = (f32, f32)>) -> String {
    let shade = |grey: f32| 232 + (grey.clamp(0.0, 1.0) * 23.0).round() as u8;
    let mut line = String::new();
    for (upper, lower) in columns {
        // Writing to a string cannot fail.
        let _ = write!(line, "\x1b[38;5;{};48;5;{}m\u{2580}", shade(upper), shade(lower));
    }
    line.push_str("\x1b[0m");
    line
}

fn character(grey: f32) -> char {
    const RAMP: [char; 10] = [' ', '.', ':', '-', '=', '+', '*', '#', '%', '@'];
    RAMP[(grey.clamp(0.0, 1.0) * 9.0).round() as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gradient_in_characters_and_blocks() {
        let values: Vec<f32> = (0..40).map(|index| (index % 10) as f32 / 9.0).collect();
        let picture = Picture::from_tensor(&[1, 1, 4, 10], &values).unwrap();
        assert_eq!(picture.lines(Ink::Ascii), [" .:-=+*#%@", " .:-=+*#%@"]);
        assert_eq!(picture.columns(), 10);
        let blocks = picture.lines(Ink::Grey256);
        assert_eq!(blocks[0].matches('\u{2580}').count(), 10);
        assert!(blocks[0].contains("38;5;232;48;5;232m") && blocks[0].ends_with("\x1b[0m"));
    }

    #[test]
    fn channels_sizes_and_what_is_no_picture() {
        let last = Picture::from_tensor(&[1, 2, 1, 3], &[0., 3., 6., 0., 0., 0.]).unwrap();
        assert_eq!(last.pixels, [0.5, 0.0]);
        let wide = Picture::from_tensor(&[3, 224, 224], &vec![1.0; 3 * 224 * 224]).unwrap();
        assert_eq!(wide.lines(Ink::Ascii).len(), 28);
        assert!(wide.lines(Ink::Ascii).iter().all(|line| line.len() == wide.columns()));
        assert_eq!(Picture::from_tensor(&[1, 617], &[0.0; 617]), None);
        assert_eq!(Picture::from_tensor(&[1, 1, 2, 2], &[0.0; 3]), None);
        assert_eq!(Picture::from_tensor(&[1, 1, 0, 5], &[]), None);
    }
}
