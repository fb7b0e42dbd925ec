//! An ext4 on a loop device that can be shut down as a power cut would.
//!
//! Unsafe code: one ioctl.

#![allow(unsafe_code)]

use crate::process::now;
use anyhow::{Context, Result, bail, ensure};
use std::ffi::OsStr;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::park_timeout;
use std::time::{Duration, Instant};

/// Bytes of the file system.
const BYTES: u64 = 48 << 20;
/// `EXT4_IOC_SHUTDOWN`, `_IOR('X', 125, __u32)` in ext4.h.
const SHUTDOWN: libc::c_ulong = 0x8004_587D;
/// `EXT4_GOING_FLAGS_NOLOGFLUSH`: what is in the journal's memory is lost.
static NO_LOG_FLUSH: u32 = 2;

/// How long others may hold a file system that was unmounted here.
const RELEASED_MAX: Duration = Duration::from_secs(60);
/// How often is looked whether they still do.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// A mounted file system on a loop device of its own.
pub(super) struct Cuttable {
    device: PathBuf,
    folder: PathBuf,
    mounted: bool,
    _place: tempfile::TempDir, // goes last
}

/// Why this system cannot do it, if it cannot.
pub(super) fn forbidden() -> Option<String> {
    // SAFETY: it asks for a number and changes nothing.
    if unsafe { libc::geteuid() } != 0 {
        return Some("mounting needs root".to_owned());
    }
    match Cuttable::new(&std::env::temp_dir()).and_then(|mut c| c.cut().and_then(|_| c.mount_again())) {
        Ok(()) => None,
        Err(e) => Some(format!("{e:#}")),
    }
}

impl Cuttable {
    pub(super) fn new(within: &Path) -> Result<Cuttable> {
        let place = tempfile::Builder::new().prefix("cut-").tempdir_in(within)?;
        let image = place.path().join("image");
        File::create(&image)?.set_len(BYTES)?;
        run("mkfs.ext4", [OsStr::new("-q"), OsStr::new("-F"), image.as_os_str()])?;
        let device = run("losetup", [OsStr::new("--find"), OsStr::new("--show"), image.as_os_str()])?;
        let folder = place.path().join("mount");
        std::fs::create_dir(&folder)?;
        let mut this = Cuttable { device: PathBuf::from(device.trim()), folder, mounted: false, _place: place };
        this.mount()?;
        Ok(this)
    }

    /// Where it is mounted.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The power goes; answers the moment before which it was surely there.
    pub(super) fn cut(&mut self) -> Result<u64> {
        let folder = File::open(self.folder())?;
        let began = now();
        // SAFETY: the descriptor is open, and the ioctl reads one u32 from the pointer, which outlives the call.
        let code = unsafe { libc::ioctl(folder.as_raw_fd(), SHUTDOWN, &raw const NO_LOG_FLUSH) };
        ensure!(code == 0, "EXT4_IOC_SHUTDOWN: {}", std::io::Error::last_os_error());
        Ok(began)
    }

    /// And comes back; nobody may hold a file of it.
    pub(super) fn mount_again(&mut self) -> Result<()> {
        self.unmount()?;
        self.mount()
    }

    fn mount(&mut self) -> Result<()> {
        run("mount", [OsStr::new("-t"), OsStr::new("ext4"), self.device.as_os_str(), self.folder().as_os_str()])?;
        self.mounted = true;
        Ok(())
    }

    fn unmount(&mut self) -> Result<()> {
        run("umount", [self.folder().as_os_str()])?;
        self.mounted = false;
        self.released()
    }

    /// A process in a mount namespace of its own may still have the file system that we have unmounted, and a mount would then bring
    /// the one back that has no power. While anybody has it, the kernel gives the device to nobody else.
    fn released(&self) -> Result<()> {
        let end = Instant::now() + RELEASED_MAX;
        loop {
            match File::options().read(true).custom_flags(libc::O_EXCL).open(&self.device) {
                Ok(_) => return Ok(()),
                Err(e) if e.kind() == ErrorKind::ResourceBusy && Instant::now() < end => park_timeout(LOOK_AGAIN),
                Err(e) => {
                    return Err(e).with_context(|| format!("{} is still mounted somewhere", self.device.display()));
                }
            }
        }
    }
}

impl Drop for Cuttable {
    fn drop(&mut self) {
        if self.mounted && self.unmount().is_err() {
            // Somebody holds a file: it goes with the last of them.
            let _ = run("umount", [OsStr::new("--lazy"), self.folder().as_os_str()]);
        }
        if let Err(e) = run("losetup", [OsStr::new("--detach"), self.device.as_os_str()]) {
            eprintln!("{} is left attached: {e:#}", self.device.display());
        }
    }
}

fn run<'a>(program: &str, arguments: impl IntoIterator<Item = &'a OsStr>) -> Result<String> {
    let done = Command::new(program).args(arguments).output().with_context(|| format!("{program} cannot be run"))?;
    if !done.status.success() {
        bail!("{program}: {}", String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}
