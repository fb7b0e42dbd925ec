//! One history of one service within a place: its segments by level.
//!
//! **Invariants**
//! - A segment's name, level and header say the same; one that does not is refused when it is read.
//! - Where the line of writers is looked at, a segment of a writer that is not on it is refused when it is read.

use crate::claims::Writers;
use crate::layout::{Layout, Level, SegmentName, history_root};
use crate::ltx::{Decoder, Encoder, HEADER_BYTES, Header, Stand};
use crate::place::{Place, Reader, Upload};
use crate::{Error, Kind, Result};
use std::fmt;
use std::io::BufWriter;
use std::sync::Arc;

/// What a new segment is written through in pieces of: large enough for a disk, small enough for a thousand of them.
const WRITE_BYTES: usize = 256 << 10;

/// A segment that lies in the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Its level.
    pub level: Level,
    /// Its commits.
    pub name: SegmentName,
    /// Its size.
    pub bytes: u64,
    /// The moment of its last commit as the place keeps it; in a bucket when it was put.
    pub created_ms: i64,
}

impl From<&Header> for SegmentName {
    fn from(header: &Header) -> SegmentName {
        SegmentName { first: header.first, last: header.last }
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.level.number(), self.name)
    }
}

/// One history in a place. Cheap to clone.
#[derive(Debug, Clone)]
pub struct History {
    place: Arc<dyn Place>,
    root: String,
    /// Who wrote which commits, where that is looked at.
    writers: Option<Arc<Writers>>,
}

impl History {
    /// The history of a service; nothing is read or made.
    pub fn new(place: Arc<dyn Place>, service: &str, history: &str) -> Result<Self> {
        Ok(History { place, root: history_root(service, history)?, writers: None })
    }

    /// The same history, of which only segments of its own line of writers are read: what the claims say of that is asked for
    /// when it is needed, and then believed as long as this lives.
    #[must_use]
    pub(crate) fn in_line(&self) -> History {
        History { writers: Some(Arc::default()), ..self.clone() }
    }

    /// What the claims say is asked for again: of the line of this writer, or of the newest.
    pub(crate) fn forget_writers(&self, own: Option<u64>) {
        if let Some(writers) = &self.writers {
            writers.forget(own);
        }
    }

    /// Its place.
    pub fn place(&self) -> &Arc<dyn Place> {
        &self.place
    }

    /// Its root in the place: one replica of Litestream's.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Its id, the last part of its root.
    pub fn id(&self) -> &str {
        self.root.rsplit('/').next().unwrap_or_default()
    }

    /// A name below its root.
    pub fn name(&self, below: &str) -> String {
        format!("{}/{below}", self.root)
    }

    /// The name of a segment in the place.
    pub fn segment_name(&self, level: Level, name: SegmentName) -> String {
        let layout: Layout = self.place.layout();
        format!("{}/{}/{name}", self.root, layout.folder(level))
    }

    /// The segments of a level, sorted by first commit, then last.
    pub fn level(&self, level: Level) -> Result<Vec<Segment>> {
        let folder = self.name(&self.place.layout().folder(level));
        let entries = self.place.list(&folder)?;
        let segment = |entry: crate::Entry| {
            let name = SegmentName::parse(&entry.name)?;
            Some(Segment { level, name, bytes: entry.bytes, created_ms: entry.created_ms })
        };
        let mut segments: Vec<Segment> = entries.into_iter().filter_map(segment).collect();
        segments.sort_by_key(|segment| segment.name);
        Ok(segments)
    }

    /// The segment of a level that has this name.
    pub(crate) fn find(&self, level: Level, name: SegmentName) -> Result<Option<Segment>> {
        Ok(self.level(level)?.into_iter().find(|segment| segment.name == name))
    }

    /// All segments, level by level.
    pub fn segments(&self) -> Result<Vec<Segment>> {
        let mut all = Vec::new();
        // A merge puts the new one before it deletes the old: looking upwards misses none of both.
        for level in Level::all() {
            all.extend(self.level(level)?);
        }
        Ok(all)
    }

    /// Puts a segment that is whole in memory.
    pub fn put(&self, level: Level, header: &Header, bytes: &[u8]) -> Result<()> {
        self.place.put_new(&self.segment_name(level, header.into()), bytes, header.at_ms)
    }

    /// Begins a segment that is written page by page; [`Writing::finish`] gives it its name.
    pub fn write(&self, level: Level, header: Header) -> Result<Writing> {
        let name = self.segment_name(level, SegmentName::from(&header));
        let upload = self.place.create(&name)?;
        let encoder = Encoder::begin(BufWriter::with_capacity(WRITE_BYTES, upload), header)?;
        Ok(Writing { encoder, header, name })
    }

    /// Reads the header of a segment.
    pub fn header(&self, segment: &Segment) -> Result<Header> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        let name = self.segment_name(segment.level, segment.name);
        self.place.read(&name, 0, HEADER_BYTES, &mut bytes)?;
        let bytes = bytes.as_slice().try_into();
        let bytes = bytes.map_err(|_| Error::damaged(format!("{segment} is shorter than a header")))?;
        let header = Header::from_bytes(bytes).map_err(|e| e.within(segment))?;
        self.agrees(segment, &header)?;
        Ok(header)
    }

    /// Reads a segment from its beginning, in ranges of that many bytes.
    pub fn read(&self, segment: &Segment, range: usize) -> Result<Decoder<Reader>> {
        let name = self.segment_name(segment.level, segment.name);
        let reader = Reader::new(Arc::clone(&self.place), name, range);
        let decoder = Decoder::begin(reader).map_err(|e| e.within(segment))?;
        self.agrees(segment, &decoder.header())?;
        Ok(decoder)
    }

    /// Goes on reading a segment where another reader stood.
    pub(crate) fn resume(&self, segment: &Segment, range: usize, header: Header, stand: Stand) -> Decoder<Reader> {
        let name = self.segment_name(segment.level, segment.name);
        let reader = Reader::new(Arc::clone(&self.place), name, range).from(stand.offset);
        Decoder::resume(reader, header, stand)
    }

    /// Removes a segment.
    pub fn delete(&self, segment: &Segment) -> Result<()> {
        self.place.delete(&self.segment_name(segment.level, segment.name))
    }

    fn agrees(&self, segment: &Segment, header: &Header) -> Result<()> {
        let (first, last) = (header.first, header.last);
        if (first, last) != (segment.name.first, segment.name.last) {
            let text = format!("{segment} holds commits {first} to {last}: it was renamed or replaced");
            return Err(Error::new(Kind::Damaged, text));
        }
        let writer = self.writers.as_ref().map_or(Ok(None), |writers| writers.not_of(self, last, header.epoch))?;
        let Some(writer) = writer else { return Ok(()) };
        let text = format!(
            "{segment} is of writer {}, but commit {last} of this history is writer {writer}'s: two servers wrote copies of one \
             file, and this segment is of the one that was overtaken",
            header.epoch
        );
        Err(Error::new(Kind::Foreign, text))
    }
}

/// A segment on its way into a place.
pub struct Writing {
    encoder: Encoder<BufWriter<Box<dyn Upload>>>,
    header: Header,
    name: String,
}

impl Writing {
    /// Keeps a large index in a nameless file of this folder.
    #[must_use]
    pub fn spilling_to(mut self, folder: &std::path::Path) -> Self {
        self.encoder = self.encoder.spilling_to(folder);
        self
    }

    /// Writes a page; see [`Encoder::page`].
    pub fn page(&mut self, number: u32, bytes: &[u8]) -> Result<()> {
        self.encoder.page(number, bytes)
    }

    /// Makes it durable and gives it its name. Answers its size.
    pub fn finish(self) -> Result<u64> {
        let encoded = self.encoder.finish()?;
        let upload =
            encoded.to.into_inner().map_err(|e| Error::io(format!("writing {}", self.name), e.into_error()))?;
        upload.finish(self.header.at_ms)?;
        Ok(encoded.bytes)
    }
}
