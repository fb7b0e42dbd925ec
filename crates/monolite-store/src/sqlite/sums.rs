//! Page checksums in the last 8 bytes of each page, as SQLite's checksum VFS (`cksumvfs`) writes and checks them.
//!
//! Only for files whose header says that exactly 8 bytes of each page are reserved. Two sums that feed each other, over
//! little-endian words of all but those 8 bytes.
//!
//! **Invariants**
//! - SQLite itself never looks at the reserved bytes: a page with a wrong sum reads like any other.
//! - A page of zeros, never written, has the right sum: zeros.

/// Bytes of a sum.
pub(crate) const SUM: usize = 8;
/// The smallest page.
const PAGE_MIN: usize = 512;

/// The sum of a page.
pub(crate) fn sum(page: &[u8]) -> [u8; SUM] {
    let body = &page[..page.len() - SUM];
    // SAFETY: any four bytes are a u32.
    let (before, words, after) = unsafe { body.align_to::<u32>() };
    let in_order = cfg!(target_endian = "little") && before.is_empty() && after.is_empty();
    let (s1, s2) = if in_order { of_words(words) } else { of_bytes(body) };
    let mut sum = [0; SUM];
    sum[..4].copy_from_slice(&s1.to_le_bytes());
    sum[4..].copy_from_slice(&s2.to_le_bytes());
    sum
}

/// Written so that a build without optimisation, which the tests use, calls nothing in the loop.
fn of_words(words: &[u32]) -> (u32, u32) {
    const LOW: u64 = 0xFFFF_FFFF;
    let (mut s1, mut s2, mut i) = (0u64, 0u64, 0);
    while i + 1 < words.len() {
        s1 = (s1 + words[i] as u64 + s2) & LOW;
        s2 = (s2 + words[i + 1] as u64 + s1) & LOW;
        i += 2;
    }
    (s1 as u32, s2 as u32)
}

fn of_bytes(body: &[u8]) -> (u32, u32) {
    let (mut s1, mut s2) = (0u32, 0u32);
    for pair in body.chunks_exact(8) {
        s1 = s1.wrapping_add(u32::from_le_bytes([pair[0], pair[1], pair[2], pair[3]])).wrapping_add(s2);
        s2 = s2.wrapping_add(u32::from_le_bytes([pair[4], pair[5], pair[6], pair[7]])).wrapping_add(s1);
    }
    (s1, s2)
}

/// Puts the sum of a page into it.
pub(crate) fn stamp(page: &mut [u8]) {
    let sum = sum(page);
    let at = page.len() - SUM;
    page[at..].copy_from_slice(&sum);
}

/// Whether a page has its sum.
pub(crate) fn is_sound(page: &[u8]) -> bool {
    page[page.len() - SUM..] == sum(page)
}

/// Whether a write of this length can be one whole page.
pub(super) fn is_page(length: usize) -> bool {
    length >= PAGE_MIN && length.is_power_of_two()
}

/// What a database's first 100 bytes say: bytes of a page, where its pages have sums.
pub(crate) fn page_of(header: &[u8]) -> Option<usize> {
    if header.len() < 100 || !header.starts_with(b"SQLite format 3\0") || header[20] as usize != SUM {
        return None;
    }
    let page = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65536,
        n => n as usize,
    };
    is_page(page).then_some(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_that_of_the_checksum_vfs() {
        // By hand from its definition: s1 += word + s2, s2 += next word + s1.
        let mut page = vec![0u8; 512];
        page[0] = 1;
        page[4] = 2;
        let (mut s1, mut s2) = (1u32, 3u32);
        for _ in 1..63 {
            s1 = s1.wrapping_add(s2);
            s2 = s2.wrapping_add(s1);
        }
        let expected = [s1.to_le_bytes(), s2.to_le_bytes()].concat();
        assert_eq!(sum(&page).to_vec(), expected);
        assert!(!is_sound(&page));
        stamp(&mut page);
        assert!(is_sound(&page));
        for at in 0..512 {
            page[at] ^= 0x40;
            assert!(!is_sound(&page), "byte {at}");
            page[at] ^= 0x40;
        }
        assert!(is_sound(&[0; 4096]), "a page that was never written");
        let shifted: Vec<u8> = [7].into_iter().chain(page.iter().copied()).collect();
        assert!(is_sound(&shifted[1..]), "whatever its place in memory");
        assert_eq!(
            of_bytes(&page[..504]),
            (
                u32::from_le_bytes(page[504..508].try_into().unwrap()),
                u32::from_le_bytes(page[508..].try_into().unwrap())
            )
        );
    }

    #[test]
    fn only_a_file_with_eight_reserved_bytes_has_sums() {
        let mut header = [0u8; 100];
        header[..16].copy_from_slice(b"SQLite format 3\0");
        header[16] = 0x10;
        assert_eq!(page_of(&header), None);
        header[20] = 8;
        assert_eq!(page_of(&header), Some(4096));
        header[16..18].copy_from_slice(&[0, 1]);
        assert_eq!(page_of(&header), Some(65536));
        assert_eq!(page_of(&header[..50]), None);
    }
}
