//! What the program carries within itself: the demo's networks and ten digits.

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

/// A network within the program, with its side file.
pub struct Network {
    /// The name that stands for it wherever a model file is wanted.
    pub path: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The ONNX file.
    pub onnx: &'static [u8],
    /// The side file.
    pub side_file: &'static str,
}

/// The demo's network, with a ReLU: `models/digits.onnx`.
pub const MODEL: &str = "builtin:digits";
/// LoLa's network for MNIST, with squares: `models/cryptonets.onnx`.
pub const SQUARES: &str = "builtin:cryptonets";

/// The demo's network for ciphertexts, LoLa-Small with a square: `models/lola_small.onnx`.
pub const SMALL: &str = "builtin:lola-small";

/// All of them.
pub const NETWORKS: [Network; 3] = [
    Network {
        path: MODEL,
        name: "digits",
        onnx: include_bytes!("../../../models/digits.onnx"),
        side_file: include_str!("../../../models/digits.oribi.toml"),
    },
    Network {
        path: SQUARES,
        name: "cryptonets",
        onnx: include_bytes!("../../../models/cryptonets.onnx"),
        side_file: include_str!("../../../models/cryptonets.oribi.toml"),
    },
    Network {
        path: SMALL,
        name: "lola_small",
        onnx: include_bytes!("../../../models/lola_small.onnx"),
        side_file: include_str!("../../../models/lola_small.oribi.toml"),
    },
];

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
