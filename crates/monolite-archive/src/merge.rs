//! Several segments as one: page by page, the newest wins.
//!
//! Compaction, a base under what was captured since, and a restore are this. Each input is read once, from its
//! beginning to its end, so each is checked whole; the end of the merge is the word that all were sound.
//!
//! **Invariants**
//! - Memory is one range and one page an input; there are `INPUTS_MAX` at most.
//! - No page comes out that the file had cut off meanwhile: one that shrinks and grows again holds new pages, and they must be there.

use crate::ltx::{Decoder, Header, Stand, lock_page};
use crate::planted::planted;
use crate::{Error, Kind, Result};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::BufRead;

/// Inputs of one merge; more are merged in rounds.
pub const INPUTS_MAX: usize = 256;

/// Merges segments; see the head of this file.
pub struct Merge<R: BufRead> {
    /// Oldest first; none for one that had ended where this merge goes on from another.
    inputs: Vec<Option<Decoder<R>>>,
    /// The pages where each input stands, lowest page first, then the newest input.
    heap: BinaryHeap<(Reverse<u32>, usize)>,
    /// The smallest the file became after each input.
    floors: Vec<u32>,
    header: Header,
    /// The input of the page that was handed out last.
    current: Option<usize>,
    /// The page that has to come next, where all pages have to be there.
    next: u32,
}

impl<R: BufRead> Merge<R> {
    /// Merges segments that follow each other, oldest first.
    pub fn begin(inputs: Vec<Decoder<R>>) -> Result<Self> {
        let headers: Vec<Header> = inputs.iter().map(Decoder::header).collect();
        Self::of(inputs.into_iter().map(Some).collect(), &headers, None)
    }

    /// Goes on behind a page, where another merge of the same segments stood ([`Merge::stands`]): each input goes on there, and one
    /// that had ended is none.
    pub fn resume(inputs: Vec<Option<Decoder<R>>>, headers: &[Header], page: u32) -> Result<Self> {
        Self::of(inputs, headers, Some(page + 1))
    }

    fn of(inputs: Vec<Option<Decoder<R>>>, headers: &[Header], resumed: Option<u32>) -> Result<Self> {
        let (Some(first), Some(last)) = (headers.first(), headers.last()) else {
            return Err(Error::new(Kind::Invalid, "nothing to merge"));
        };
        if headers.len() > INPUTS_MAX || inputs.len() != headers.len() {
            return Err(Error::new(Kind::Invalid, format!("{} segments at once", inputs.len())));
        }
        let mut header = Header { first: first.first, ..*last };
        if planted!("merge_takes_the_first_moment") {
            header.at_ms = first.at_ms;
        }
        for pair in headers.windows(2) {
            follows(&pair[0], &pair[1])?;
        }
        let mut floors = vec![u32::MAX; inputs.len()];
        for at in (1..inputs.len()).rev() {
            floors[at - 1] = floors[at].min(headers[at].pages);
        }
        // Without a base, what lies below the smallest size may be in an older segment.
        let whole = if header.is_base() { 1 } else { floors[0].min(first.pages).saturating_add(1) };
        let next = resumed.map_or(whole, |page| page.max(whole));
        let heap = BinaryHeap::with_capacity(inputs.len());
        let mut merge = Merge { inputs, heap, floors, header, current: None, next };
        for at in 0..merge.inputs.len() {
            merge.advance(at)?;
        }
        Ok(merge)
    }

    /// What the merged segment holds.
    pub fn header(&self) -> Header {
        self.header
    }

    /// Bytes read from all inputs so far.
    pub fn bytes(&self) -> u64 {
        self.inputs.iter().flatten().map(Decoder::bytes).sum()
    }

    /// The next page, ascending, whose bytes are then in [`Merge::page`]; `None` once all inputs were read and are sound.
    #[expect(clippy::should_implement_trait, reason = "an iterator could not lend the page")]
    pub fn next(&mut self) -> Result<Option<u32>> {
        if let Some(at) = self.current.take() {
            self.advance(at)?;
        }
        loop {
            let Some((Reverse(number), mut at)) = self.heap.pop() else {
                self.expect_up_to(self.header.pages)?;
                return Ok(None);
            };
            // The same page of older segments.
            while let Some((Reverse(same), older)) = self.heap.peek().copied()
                && same == number
            {
                self.heap.pop();
                let loser = if planted!("merge_keeps_the_older") { std::mem::replace(&mut at, older) } else { older };
                self.advance(loser)?;
            }
            if number > self.header.pages && !planted!("merge_goes_past_the_end") {
                self.advance(at)?; // cut off by a later commit
                continue;
            }
            self.expect_up_to(number - 1)?;
            if number > self.floors[at] && !planted!("missing_pages_unnoticed") {
                return Err(missing(number));
            }
            self.next = self.next.max(number + 1);
            self.current = Some(at);
            return Ok(Some(number));
        }
    }

    /// Where each input stands behind the page that was handed out last; none for one that has ended.
    pub fn stands(&self) -> Vec<Option<Stand>> {
        let stand = |(at, input): (usize, &Option<Decoder<R>>)| {
            let input = input.as_ref()?;
            if Some(at) == self.current { input.after() } else { input.before() }
        };
        self.inputs.iter().enumerate().map(stand).collect()
    }

    /// The bytes of the page that [`Merge::next`] named.
    pub fn page(&self) -> &[u8] {
        self.inputs[self.current.expect("a page was named")].as_ref().expect("it gave that page").page()
    }

    fn advance(&mut self, at: usize) -> Result<()> {
        let Some(input) = &mut self.inputs[at] else { return Ok(()) };
        let (first, last) = (input.header().first, input.header().last);
        let next = input.next().map_err(|e| e.within(format!("the segment of commits {first} to {last}")))?;
        self.heap.extend(next.map(|number| (Reverse(number), at)));
        Ok(())
    }

    /// All pages up to this one have come, where they have to.
    fn expect_up_to(&mut self, number: u32) -> Result<()> {
        if self.next == lock_page(self.header.page_size) {
            self.next += 1;
        }
        if self.next <= number && !planted!("missing_pages_unnoticed") {
            return Err(missing(self.next));
        }
        Ok(())
    }
}

fn missing(number: u32) -> Error {
    let text = format!("page {number} is in none of the segments that should have it: one was captured without it");
    Error::new(Kind::Damaged, text)
}

fn follows(one: &Header, next: &Header) -> Result<()> {
    if one.page_size != next.page_size {
        let text = format!("segments of page sizes {} and {} are of different files", one.page_size, next.page_size);
        return Err(Error::new(Kind::Damaged, text));
    }
    if next.first <= one.last + 1 && one.last < next.last {
        return Ok(());
    }
    let text = format!("commits {} to {} do not go on from {} to {}", next.first, next.last, one.first, one.last);
    Err(Error::new(Kind::Gap, text))
}
