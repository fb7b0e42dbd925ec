//! Segments come back as they were, and no changed byte goes unnoticed.

use super::*;
use crate::Kind;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn page(page_size: u32, seed: u32) -> Vec<u8> {
    let mut state = u64::from(seed) | 1;
    let noisy = seed % 3; // all zero, compressible, not compressible
    (0..page_size)
        .map(|n| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            match noisy {
                0 => 0,
                1 => u8::try_from(n / 16 % 251).unwrap(),
                _ => state.to_le_bytes()[7],
            }
        })
        .collect()
}

fn header(page_size: u32, pages: u32, first: u64) -> Header {
    Header { page_size, pages, first, last: first + 3, at_ms: 1_760_000_000_123, epoch: 7 }
}

fn encode(header: Header, pages: &BTreeMap<u32, Vec<u8>>) -> Vec<u8> {
    let mut encoder = Encoder::begin(Vec::new(), header).unwrap();
    for (number, bytes) in pages {
        encoder.page(*number, bytes).unwrap();
    }
    let done = encoder.finish().unwrap();
    assert_eq!(done.bytes, done.to.len() as u64);
    done.to
}

fn decode(bytes: &[u8]) -> crate::Result<(Header, BTreeMap<u32, Vec<u8>>)> {
    let mut decoder = Decoder::begin(bytes)?;
    let mut pages = BTreeMap::new();
    while let Some(number) = decoder.next()? {
        pages.insert(number, decoder.page().to_vec());
    }
    assert!(decoder.next()?.is_none(), "the end stays the end");
    assert_eq!(decoder.bytes(), bytes.len() as u64);
    Ok((decoder.header(), pages))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_was_encoded_comes_back(
        size in 9u32..=16, pages in 1u32..200, base: bool, chosen in proptest::collection::btree_set(1u32..200, 0..40),
    ) {
        let page_size = 1 << size;
        let numbers: Vec<u32> = if base { (1..=pages.min(40)).collect() } else { chosen.into_iter().filter(|n| *n <= pages).collect() };
        let header = header(page_size, if base { pages.min(40) } else { pages }, if base { 1 } else { 9 });
        let pages: BTreeMap<u32, Vec<u8>> = numbers.iter().map(|n| (*n, page(page_size, *n))).collect();
        let bytes = encode(header, &pages);
        prop_assert_eq!(&decode(&bytes).unwrap(), &(header, pages.clone()));

        let tail = bytes[bytes.len() - Index::TAIL_BYTES..].try_into().unwrap();
        let range = Index::range(bytes.len() as u64, &tail).unwrap();
        let index = Index::from_bytes(&bytes[range.start as usize..range.end as usize]).unwrap();
        prop_assert_eq!(index.frames().len(), pages.len());
        for (number, wanted) in &pages {
            let frame = index.frame(*number).unwrap();
            let there = &bytes[frame.offset as usize..][..frame.bytes as usize];
            prop_assert_eq!(&page_at(frame, there, page_size).unwrap(), wanted);
        }
    }

    #[test]
    fn a_cut_segment_is_refused(cut in 1usize..1_000) {
        let bytes = small();
        let cut = cut.min(bytes.len());
        prop_assert_eq!(decode(&bytes[..bytes.len() - cut]).unwrap_err().kind(), Kind::Damaged);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Bytes that somebody else made up: refused, whatever they are, and never a panic.
    #[test]
    fn made_up_bytes_are_refused(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(), tail in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let sound = small();
        let mut bytes = sound.clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len() * 2));
        bytes.extend(&tail);
        if let Ok(seen) = decode(&bytes) {
            prop_assert_eq!(seen, decode(&sound).unwrap());
        }
        let _ = Index::from_bytes(&bytes);
        let _ = Index::from_bytes(&tail);
        prop_assert!(decode(&tail).is_err());
    }
}

fn small() -> Vec<u8> {
    let pages = [2u32, 3, 40].map(|n| (n, page(512, n))).into_iter().collect();
    encode(header(512, 50, 5), &pages)
}

#[test]
fn any_flipped_bit_is_noticed() {
    let bytes = small();
    let sound = decode(&bytes).unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            match decode(&flipped) {
                Err(e) => assert_eq!(e.kind(), Kind::Damaged, "byte {at}: {e}"),
                // Two LZ4 blocks may mean the same page; the page is what counts.
                Ok(seen) => assert_eq!(seen, sound, "byte {at}, bit {bit}"),
            }
        }
    }
}

#[test]
fn what_follows_the_end_is_noticed() {
    let mut bytes = small();
    bytes.push(0);
    assert_eq!(decode(&bytes).unwrap_err().kind(), Kind::Damaged);
}

#[test]
fn the_lock_page_is_never_stored() {
    for size in 9..=16 {
        let page_size = 1u32 << size;
        let lock = lock_page(page_size);
        assert_eq!(u64::from(lock - 1) * u64::from(page_size), 0x4000_0000);
        let pages = [lock - 1, lock, lock + 1].map(|n| (n, page(page_size, n))).into_iter().collect();
        let (_, back) = decode(&encode(header(page_size, lock + 1, 2), &pages)).unwrap();
        assert_eq!(back.into_keys().collect::<Vec<_>>(), [lock - 1, lock + 1]);
    }
    assert_eq!(lock_page(4096), 262_145);
}

#[test]
fn a_base_passes_over_the_lock_page_and_needs_all_others() {
    let page_size = 65536;
    let lock = lock_page(page_size);
    for pages in [lock - 1, lock, lock + 2] {
        let zero = vec![0; page_size as usize];
        let mut encoder = Encoder::begin(Vec::new(), header(page_size, pages, 1)).unwrap();
        (1..=pages).for_each(|n| encoder.page(n, &zero).unwrap());
        let bytes = encoder.finish().unwrap().to;
        let mut decoder = Decoder::begin(&bytes[..]).unwrap();
        while let Some(n) = decoder.next().unwrap() {
            assert_ne!(n, lock);
        }
        assert_eq!(decoder.pages(), if pages >= lock { pages - 1 } else { pages });
    }
    let mut encoder = Encoder::begin(Vec::new(), header(512, 3, 1)).unwrap();
    assert_eq!(encoder.page(2, &[0; 512]).unwrap_err().kind(), Kind::Invalid);
    encoder.page(1, &[0; 512]).unwrap();
    assert_eq!(encoder.finish().unwrap_err().kind(), Kind::Invalid);
}

#[test]
fn pages_out_of_order_or_place_are_refused() {
    let mut encoder = Encoder::begin(Vec::new(), header(512, 9, 4)).unwrap();
    encoder.page(4, &[0; 512]).unwrap();
    for (number, bytes) in [(4, 512), (3, 512), (10, 512), (5, 511)] {
        assert_eq!(encoder.page(number, &vec![0; bytes]).unwrap_err().kind(), Kind::Invalid);
    }
    for wrong in [header(500, 9, 4), header(256, 9, 4), header(512, 0, 4), header(512, 9, 0)] {
        assert_eq!(Encoder::begin(Vec::new(), wrong).err().unwrap().kind(), Kind::Invalid);
    }
}
