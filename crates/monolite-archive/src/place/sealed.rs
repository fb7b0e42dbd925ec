//! A place whose bytes nobody reads without the key: each object sealed piece by piece.
//!
//! As in age: a key for each object, derived from the one key, a random salt and the object's name; then pieces of 64 KiB under
//! ChaCha20-Poly1305 with a counter, the last one marked. Ranges stay readable.
//!
//! **Invariants**
//! - A piece that was changed, moved, left out, or taken from another object does not open; an object that was cut off is noticed.
//! - Names, sizes and times stay visible; what the key is used for stays the key's: it is in no text and no error.
//!
//! Never here: where the key is kept safe. Who loses it has no archive.

use super::{Entry, Place, Upload};
use crate::layout::Layout;
use crate::{Error, Kind, Result};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use std::collections::HashMap;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

const MAGIC: [u8; 8] = super::SEALED;
/// Magic, the key's id, the salt.
const HEADER_BYTES: usize = 8 + 8 + 32;
/// Plain bytes of a piece.
const PIECE_BYTES: usize = 64 << 10;
/// What a piece grows by.
const TAG_BYTES: usize = 16;
const SEALED_BYTES: usize = PIECE_BYTES + TAG_BYTES;
/// Keys of objects that are remembered, so that a range costs one read.
const REMEMBERED_MAX: usize = 4_096;

/// The key of an archive: 32 random bytes.
#[derive(Clone)]
pub struct Key {
    prk: Prk,
    id: [u8; 8],
}

impl Key {
    /// A key of these bytes.
    pub fn new(bytes: &[u8; 32]) -> Key {
        let prk = Salt::new(HKDF_SHA256, b"monolite archive 1").extract(bytes);
        let mut id = [0; 8];
        let okm = prk.expand(&[b"id"], Bytes(id.len())).expect("eight bytes are not too many");
        okm.fill(&mut id).expect("the length is the one that was asked for");
        Key { prk, id }
    }

    /// Reads a key from a file that only its owner may read: 64 hex digits.
    pub fn read(path: &Path) -> Result<Key> {
        let context = |e| Error::io(format!("the key of the archive in {}", path.display()), e);
        // Opening something else than a file, such as a pipe, may never end.
        if !std::fs::metadata(path).map_err(context)?.is_file() {
            return Err(Error::invalid(format!("{} is not a file: no key", path.display())));
        }
        let file = std::fs::File::open(path).map_err(context)?;
        let mode = file.metadata().map_err(context)?.permissions().mode();
        if mode & 0o077 != 0 {
            let text = format!("the key in {} can be read by others: chmod 0400 it", path.display());
            return Err(Error::new(Kind::Denied, text));
        }
        let mut text = String::new();
        file.take(1_000).read_to_string(&mut text).map_err(context)?;
        let wrong = || Error::invalid(format!("{} is not 64 hex digits: no key", path.display()));
        let text = text.trim();
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
        }
        Ok(Key::new(&bytes))
    }

    /// Makes a new key in a file that only its owner may read, where there is none.
    pub fn create(path: &Path) -> Result<Key> {
        let context = |e| Error::io(format!("a new key in {}", path.display()), e);
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|e| Error::new(Kind::Io, format!("no random numbers: {e}")))?;
        let digits = digits(&bytes);
        let made = OpenOptions::new().write(true).create_new(true).mode(0o400).open(path);
        let mut file = made.map_err(|e| match e.kind() {
            std::io::ErrorKind::AlreadyExists => {
                let text = format!("{} is there already; no key is written over: choose another name", path.display());
                Error::new(Kind::Exists, text)
            }
            _ => context(e),
        })?;
        writeln!(file, "{digits}").and_then(|()| file.sync_all()).map_err(context)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(context)?;
        Ok(Key::new(&bytes))
    }

    /// What tells this key from others: it opens nothing, and stands at the head of all that was sealed with it.
    pub fn id(&self) -> String {
        digits(&self.id)
    }

    fn of_object(&self, salt: &[u8; 32], name: &str) -> LessSafeKey {
        let info = [b"object ".as_slice(), salt, name.as_bytes()];
        let okm = self.prk.expand(&info, &CHACHA20_POLY1305).expect("a key's length is not too many");
        LessSafeKey::new(UnboundKey::from(okm))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

/// Another place, sealed.
#[derive(Debug)]
pub struct Sealed {
    inner: Arc<dyn Place>,
    key: Key,
    remembered: Mutex<HashMap<String, Arc<LessSafeKey>>>,
}

impl Sealed {
    /// Seals what goes into a place, and opens what comes out.
    pub fn new(inner: Arc<dyn Place>, key: Key) -> Self {
        Sealed { inner, key, remembered: Mutex::default() }
    }

    fn seal(&self, name: &str) -> Result<(LessSafeKey, [u8; HEADER_BYTES])> {
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).map_err(|e| Error::new(Kind::Io, format!("no random numbers: {e}")))?;
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(&MAGIC);
        header[8..16].copy_from_slice(&self.key.id);
        header[16..].copy_from_slice(&salt);
        Ok((self.key.of_object(&salt, name), header))
    }

    fn key_of(&self, name: &str, remembered: bool) -> Result<Arc<LessSafeKey>> {
        let lock = || self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = lock().get(name).filter(|_| remembered) {
            return Ok(Arc::clone(key));
        }
        let mut header = Vec::new();
        self.inner.read(name, 0, HEADER_BYTES, &mut header)?;
        if header.len() < HEADER_BYTES || header[..8] != MAGIC {
            return Err(Error::damaged(format!("{name} is not sealed, or its beginning is damaged")));
        }
        if header[8..16] != self.key.id {
            let text =
                format!("{name} was sealed with key {}, and this is key {}", digits(&header[8..16]), self.key.id());
            return Err(Error::new(Kind::Denied, text));
        }
        let salt = header[16..].try_into().expect("32 bytes");
        let key = Arc::new(self.key.of_object(&salt, name));
        let mut all = lock();
        if all.len() >= REMEMBERED_MAX {
            all.clear();
        }
        all.insert(name.to_owned(), Arc::clone(&key));
        Ok(key)
    }

    /// Opens the pieces that hold a range.
    fn open(&self, name: &str, from: u64, most: usize, to: &mut Vec<u8>, key: &LessSafeKey) -> Result<()> {
        let first = from / PIECE_BYTES as u64;
        let skip = usize::try_from(from % PIECE_BYTES as u64).expect("less than a piece");
        let pieces = (skip + most).div_ceil(PIECE_BYTES);
        let at = |piece: u64| HEADER_BYTES as u64 + piece * SEALED_BYTES as u64;
        // One byte more: whether something follows tells the last piece from the others.
        let mut sealed = Vec::with_capacity(pieces * SEALED_BYTES + 1);
        self.inner.read(name, at(first), pieces * SEALED_BYTES + 1, &mut sealed)?;
        let more = sealed.len() > pieces * SEALED_BYTES;
        sealed.truncate(pieces * SEALED_BYTES);
        if sealed.is_empty() {
            return self.ends_before(name, first, key, at);
        }
        let count = sealed.len().div_ceil(SEALED_BYTES);
        let end = to.len().saturating_add(most);
        let mut skip = skip;
        for (n, piece) in sealed.chunks_mut(SEALED_BYTES).enumerate() {
            let plain = unseal(key, first + n as u64, n + 1 == count && !more, piece);
            let plain =
                plain.ok_or_else(|| Error::damaged(format!("{name} does not open at piece {}", first + n as u64)))?;
            let plain = &plain[skip.min(plain.len())..];
            to.extend_from_slice(&plain[..plain.len().min(end - to.len())]);
            skip = 0;
        }
        Ok(())
    }

    /// Nothing lies at a piece: then the one before has to be the last.
    fn ends_before(&self, name: &str, piece: u64, key: &LessSafeKey, at: impl Fn(u64) -> u64) -> Result<()> {
        let mut last = Vec::new();
        if let Some(before) = piece.checked_sub(1) {
            self.inner.read(name, at(before), SEALED_BYTES, &mut last)?;
            if last.is_empty() || unseal(key, before, true, &mut last).is_some() {
                return Ok(()); // what begins even further on was not looked for in vain either
            }
        }
        Err(Error::damaged(format!("{name} was cut off")))
    }
}

impl Place for Sealed {
    fn describe(&self) -> String {
        format!("{}, sealed with key {}", self.inner.describe(), self.key.id())
    }

    fn layout(&self) -> Layout {
        self.inner.layout()
    }

    fn create(&self, name: &str) -> Result<Box<dyn Upload>> {
        let (key, header) = self.seal(name)?;
        let mut inner = self.inner.create(name)?;
        inner.write_all(&header).map_err(|e| Error::io(format!("writing {name}"), e))?;
        Ok(Box::new(Sealing { inner, key, buffer: Vec::with_capacity(SEALED_BYTES), piece: 0 }))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let (key, header) = self.seal(name)?;
        let mut sealed = header.to_vec();
        let count = bytes.len().div_ceil(PIECE_BYTES).max(1);
        for n in 0..count {
            let mut piece = bytes[n * PIECE_BYTES..bytes.len().min((n + 1) * PIECE_BYTES)].to_vec();
            seal(&key, n as u64, n + 1 == count, &mut piece);
            sealed.extend(piece);
        }
        self.inner.put(name, &sealed)
    }

    fn read(&self, name: &str, from: u64, most: usize, to: &mut Vec<u8>) -> Result<()> {
        let start = to.len();
        match self.open(name, from, most, to, &*self.key_of(name, true)?) {
            // It may have been put anew, with another salt.
            Err(e) if e.kind() == Kind::Damaged => {
                to.truncate(start);
                self.open(name, from, most, to, &*self.key_of(name, false)?)
            }
            other => other,
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<Entry>> {
        let plain = |entry: Entry| {
            let sealed = entry.bytes.saturating_sub(HEADER_BYTES as u64);
            let bytes = sealed.saturating_sub(sealed.div_ceil(SEALED_BYTES as u64) * TAG_BYTES as u64);
            Entry { bytes, ..entry }
        };
        Ok(self.inner.list(folder)?.into_iter().map(plain).collect())
    }

    fn folders(&self, folder: &str) -> Result<Vec<String>> {
        self.inner.folders(folder)
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.inner.delete(name)
    }
}

/// Something new on its way into a place, piece by piece.
struct Sealing {
    inner: Box<dyn Upload>,
    key: LessSafeKey,
    buffer: Vec<u8>,
    piece: u64,
}

impl Sealing {
    fn send(&mut self, last: bool) -> std::io::Result<()> {
        seal(&self.key, self.piece, last, &mut self.buffer);
        self.inner.write_all(&self.buffer)?;
        self.buffer.clear();
        self.piece += 1;
        Ok(())
    }
}

impl Write for Sealing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // A full piece waits for what follows: it may be the last.
        if self.buffer.len() == PIECE_BYTES && !bytes.is_empty() {
            self.send(false)?;
        }
        let n = bytes.len().min(PIECE_BYTES - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

impl Upload for Sealing {
    fn finish(mut self: Box<Self>, created_ms: i64) -> Result<()> {
        self.send(true).map_err(|e| Error::io("writing the last piece", e))?;
        self.inner.finish(created_ms)
    }
}

/// The counter, and whether it is the last: a key is used for one object only, so no nonce comes twice.
fn nonce(piece: u64, last: bool) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[3..11].copy_from_slice(&piece.to_be_bytes());
    bytes[11] = u8::from(last);
    Nonce::assume_unique_for_key(bytes)
}

fn seal(key: &LessSafeKey, piece: u64, last: bool, bytes: &mut Vec<u8>) {
    key.seal_in_place_append_tag(nonce(piece, last), Aad::empty(), bytes).expect("a piece is not too long");
}

fn unseal<'a>(key: &LessSafeKey, piece: u64, last: bool, bytes: &'a mut [u8]) -> Option<&'a [u8]> {
    key.open_in_place(nonce(piece, last), Aad::empty(), bytes).ok().map(|plain| &*plain)
}
