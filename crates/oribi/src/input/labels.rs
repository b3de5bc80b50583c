//! Labels of examples: an IDX file of one axis, as MNIST has them, or a NumPy array.

use std::io::{BufReader, Read};

use flate2::read::GzDecoder;

use super::{InputError, InputSpec, Kind, Pixels, identify, idx, npy, npz};

/// Most labels of a file.
const MOST: usize = 1 << 28;

/// Reads labels: an IDX file (also gzipped) or an `.npy` of one axis, or the array `labels` of an `.npz`.
///
/// # Errors
/// If the file holds none, or numbers that are no labels; the text names the place.
pub fn labels(argument: &str) -> Result<Vec<u32>, InputError> {
    let path = std::path::PathBuf::from(argument);
    let (file, kind) = identify(&path)?;
    let refuse = |reason: String| InputError::new(&path, reason);
    let spec = InputSpec { name: "labels".into(), shape: vec![], pixels: Pixels::default(), range: None };
    let (mut reader, count) = match kind {
        Kind::Idx => return bytes(BufReader::new(file)).map_err(refuse),
        Kind::IdxGzip => return bytes(GzDecoder::new(BufReader::new(file))).map_err(refuse),
        Kind::Npy => npy::open(&path, file, &spec)?,
        Kind::Npz => {
            let lacks = || refuse("has no array \"labels\", a number for each input".into());
            npz::open_named(&path, file, &spec)?.ok_or_else(lacks)?
        }
        _ => return Err(refuse("holds no labels: wanted IDX, .npy, or .npz with an array labels".into())),
    };
    if count > MOST {
        return Err(refuse(format!("holds {count} labels; at most {MOST} are read")));
    }
    let mut labels = Vec::new();
    for index in 0..count {
        let value = reader.next_values().map_err(refuse)?.first().copied().unwrap_or(-1.0);
        if value < 0.0 || value.fract() != 0.0 || value >= 1e6 {
            return Err(refuse(format!("label #{index} is {value}; labels are whole numbers from 0")));
        }
        labels.push(value as u32);
    }
    Ok(labels)
}

/// The labels of an IDX file.
fn bytes(mut reader: impl Read) -> Result<Vec<u32>, String> {
    let shape = idx::read_header(&mut reader)?;
    let [count] = shape[..] else {
        return Err("is an IDX file of pictures, not of labels".into());
    };
    if count > MOST {
        return Err(format!("the IDX header claims {count} labels"));
    }
    let mut labels = Vec::new();
    let read =
        reader.take(count as u64).read_to_end(&mut labels).map_err(|e| format!("cannot be read: {e}"))?;
    if read < count {
        return Err(format!("is short: an IDX file of {count} labels has {read} after its header"));
    }
    Ok(labels.into_iter().map(u32::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idx_files_of_one_axis() {
        assert_eq!(bytes(&[0, 0, 8, 1, 0, 0, 0, 3, 7, 0, 9][..]), Ok(vec![7, 0, 9]));
        assert!(bytes(&[0, 0, 8, 1, 0, 0, 0, 3, 7, 0][..]).unwrap_err().contains("has 2 after"));
        assert!(bytes(&[0, 0, 8, 1, 255, 255, 255, 255, 1][..]).unwrap_err().contains("claims"));
        assert!(
            bytes(&[0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 5][..]).unwrap_err().contains("pictures")
        );
    }

    #[test]
    fn numpy_arrays_of_whole_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let write = |kind: &str, data: &[u8], count: usize| {
            let head = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({count},), }}");
            let head = format!("{head:<117}\n");
            let mut file = b"\x93NUMPY\x01\x00".to_vec();
            file.extend((head.len() as u16).to_le_bytes());
            file.extend(head.as_bytes());
            file.extend(data);
            let path = folder.path().join("l.npy");
            std::fs::write(&path, file).unwrap();
            labels(path.to_str().unwrap())
        };
        assert_eq!(write("|u1", &[3, 1, 4], 3), Ok(vec![3, 1, 4]));
        assert_eq!(write("<i2", &[3, 0, 1, 1], 2), Ok(vec![3, 257]));
        let error = write("<i2", &[3, 0, 255, 255], 2).unwrap_err().to_string();
        assert!(error.contains("label #1 is -1"), "{error}");
    }
}
