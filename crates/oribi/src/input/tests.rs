//! Files of every kind, whole and damaged.

use std::path::{Path, PathBuf};

use image::{DynamicImage, GrayImage, ImageFormat, RgbImage, RgbaImage};
use tempfile::TempDir;

use super::*;

fn spec(shape: &[usize]) -> InputSpec {
    InputSpec { name: "image".to_owned(), shape: shape.to_vec(), pixels: Pixels::default() }
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

fn encode(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
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
    assert!(text.contains("image, extra"), "{text}");
    let text = refusal(&fixture("half.npy"), &[spec(&[1, 1, 3, 4]), spec(&[1, 1, 3, 4])]);
    assert!(text.contains(".npz"), "{text}");
}

#[test]
fn every_truncation_is_an_error() {
    let dir = TempDir::new().unwrap();
    let one = [spec(&[1, 1, 3, 4])];
    for name in ["half.npy", "batch.npy", "one.npz", "two.npz"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        for length in 0..whole.len() {
            let path = write(&dir, "cut", &whole[..length]);
            assert!(read(&path, &one).is_err(), "{name} cut to {length} of {} bytes", whole.len());
        }
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let dir = TempDir::new().unwrap();
    let one = [spec(&[1, 1, 3, 4])];
    let picture = encode(GrayImage::from_fn(4, 3, |x, y| image::Luma([(x * 4 + y) as u8])), ImageFormat::Png);
    let jpeg = encode(RgbImage::new(4, 3), ImageFormat::Jpeg);
    let mut files = vec![picture, jpeg];
    for name in ["half.npy", "one.npz", "two.npz"] {
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
    let grey = GrayImage::from_fn(4, 3, |x, y| image::Luma([(10 * x + 50 * y) as u8]));
    let png = write(&dir, "grey.png", &encode(grey.clone(), ImageFormat::Png));
    let example = read(&png, &[spec(&[1, 1, 3, 4])]).unwrap().remove(0);
    assert_eq!(example.name, png);
    let expected: Vec<f32> = grey.as_raw().iter().map(|pixel| f32::from(*pixel) * (1.0 / 255.0)).collect();
    assert_eq!(example.tensors, [expected]);
    let jpeg =
        write(&dir, "grey.jpg", &encode(GrayImage::from_pixel(4, 3, image::Luma([200])), ImageFormat::Jpeg));
    let values = &read(&jpeg, &[spec(&[1, 1, 3, 4])]).unwrap()[0].tensors[0];
    assert!(values.iter().all(|value| (value * 255.0 - 200.0).abs() < 3.0), "{values:?}");
    let text = refusal(&png, &[spec(&[1, 1, 28, 28])]);
    assert!(text.contains("4 x 3") && text.contains("28 x 28"), "{text}");
    assert!(refusal(&png, &[spec(&[1, 617])]).contains("1x617"));
}

#[test]
fn colour_layout_and_scaling() {
    let dir = TempDir::new().unwrap();
    let colour = RgbImage::from_fn(2, 2, |x, y| image::Rgb([x as u8, 10 + y as u8, 20]));
    let path = write(&dir, "colour.png", &encode(colour, ImageFormat::Png));
    let raw = |bgr, offset: &[f32]| Pixels { scale: vec![1.0], offset: offset.to_vec(), bgr };
    let planes = InputSpec { pixels: raw(false, &[0.0]), ..spec(&[1, 3, 2, 2]) };
    let expected = vec![0., 1., 0., 1., 10., 10., 11., 11., 20., 20., 20., 20.];
    assert_eq!(read(&path, &[planes]).unwrap()[0].tensors[0], expected);
    let interleaved = InputSpec { pixels: raw(true, &[-1.0, -2.0, -3.0]), ..spec(&[1, 2, 2, 3]) };
    let expected = vec![19., 8., -3., 19., 8., -2., 19., 9., -3., 19., 9., -2.];
    assert_eq!(read(&path, &[interleaved]).unwrap()[0].tensors[0], expected);
    let grey = InputSpec { pixels: raw(false, &[0.0]), ..spec(&[1, 3, 3, 4]) };
    let path = write(&dir, "g.png", &encode(GrayImage::from_pixel(4, 3, image::Luma([9])), ImageFormat::Png));
    assert_eq!(read(&path, &[grey]).unwrap()[0].tensors[0], [9.0; 36]);
}

#[test]
fn transparency_is_refused_unless_opaque() {
    let dir = TempDir::new().unwrap();
    let of = |alpha| encode(RgbaImage::from_pixel(4, 3, image::Rgba([1, 1, 1, alpha])), ImageFormat::Png);
    assert!(read(&write(&dir, "opaque.png", &of(255)), &[spec(&[1, 1, 3, 4])]).is_ok());
    assert!(refusal(&write(&dir, "ghost.png", &of(254)), &[spec(&[1, 1, 3, 4])]).contains("transparent"));
}

#[test]
fn a_picture_that_claims_to_be_huge_is_refused_by_its_header() {
    let dir = TempDir::new().unwrap();
    let mut png = encode(GrayImage::new(4, 3), ImageFormat::Png);
    png[16..20].copy_from_slice(&0x7fff_ffffu32.to_be_bytes());
    png[20..24].copy_from_slice(&0x7fff_ffffu32.to_be_bytes());
    let text = refusal(&write(&dir, "bomb.png", &png), &[spec(&[1, 1, 3, 4])]);
    assert!(text.contains("bomb.png"), "{text}");
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
