//! Cursors: where the last page ended, opaque and checked.
