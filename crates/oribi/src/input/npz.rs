//! NumPy's `.npz`: a zip file of `.npy` arrays, stored or deflated.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::DeflateDecoder;

use super::array::ArrayReader;
use super::zip::{self, Entry, Method};
use super::{InputError, InputSpec, npy, shape};

/// The largest array, unpacked: 1 GiB, so that a file of a few kilobytes cannot keep the reader busy for minutes.
const UNPACKED_LIMIT: u64 = 1 << 30;

/// One stream for each of the model's inputs, and how many inputs they hold.
pub(super) fn open(
    path: &Path,
    mut file: File,
    specs: &[InputSpec],
) -> Result<(Vec<ArrayReader>, usize), InputError> {
    let refuse = |reason: String| InputError::new(path, reason);
    let length = file.metadata().map_err(|error| InputError::io(path, &error))?.len();
    let entries = zip::directory(&mut file, length).map_err(refuse)?;
    let mut readers = Vec::with_capacity(specs.len());
    let mut common = None;
    for spec in specs {
        let entry = choose(&entries, spec, specs).map_err(refuse)?;
        let (reader, count) = open_entry(path, entry, spec)?;
        if *common.get_or_insert(count) != count {
            let reason =
                format!("the array {:?} holds {count} inputs, and another array more or fewer", entry.name);
            return Err(refuse(reason));
        }
        readers.push(reader);
    }
    Ok((readers, common.unwrap_or(0)))
}

/// The array for a model's input: the one of its name, or the only one where the model has one input.
fn choose<'a>(entries: &'a [Entry], spec: &InputSpec, specs: &[InputSpec]) -> Result<&'a Entry, String> {
    if let Some(named) = entries.iter().find(|entry| entry.name == spec.name) {
        return Ok(named);
    }
    match (entries, specs) {
        ([only], [_]) => Ok(only),
        ([], _) => Err("holds no arrays".to_owned()),
        _ => Err(format!(
            "has no array {:?} for the model's input of that name; it holds {}",
            spec.name,
            shape::names(entries.iter().map(|entry| entry.name.as_str()))
        )),
    }
}

fn open_entry(path: &Path, entry: &Entry, spec: &InputSpec) -> Result<(ArrayReader, usize), InputError> {
    let what = format!("the array {:?}", entry.name);
    let refuse = |reason: String| InputError::new(path, format!("{what}: {reason}"));
    if entry.unpacked > UNPACKED_LIMIT {
        return Err(refuse(format!(
            "unpacks to {} bytes; at most {UNPACKED_LIMIT} are read",
            entry.unpacked
        )));
    }
    let mut file = File::open(path).map_err(|error| InputError::io(path, &error))?;
    entry.seek(&mut file).map_err(refuse)?;
    let packed = BufReader::new(file).take(entry.packed);
    let mut reader: Box<dyn Read + Send> = match entry.method {
        Method::Stored => Box::new(packed.take(entry.unpacked)),
        Method::Deflated => Box::new(BufReader::new(DeflateDecoder::new(packed).take(entry.unpacked))),
        Method::Other(code) => {
            return Err(refuse(format!(
                "is packed by zip method {code}; save it with numpy.savez_compressed"
            )));
        }
    };
    let header = npy::read_header(&mut reader).map_err(refuse)?;
    npy::check_length(&header, entry.unpacked.saturating_sub(header.length as u64)).map_err(refuse)?;
    npy::fit(header, reader, spec, &what).map_err(|reason| InputError::new(path, reason))
}
