//! SHA-256 that can be put down between two pieces and taken up again, by another process too.
//!
//! The state is that of FIPS 180-4 after the whole blocks: eight words, big-endian, then the up to 63 bytes that are not
//! a block yet. It depends on no library's version.

use sha2::block_api::compress256;

/// Bytes of a block.
const BLOCK: usize = 64;
/// Bytes of the eight words.
const WORDS: usize = 32;
/// The state before the first block (FIPS 180-4, 5.3.3).
const FIRST: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// A SHA-256 over so many bytes, so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunningHash {
    words: [u32; 8],
    length: u64,
    rest: Vec<u8>,
}

impl RunningHash {
    /// Over no bytes.
    pub(super) fn new() -> Self {
        RunningHash { words: FIRST, length: 0, rest: Vec::new() }
    }

    /// As it was put down after so many bytes; none where the two do not fit.
    pub(super) fn taken_up(saved: &[u8], length: u64) -> Option<Self> {
        let (words, rest) = saved.split_at_checked(WORDS)?;
        if rest.len() as u64 != length % BLOCK as u64 {
            return None;
        }
        let mut hash = RunningHash { words: FIRST, length, rest: rest.to_vec() };
        for (word, bytes) in hash.words.iter_mut().zip(words.as_chunks::<4>().0) {
            *word = u32::from_be_bytes(*bytes);
        }
        Some(hash)
    }

    /// Puts it down.
    pub(super) fn saved(&self) -> Vec<u8> {
        let mut saved: Vec<u8> = self.words.iter().flat_map(|word| word.to_be_bytes()).collect();
        saved.extend_from_slice(&self.rest);
        saved
    }

    /// Takes more bytes in.
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len() as u64;
        if !self.rest.is_empty() {
            let taken = bytes.len().min(BLOCK - self.rest.len());
            self.rest.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if self.rest.len() < BLOCK {
                return;
            }
            compress256(&mut self.words, self.rest.as_chunks().0);
            self.rest.clear();
        }
        let (blocks, rest) = bytes.as_chunks();
        compress256(&mut self.words, blocks);
        self.rest.extend_from_slice(rest);
    }

    /// The SHA-256 of all that was taken in.
    pub(super) fn finished(mut self) -> Vec<u8> {
        let bits = (self.length * 8).to_be_bytes();
        let mut end = std::mem::take(&mut self.rest);
        end.push(0x80);
        end.resize((end.len() + bits.len()).next_multiple_of(BLOCK) - bits.len(), 0);
        end.extend_from_slice(&bits);
        compress256(&mut self.words, end.as_chunks().0);
        self.words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    proptest! {
        #[test]
        fn it_is_the_librarys_sha_256_however_often_it_is_put_down(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
        ) {
            let (mut hash, mut length) = (RunningHash::new(), 0);
            for part in &parts {
                hash = RunningHash::taken_up(&hash.saved(), length).unwrap();
                hash.update(part);
                length += part.len() as u64;
            }
            prop_assert_eq!(hash.finished(), Sha256::digest(parts.concat()).to_vec());
        }
    }

    #[test]
    fn the_saved_state_is_that_of_the_format() {
        // `abc` is shorter than a block: the words are still the first ones.
        let mut hash = RunningHash::new();
        hash.update(b"abc");
        let words = "6a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19";
        assert_eq!(text(&hash.saved()), format!("{words}616263"));
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(text(&hash.finished()), known);
        // The state that FIPS 180-4's own example has after its first block.
        let mut hash = RunningHash::new();
        hash.update(b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq\x80\0\0\0\0\0\0\0rest");
        let first = "85e655d6417a17953363376a624cde5c76e09589cac5f811cc4b32c1f20e533a";
        assert_eq!(text(&hash.saved()), format!("{first}72657374"));
    }

    fn text(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn a_state_that_does_not_fit_the_length_is_refused() {
        let mut hash = RunningHash::new();
        hash.update(&[7; 70]);
        let saved = hash.saved();
        assert_eq!(RunningHash::taken_up(&saved, 70), Some(hash));
        for (saved, length) in [(&saved[..], 71), (&saved[..], 64), (&saved[..37], 70), (&saved[..31], 0), (&[], 0)] {
            assert_eq!(RunningHash::taken_up(saved, length), None);
        }
    }
}
