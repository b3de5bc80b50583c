//! Folders of prepared bundles: where they are by default, and how they are opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use oribi::client::Supply;
use oribi::store::{Options, Side, Store};

use crate::choice::Protocol;
use crate::console::note;
use crate::failure::Failure;

/// The user's data folder of this program.
pub fn data_folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let data = set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local").join("share")))?;
    Some(data.join("oribi"))
}

/// A folder of bundles where the user names none.
pub fn default_folder(side: Side) -> Option<PathBuf> {
    Some(data_folder()?.join(format!("{}-store", side.name())))
}

/// The folder that the user names, or the default.
///
/// # Errors
/// There is neither.
pub fn folder(named: Option<&Path>, side: Side) -> Result<PathBuf, Failure> {
    let none = || Failure::bad("there is no home folder to keep bundles in: give --store");
    named.map(Path::to_owned).or_else(|| default_folder(side)).ok_or_else(none)
}

/// A client's store in a folder.
///
/// # Errors
/// It cannot be used.
pub fn client(folder: &Path, limit: u64) -> Result<Supply, Failure> {
    let store = Store::open(folder, Side::Client, Options::client(limit)).map_err(oribi::Error::from)?;
    let tell = |words: &str| note(&format!("oribi: {words}"));
    Ok(Supply { store: Arc::new(store), tell: Arc::new(tell) })
}

/// The store for predictions: the one that is named; or the default, where bundles were prepared into it.
///
/// # Errors
/// It cannot be used.
pub fn for_predictions(named: Option<&Path>, protocol: Option<Protocol>) -> Result<Option<Supply>, Failure> {
    let is_delphi = protocol == Some(Protocol::Delphi);
    let folder = match named {
        Some(folder) => {
            (is_delphi || (protocol.is_none() && Store::is_in(folder))).then(|| folder.to_owned())
        }
        None => default_folder(Side::Client).filter(|folder| is_delphi && Store::is_in(folder)),
    };
    // Bundles are only taken, so that no limit applies.
    folder.map(|folder| client(&folder, u64::MAX)).transpose()
}

/// A server's store: the one that is named; or the default, unless another server has it.
///
/// # Errors
/// It cannot be used.
pub fn server(named: Option<&Path>, limit: u64) -> Result<Option<Arc<Store>>, Failure> {
    let Some(folder) = named.map(Path::to_owned).or_else(|| default_folder(Side::Server)) else {
        return Ok(None);
    };
    match Store::open(&folder, Side::Server, Options::server(limit)) {
        Ok(store) => Ok(Some(Arc::new(store))),
        Err(error) if named.is_none() => {
            note(&format!("oribi: no bundles are kept for later: {error}"));
            Ok(None)
        }
        Err(error) => Err(oribi::Error::from(error).into()),
    }
}
