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
/// Arrays whose shapes are looked at where none has the right name.
const LISTED: usize = 64;

/// One stream for each of the model's inputs, and how many inputs they hold.
pub(super) fn open(
    path: &Path,
    mut file: File,
    specs: &[InputSpec],
) -> Result<(Vec<ArrayReader>, usize), InputError> {
    let refuse = |reason: String| InputError::new(path, reason);
    let entries = entries(path, &mut file)?;
    let mut readers = Vec::with_capacity(specs.len());
    let mut common = None;
    for spec in specs {
        let entry = choose(path, &entries, spec, specs).map_err(refuse)?;
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

/// The array of a name, and how many values of the spec's shape it holds; nothing if there is none of that name.
pub(super) fn open_named(
    path: &Path,
    mut file: File,
    spec: &InputSpec,
) -> Result<Option<(ArrayReader, usize)>, InputError> {
    let entries = entries(path, &mut file)?;
    let entry = entries.iter().find(|entry| entry.name == spec.name);
    entry.map(|entry| open_entry(path, entry, spec)).transpose()
}

fn entries(path: &Path, file: &mut File) -> Result<Vec<Entry>, InputError> {
    let length = file.metadata().map_err(|error| InputError::io(path, &error))?.len();
    zip::directory(file, length).map_err(|reason| InputError::new(path, reason))
}

/// The array for a model's input: the one of its name; else, where the model has one input, the only array, or the only
/// one of the input's shape.
fn choose<'a>(
    path: &Path,
    entries: &'a [Entry],
    spec: &InputSpec,
    specs: &[InputSpec],
) -> Result<&'a Entry, String> {
    if let Some(named) = entries.iter().find(|entry| entry.name == spec.name) {
        return Ok(named);
    }
    match (entries, specs) {
        ([only], [_]) => return Ok(only),
        ([], _) => return Err("holds no arrays".to_owned()),
        _ => {}
    }
    let shapes: Vec<Option<Vec<usize>>> =
        entries.iter().take(LISTED).map(|entry| shape_of(path, entry)).collect();
    let fits = |found: &Option<Vec<usize>>| {
        found.as_ref().is_some_and(|found| shape::count(found, &spec.shape).is_some())
    };
    let fitting: Vec<&Entry> =
        entries.iter().zip(&shapes).filter(|(_, found)| fits(found)).map(|(entry, _)| entry).collect();
    if let ([one], [_], true) = (fitting.as_slice(), specs, entries.len() <= LISTED) {
        return Ok(one);
    }
    let listed: Vec<String> = entries
        .iter()
        .zip(&shapes)
        .map(|(entry, found)| match found {
            Some(found) => format!("{:?} {}", entry.name, shape::text(found)),
            None => format!("{:?} (unreadable)", entry.name),
        })
        .collect();
    Err(format!(
        "has no array {:?} for the model's input of that name and shape {}, and not exactly one of that shape; it holds {}",
        spec.name,
        shape::text(&spec.shape),
        shape::names(listed.iter().map(String::as_str))
    ))
}

/// The shape that an array's header states, where it can be read.
fn shape_of(path: &Path, entry: &Entry) -> Option<Vec<usize>> {
    let (mut reader, _) = unpack(path, entry).ok()?;
    npy::read_header(&mut reader).ok().map(|header| header.shape)
}

/// The bytes of an entry, unpacked.
fn unpack(path: &Path, entry: &Entry) -> Result<(Box<dyn Read + Send>, String), InputError> {
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
    let reader: Box<dyn Read + Send> = match entry.method {
        Method::Stored => Box::new(packed.take(entry.unpacked)),
        Method::Deflated => Box::new(BufReader::new(DeflateDecoder::new(packed).take(entry.unpacked))),
        Method::Other(code) => {
            return Err(refuse(format!(
                "is packed by zip method {code}; save it with numpy.savez_compressed"
            )));
        }
    };
    Ok((reader, what))
}

fn open_entry(path: &Path, entry: &Entry, spec: &InputSpec) -> Result<(ArrayReader, usize), InputError> {
    let (mut reader, what) = unpack(path, entry)?;
    let refuse = |reason: String| InputError::new(path, format!("{what}: {reason}"));
    let header = npy::read_header(&mut reader).map_err(refuse)?;
    npy::check_length(&header, entry.unpacked.saturating_sub(header.length as u64)).map_err(refuse)?;
    npy::fit(header, reader, spec, &what).map_err(|reason| InputError::new(path, reason))
}
