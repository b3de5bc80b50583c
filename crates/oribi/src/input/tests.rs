//! Files of every kind, whole and damaged.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;

fn spec(shape: &[usize]) -> InputSpec {
    InputSpec { name: "image".to_owned(), shape: shape.to_vec(), pixels: Pixels::default(), range: None }
}

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/input/fixtures").join(name);
    path.to_str().unwrap().to_owned()
}

fn write(dir: &TempDir, name: &str, bytes: &[u8]) -> String {
    let path: PathBuf = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

fn read(argument: &str, specs: &[InputSpec]) -> Result<Vec<Example>, InputError> {
    open(argument, specs)?.collect()
}

fn refusal(argument: &str, specs: &[InputSpec]) -> String {
    let text = read(argument, specs).unwrap_err().to_string();
    assert!(text.lines().count() <= 3, "{text}");
    text
}

/// A PNG of these pixels.
fn png(width: u32, height: u32, color: png::ColorType, pixels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.write_header().unwrap().write_image_data(pixels).unwrap();
    bytes
}

/// A grey PNG, 4 wide and 3 high, of the pixels 0, 10, 20...
fn ramp() -> Vec<u8> {
    png(4, 3, png::ColorType::Grayscale, &std::array::from_fn::<u8, 12, _>(|index| 10 * index as u8))
}

/// `k / 8 + add` for k from 0 to 11: what the fixtures hold.
fn eighths(add: f32) -> Vec<f32> {
    (0..12u8).map(|k| f32::from(k) / 8.0 + add).collect()
}

#[test]
fn arrays_as_numpy_writes_them() {
    let one = [spec(&[1, 1, 3, 4])];
    assert_eq!(read(&fixture("half.npy"), &one).unwrap()[0].tensors, [eighths(0.0)]);
    assert_eq!(read(&fixture("one.npz"), &one).unwrap()[0].tensors, [eighths(0.0)]);
    assert_eq!(read(&fixture("two.npz"), &one).unwrap()[0].tensors, [eighths(0.0)]);
    let extra = InputSpec { name: "extra".to_owned(), ..spec(&[1, 1, 3, 4]) };
    let both = read(&fixture("two.npz"), &[extra, spec(&[1, 1, 3, 4])]).unwrap();
    assert_eq!(both[0].tensors, [eighths(1.0), eighths(0.0)]);
}

#[test]
fn many_inputs_along_a_leading_axis() {
    let one = [spec(&[1, 1, 3, 4])];
    let all = read(&fixture("batch.npy"), &one).unwrap();
    assert_eq!(all.len(), 3);
    assert!(all[2].name.ends_with("batch.npy#2"));
    assert_eq!(all[2].tensors[0][0], 2.0);
    let third = read(&format!("{}#2", fixture("batch.npy")), &one).unwrap();
    assert_eq!(third, all[2..]);
    let text = refusal(&format!("{}#3", fixture("batch.npy")), &one);
    assert!(text.contains("no input #3") && text.contains("#0 to #2"), "{text}");
}

#[test]
fn arrays_that_are_refused() {
    let one = [spec(&[1, 1, 3, 4])];
    assert!(refusal(&fixture("fortran.npy"), &one).contains("ascontiguousarray"));
    assert!(refusal(&fixture("pickled.npy"), &one).contains("pickled"));
    let text = refusal(&fixture("half.npy"), &[spec(&[1, 1, 4, 4])]);
    assert!(text.contains("1x3x4") && text.contains("1x1x4x4"), "{text}");
    let text = refusal(&fixture("two.npz"), &[InputSpec { name: "x".to_owned(), ..spec(&[1, 1, 3, 4]) }]);
    assert!(text.contains("\"image\"") && text.contains("\"extra\""), "{text}");
    assert!(text.contains("1x") && text.contains("3x4"), "shapes are listed: {text}");
    let text = super::labels(&fixture("two.npz")).unwrap_err().to_string();
    assert!(text.contains("no array \"labels\""), "{text}");
    let text = refusal(&fixture("half.npy"), &[spec(&[1, 1, 3, 4]), spec(&[1, 1, 3, 4])]);
    assert!(text.contains(".npz"), "{text}");
}

#[test]
fn every_truncation_is_an_error() {
    let dir = TempDir::new().unwrap();
    let one = [spec(&[1, 1, 3, 4])];
    for name in ["half.npy", "batch.npy", "one.npz", "two.npz", "palette.png", "colour.jpg", "grey.jpg"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        // The last bytes of a JPEG end a block whose pixels are already known.
        let end = if name.ends_with(".jpg") { whole.len() - 10 } else { whole.len() };
        for length in 0..end {
            let path = write(&dir, "cut", &whole[..length]);
            assert!(read(&path, &one).is_err(), "{name} cut to {length} of {} bytes", whole.len());
        }
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let dir = TempDir::new().unwrap();
    let one = [spec(&[1, 1, 3, 4])];
    let mut files = vec![ramp()];
    for name in ["half.npy", "one.npz", "two.npz", "colour.jpg", "progressive.jpg", "palette.png"] {
        files.push(std::fs::read(fixture(name)).unwrap());
    }
    for whole in files {
        for index in 0..whole.len() {
            for flip in [0xff, 0x01, 0x80] {
                let mut bytes = whole.clone();
                bytes[index] ^= flip;
                // Some flips leave a usable file; only the absence of a panic is asked here.
                let _ = read(&write(&dir, "flip", &bytes), &one);
            }
        }
    }
}

#[test]
fn numbers_that_are_not_finite() {
    let dir = TempDir::new().unwrap();
    let mut bytes = std::fs::read(fixture("half.npy")).unwrap();
    let end = bytes.len();
    bytes[end - 4..end - 2].copy_from_slice(&0x7e00u16.to_le_bytes());
    let text = refusal(&write(&dir, "nan.npy", &bytes), &[spec(&[1, 1, 3, 4])]);
    assert!(text.contains("nan.npy") && text.contains("index 10") && text.contains("NaN"), "{text}");
}

#[test]
fn pictures() {
    let dir = TempDir::new().unwrap();
    let ramp = write(&dir, "ramp.png", &ramp());
    let example = read(&ramp, &[spec(&[1, 1, 3, 4])]).unwrap().remove(0);
    assert_eq!(example.name, ramp);
    assert_eq!(from_png(&ramp, &self::ramp(), &spec(&[1, 1, 3, 4])).unwrap(), example);
    assert!(from_png("x", &self::ramp()[..60], &spec(&[1, 1, 3, 4])).is_err());
    let expected: Vec<f32> = (0..12u8).map(|index| f32::from(10 * index) * (1.0 / 255.0)).collect();
    assert_eq!(example.tensors, [expected]);
    let text = refusal(&ramp, &[spec(&[1, 1, 28, 28])]);
    assert!(text.contains("4 x 3") && text.contains("28 x 28"), "{text}");
    assert!(refusal(&ramp, &[spec(&[1, 617])]).contains("1x617"));
    let square = write(&dir, "square.png", &png(6, 6, png::ColorType::Grayscale, &[255; 36]));
    assert_eq!(read(&square, &[spec(&[1, 36])]).unwrap()[0].tensors, [[1.0; 36]]);
}

#[test]
fn pictures_as_others_write_them() {
    let plain = |shape: &[usize]| InputSpec { pixels: raw(false, &[0.0]), ..spec(shape) };
    let grey = |name| read(&fixture(name), &[plain(&[1, 1, 3, 4])]).unwrap().remove(0).tensors.remove(0);
    let colour = |name| read(&fixture(name), &[plain(&[1, 3, 4, 3])]);
    assert!(colour("colour.jpg").is_err());
    let near = |values: &[f32], wanted: f32| values.iter().all(|value| (value - wanted).abs() < 4.0);
    assert!(near(&grey("grey.jpg"), 200.0));
    assert!(near(&grey("colour.jpg"), 103.0), "{:?}", grey("colour.jpg"));
    for name in ["colour.jpg", "progressive.jpg"] {
        let values = read(&fixture(name), &[plain(&[1, 3, 3, 4])]).unwrap().remove(0).tensors.remove(0);
        assert!(
            near(&values[..12], 220.0) && near(&values[12..24], 60.0) && near(&values[24..], 20.0),
            "{values:?}"
        );
    }
    let values = read(&fixture("grey.jpg"), &[plain(&[1, 3, 3, 4])]).unwrap().remove(0).tensors.remove(0);
    assert!(values.len() == 36 && near(&values, 200.0), "{values:?}");
    assert_eq!(grey("bits.png")[..4], [0.0, 255.0, 0.0, 255.0]);
    assert_eq!(grey("grey16.png")[..3], [0.0, 19.0, 39.0]);
    let values = read(&fixture("palette.png"), &[plain(&[1, 3, 3, 4])]).unwrap().remove(0).tensors.remove(0);
    // Pillow's web palette has steps of 51.
    assert!(values[..12].iter().all(|value| [204.0, 255.0].contains(value)), "{values:?}");
    assert!(values[24..].iter().all(|value| [0.0, 51.0].contains(value)), "{values:?}");
}

fn raw(bgr: bool, offset: &[f32]) -> Pixels {
    Pixels { scale: vec![1.0], offset: offset.to_vec(), bgr }
}

#[test]
fn colour_layout_and_scaling() {
    let dir = TempDir::new().unwrap();
    let pixels = [0, 10, 20, 1, 10, 20, 0, 11, 20, 1, 11, 20];
    let path = write(&dir, "colour.png", &png(2, 2, png::ColorType::Rgb, &pixels));
    let planes = InputSpec { pixels: raw(false, &[0.0]), ..spec(&[1, 3, 2, 2]) };
    let expected = vec![0., 1., 0., 1., 10., 10., 11., 11., 20., 20., 20., 20.];
    assert_eq!(read(&path, &[planes]).unwrap()[0].tensors[0], expected);
    let interleaved = InputSpec { pixels: raw(true, &[-1.0, -2.0, -3.0]), ..spec(&[1, 2, 2, 3]) };
    let expected = vec![19., 8., -3., 19., 8., -2., 19., 9., -3., 19., 9., -2.];
    assert_eq!(read(&path, &[interleaved]).unwrap()[0].tensors[0], expected);
    let colour = InputSpec { pixels: raw(false, &[0.0]), ..spec(&[1, 3, 3, 4]) };
    let grey = png(4, 3, png::ColorType::Grayscale, &[9; 12]);
    assert_eq!(read(&write(&dir, "grey.png", &grey), &[colour]).unwrap()[0].tensors[0], [9.0; 36]);
}

#[test]
fn transparency_is_refused_unless_opaque() {
    let dir = TempDir::new().unwrap();
    let of = |alpha| png(4, 3, png::ColorType::Rgba, &[1, 1, 1, alpha].repeat(12));
    assert!(read(&write(&dir, "opaque.png", &of(255)), &[spec(&[1, 1, 3, 4])]).is_ok());
    assert!(refusal(&write(&dir, "ghost.png", &of(254)), &[spec(&[1, 1, 3, 4])]).contains("transparent"));
}

#[test]
fn a_picture_that_claims_to_be_huge_is_refused_by_its_header() {
    let dir = TempDir::new().unwrap();
    let huge = png(60_000, 4, png::ColorType::Grayscale, &vec![0; 240_000]);
    let text = refusal(&write(&dir, "bomb.png", &huge), &[spec(&[1, 1, 3, 4])]);
    assert!(text.contains("bomb.png") && text.contains("60000 x 4"), "{text}");
}

fn idx(axes: &[u32], pixels: usize) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, axes.len() as u8];
    axes.iter().for_each(|axis| bytes.extend(axis.to_be_bytes()));
    bytes.extend((0..pixels).map(|index| index as u8));
    bytes
}

#[test]
fn idx_files() {
    let dir = TempDir::new().unwrap();
    let raw = InputSpec {
        pixels: Pixels { scale: vec![2.0], offset: vec![1.0], bgr: false },
        ..spec(&[1, 1, 3, 4])
    };
    let bytes = idx(&[5, 3, 4], 60);
    let path = write(&dir, "digits", &bytes);
    let all = read(&path, std::slice::from_ref(&raw)).unwrap();
    assert_eq!(all.len(), 5);
    assert_eq!(all[1].tensors[0][..2], [25.0, 27.0]);
    assert_eq!(read(&format!("{path}#4"), std::slice::from_ref(&raw)).unwrap(), all[4..]);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut packed, &bytes).unwrap();
    let packed = write(&dir, "digits.gz", &packed.finish().unwrap());
    let tensors = |list: &[Example]| list.iter().map(|example| example.tensors.clone()).collect::<Vec<_>>();
    assert_eq!(tensors(&read(&packed, std::slice::from_ref(&raw)).unwrap()), tensors(&all));
    assert_eq!(read(&path, &[spec(&[1, 12])]).unwrap().len(), 5);
    for (bytes, word) in [
        (idx(&[5, 3, 4], 59), "short"),
        (idx(&[u32::MAX, 3, 4], 60), "short"),
        (idx(&[u32::MAX; 8], 60), "short"),
        (idx(&[5], 5), "labels"),
        (idx(&[5, 4, 4], 80), "4x4"),
        (idx(&[0, 3, 4], 0), "no inputs"),
        (vec![0, 0, 0x0d, 3, 0, 0, 0, 1], "0x0d"),
        (vec![0, 0, 8, 3, 0, 0], "truncated"),
    ] {
        let text = refusal(&write(&dir, "bad", &bytes), std::slice::from_ref(&raw));
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn json_files() {
    let dir = TempDir::new().unwrap();
    let specs = [spec(&[1, 2, 2])];
    let values = |text: &str| read(&write(&dir, "in.json", text.as_bytes()), &specs);
    assert_eq!(values("[[[1, -2.5], [3e0, 4]]]").unwrap()[0].tensors[0], [1.0, -2.5, 3.0, 4.0]);
    assert_eq!(
        values("{\"other\": 3, \"image\": [[1, 2], [3, 4]]}").unwrap()[0].tensors[0],
        [1., 2., 3., 4.]
    );
    assert_eq!(values("[[[1,2],[3,4]],[[5,6],[7,8]]]").unwrap()[1].tensors[0], [5., 6., 7., 8.]);
    for (text, word) in [
        ("[[1, 2], [3]]", "shorter"),
        ("[[1, 2], [3, 4, 5]]", "longer"),
        ("[[1, 2], 3]", "wanted"),
        ("[1, [2]]", "wanted"),
        ("[[1, 2], [3, \"x\"]]", "line 1"),
        ("[[1, 2], [3, 1e39]]", "finite"),
        ("[[1, 2], [3, 1e999]]", "line 1"),
        ("[[1, 2], [3, null]]", "line 1"),
        ("[[1, 2], [3, 4]", "line 1"),
        ("[[1, 2], [3, 4]] x", "line 1"),
        ("[1, 2, 3]", "shape 3"),
        ("{\"other\": [1]}", "image"),
        ("[]", "shape 0"),
    ] {
        let error = values(text).unwrap_err().to_string();
        assert!(error.contains(word), "{text}: {error}");
    }
    assert!(values(&"[".repeat(40)).is_err());
    let long = format!("[{}1]", "1,".repeat(5000));
    assert!(values(&long).is_err());
}

#[test]
fn files_that_are_no_input() {
    let dir = TempDir::new().unwrap();
    let one = [spec(&[1, 1, 3, 4])];
    assert!(refusal(&write(&dir, "empty", b""), &one).contains("empty"));
    assert!(refusal(&write(&dir, "text.txt", b"hello"), &one).contains("PNG, JPEG"));
    assert!(refusal("/no/such/file.png", &one).contains("no such file"));
    assert!(refusal(dir.path().to_str().unwrap(), &one).contains("is not a file"));
    let named = write(&dir, "odd#1", &idx(&[1, 3, 4], 12));
    assert_eq!(read(&named, &one).unwrap().len(), 1);
}

#[test]
fn a_small_zip_that_unpacks_to_gigabytes_is_refused() {
    let dir = TempDir::new().unwrap();
    let mut bytes = std::fs::read(fixture("one.npz")).unwrap();
    // The central directory's entry: its uncompressed size is at offset 24.
    let central = bytes.windows(4).rposition(|window| window == b"PK\x01\x02").unwrap();
    bytes[central + 24..central + 28].copy_from_slice(&0xf000_0000u32.to_le_bytes());
    let text = refusal(&write(&dir, "bomb.npz", &bytes), &[spec(&[1, 1, 3, 4])]);
    assert!(text.contains("unpacks to"), "{text}");
}
