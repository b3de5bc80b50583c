//! What the program carries within itself: the demo's network and ten digits.

use oribi::input::{Example, InputError, InputSpec, from_png};

/// A picture with its true label.
pub struct Digit {
    /// The file's name in `models/digits`.
    pub name: &'static str,
    /// Which digit it shows.
    pub label: &'static str,
    png: &'static [u8],
}

impl Digit {
    /// The picture as a model's input.
    ///
    /// # Errors
    /// If the model does not take pictures of 28 x 28 pixels.
    pub fn example(&self, spec: &InputSpec) -> Result<Example, InputError> {
        from_png(self.name, self.png, spec)
    }
}

/// The name that stands for the built-in network wherever a model file is wanted.
pub const MODEL: &str = "builtin:digits";
/// The built-in network: `models/digits.onnx`.
pub const MODEL_ONNX: &[u8] = include_bytes!("../../../models/digits.onnx");
/// Its side file.
pub const MODEL_SIDE_FILE: &str = include_str!("../../../models/digits.oribi.toml");

macro_rules! digits {
    ($($label:literal)*) => {
        [$(Digit {
            name: concat!($label, ".png"),
            label: $label,
            png: include_bytes!(concat!("../../../models/digits/", $label, ".png")),
        }),*]
    };
}

/// Ten test images of MNIST, one of each class (attribution in `models/README.md`).
pub const DIGITS: [Digit; 10] = digits!["0" "1" "2" "3" "4" "5" "6" "7" "8" "9"];
