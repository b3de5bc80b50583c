//! Who a server is: a certificate, its key, and the fingerprint that clients pin.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

/// SHA-256 of a certificate, as `openssl x509 -fingerprint -sha256` prints it but for the spelling.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, certificate.as_ref());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }
}

impl From<Fingerprint> for crate::store::Peer {
    /// A server, as a client's store knows it.
    fn from(server: Fingerprint) -> Self {
        Self(server.0)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    /// 64 hexadecimal digits; `sha256:` before them, colons between them and capitals do no harm.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a fingerprint is sha256: and 64 hexadecimal digits".to_owned();
        let lower = text.trim().to_ascii_lowercase();
        let digits = lower.strip_prefix("sha256:").unwrap_or(&lower).replace(':', "");
        if digits.len() != 64 {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
            let (high, low) = (digit(pair[0]).ok_or_else(wrong)?, digit(pair[1]).ok_or_else(wrong)?);
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

/// A certificate that cannot be used: which file, and why.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {why}", path = path.display())]
pub struct IdentityError {
    /// The file or directory.
    pub path: PathBuf,
    /// What is wrong.
    pub why: String,
}

/// A server's certificate chain and private key.
pub struct Identity {
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    fingerprint: Fingerprint,
}

/// The file in a state directory that holds certificate and key; only its owner can read it.
const FILE: &str = "identity.pem";

/// Longest certificate or key file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

impl Identity {
    /// The fingerprint of the certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The identity kept in a directory; made on the first call. Certificate and key stand in one file that appears
    /// at once and complete, so that servers started together agree.
    ///
    /// # Errors
    /// The directory cannot be written, or the file in it is damaged.
    pub fn load_or_create(directory: &Path) -> Result<Self, IdentityError> {
        let path = directory.join(FILE);
        if !path.exists() {
            let fail = |why: &dyn fmt::Display| IdentityError { path: path.clone(), why: why.to_string() };
            create_directory(directory).map_err(|e| fail(&e))?;
            let pem = self_signed().map_err(|e| fail(&e))?;
            publish(&path, pem.as_bytes()).map_err(|e| fail(&e))?;
        }
        Self::from_pem(&path, &path)
    }

    /// An identity that is kept nowhere, for a server whose only client starts it.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn ephemeral() -> Result<Self, IdentityError> {
        let nowhere = Path::new("a certificate in memory");
        let pem = self_signed().map_err(|e| fail(nowhere, e.to_string()))?;
        Self::parse((nowhere, pem.as_bytes()), (nowhere, pem.as_bytes()))
    }

    /// The user's own certificate chain and key, in PEM.
    ///
    /// # Errors
    /// A file is missing or damaged.
    pub fn from_pem(certificates: &Path, key: &Path) -> Result<Self, IdentityError> {
        Self::parse((certificates, &read(certificates)?), (key, &read(key)?))
    }

    /// Reads certificates and key; each comes with the file to name in an error.
    fn parse(
        (certificates, chain): (&Path, &[u8]),
        (key, key_pem): (&Path, &[u8]),
    ) -> Result<Self, IdentityError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let chain = chain.map_err(|e| fail(certificates, format!("no readable certificate: {e}")))?;
        let key_der = PrivateKeyDer::from_pem_slice(key_pem)
            .map_err(|e| fail(key, format!("no readable private key: {e}")))?;
        let first =
            chain.first().ok_or_else(|| fail(certificates, "there is no certificate in it".into()))?;
        let fingerprint = Fingerprint::of(first);
        Ok(Self { certificates: chain, key: key_der, fingerprint })
    }
}

fn fail(path: &Path, why: String) -> IdentityError {
    IdentityError { path: path.to_owned(), why }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let length = fs::metadata(path).map_err(|e| fail(path, e.to_string()))?.len();
    if length > MAX_FILE_BYTES {
        return Err(fail(path, format!("{length} bytes are too many for a certificate or key")));
    }
    fs::read(path).map(Zeroizing::new).map_err(|e| fail(path, e.to_string()))
}

/// A new certificate and its key, in PEM. Its name and dates mean nothing: clients compare fingerprints.
fn self_signed() -> Result<Zeroizing<String>, rcgen::Error> {
    let key = rcgen::KeyPair::generate()?;
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()])?;
    params.distinguished_name.push(rcgen::DnType::CommonName, "oribi");
    let certificate = params.self_signed(&key)?;
    let key_pem = Zeroizing::new(key.serialize_pem());
    Ok(Zeroizing::new(format!("{}{}", certificate.pem(), *key_pem)))
}

/// Makes a directory that only its owner can look into.
pub(crate) fn create_directory(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// Writes a secret file under another name and then gives it its own, unless that is taken already.
pub(crate) fn publish(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension(format!("{}.draft", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&draft).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        match fs::hard_link(&draft, path) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
            _ => Ok(()),
        }
    });
    let removed = fs::remove_file(&draft);
    written.and(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_made_once_and_kept_secret() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("new/state");
        let first = Identity::load_or_create(&state).unwrap();
        let again = Identity::load_or_create(&state).unwrap();
        assert_eq!(first.fingerprint(), again.fingerprint());
        assert_eq!(fs::read_dir(&state).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&state), mode(&state.join(FILE))), (0o700, 0o600));
        }
        let other = Identity::load_or_create(&directory.path().join("other")).unwrap();
        assert_ne!(first.fingerprint(), other.fingerprint());
    }

    #[test]
    fn damaged_files_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        for content in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n"] {
            fs::write(&path, content).unwrap();
            let error = Identity::load_or_create(directory.path()).err().unwrap().to_string();
            assert!(error.contains(FILE), "{error}");
        }
        assert!(Identity::from_pem(&directory.path().join("absent"), &path).is_err());
    }

    #[test]
    fn fingerprints_have_several_spellings() {
        let fingerprint = Fingerprint::of(&CertificateDer::from(b"abc".to_vec()));
        let text = fingerprint.to_string();
        assert_eq!(text, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let digits = &text[7..];
        let colons: Vec<&str> = (0..32).map(|i| &digits[2 * i..2 * i + 2]).collect();
        for spelling in [text.clone(), digits.to_uppercase(), colons.join(":")] {
            assert_eq!(spelling.parse(), Ok(fingerprint));
        }
        for wrong in ["", "sha256:", &digits[1..], &digits.replace('a', "g"), &"é".repeat(32)] {
            assert!(wrong.parse::<Fingerprint>().is_err());
        }
    }
}
