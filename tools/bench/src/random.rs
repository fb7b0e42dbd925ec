//! Random numbers with a seed (xorshift64*), so that a run can be repeated.

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// A stream of its own for each seed.
    pub(crate) fn new(seed: u64) -> Self {
        // One step of splitmix64: neighbouring seeds give streams that have nothing to do with each other.
        let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Random((z ^ (z >> 31)) | 1)
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn neighbouring_seeds_share_no_numbers() {
        let (mut a, mut b) = (Random::new(1), Random::new(2));
        let first: std::collections::HashSet<u64> = (0..1000).map(|_| a.next() % 1_000_000_007).collect();
        let same = (0..1000).filter(|_| first.contains(&(b.next() % 1_000_000_007))).count();
        assert!(same < 3, "{same} of 1000 numbers are the same");
    }
}
