//! A place that fails when it is told to, for tests of what stands on places.

use super::{Entry, Place, Upload};
use crate::layout::Layout;
use crate::{Error, Result};
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// What is about to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Something new begins.
    Create,
    /// Bytes of something new are written.
    Write,
    /// Something new gets its name.
    Finish,
    /// It has got its name, and the answer is on its way.
    Finished,
    /// Something small is replaced.
    Put,
    /// A range is read.
    Read,
    /// A folder is listed.
    List,
    /// Something is removed.
    Delete,
}

type Judge = Box<dyn FnMut(Step, &str) -> Option<Error> + Send>;

/// Another place, of which each step may fail.
pub struct Faulty {
    inner: Arc<dyn Place>,
    judge: Arc<Mutex<Judge>>,
}

impl Faulty {
    /// `judge` is asked before each step with the name, and says which error it ends with, if any.
    pub fn new(inner: Arc<dyn Place>, judge: impl FnMut(Step, &str) -> Option<Error> + Send + 'static) -> Self {
        Faulty { inner, judge: Arc::new(Mutex::new(Box::new(judge))) }
    }

    fn ask(&self, step: Step, name: &str) -> Result<()> {
        ask(&self.judge, step, name)
    }
}

fn ask(judge: &Mutex<Judge>, step: Step, name: &str) -> Result<()> {
    let mut judge = judge.lock().unwrap_or_else(PoisonError::into_inner);
    judge(step, name).map_or(Ok(()), Err)
}

impl std::fmt::Debug for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Faulty({:?})", self.inner)
    }
}

impl Place for Faulty {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn layout(&self) -> Layout {
        self.inner.layout()
    }

    fn create(&self, name: &str) -> Result<Box<dyn Upload>> {
        self.ask(Step::Create, name)?;
        let inner = self.inner.create(name)?;
        Ok(Box::new(FaultyUpload { inner, judge: Arc::clone(&self.judge), name: name.to_owned() }))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.ask(Step::Put, name)?;
        self.inner.put(name, bytes)
    }

    fn read(&self, name: &str, from: u64, most: usize, to: &mut Vec<u8>) -> Result<()> {
        self.ask(Step::Read, name)?;
        self.inner.read(name, from, most, to)
    }

    fn list(&self, folder: &str) -> Result<Vec<Entry>> {
        self.ask(Step::List, folder)?;
        self.inner.list(folder)
    }

    fn folders(&self, folder: &str) -> Result<Vec<String>> {
        self.ask(Step::List, folder)?;
        self.inner.folders(folder)
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.ask(Step::Delete, name)?;
        self.inner.delete(name)
    }
}

struct FaultyUpload {
    inner: Box<dyn Upload>,
    judge: Arc<Mutex<Judge>>,
    name: String,
}

impl Write for FaultyUpload {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        ask(&self.judge, Step::Write, &self.name)?;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

impl Upload for FaultyUpload {
    fn finish(self: Box<Self>, created_ms: i64) -> Result<()> {
        ask(&self.judge, Step::Finish, &self.name)?;
        self.inner.finish(created_ms)?;
        ask(&self.judge, Step::Finished, &self.name)
    }
}
