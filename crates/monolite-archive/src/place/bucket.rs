//! A bucket of S3, or of anything that speaks as it does, as a place.
//!
//! Requests run on two threads of their own for the process; what calls waits for them, with a bound.
//!
//! **Invariants**
//! - Up to a part's size, a name is given once, by the bucket itself (`If-None-Match`). What needs parts is looked for before
//!   and after: two writers of one history are told apart by their claims, which are small.
//! - A put that ends in no answer is `OutcomeUnknown`; one that finds its own bytes there has succeeded before.
//! - One part is in memory, and one on its way.
//!
//! Never here: keys from anywhere but the configuration and the environment.

use super::{Entry, Place, Upload, check_name};
use crate::layout::Layout;
use crate::{Error, Kind, Result, moment};
use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, ClientOptions, GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode,
    PutMultipartOptions, PutOptions, RetryConfig,
};
use std::fmt;
use std::future::Future;
use std::io::Write;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::Runtime;

/// Threads for the requests of all buckets.
const THREADS: usize = 2;
/// What is smaller goes in one request. S3 wants at least 5 MiB.
const PART_BYTES: usize = 8 << 20;
/// Parts of one size; then they double, so that S3's 10,000 parts suffice for 2 TB.
const PARTS_OF_A_SIZE: usize = 1_000;
/// How often they double.
const DOUBLINGS_MAX: usize = 5;
/// The longest that a small request, with its retries, is waited for.
const SMALL_WAIT: Duration = Duration::from_secs(60);
/// The longest that a part is waited for.
const PART_WAIT: Duration = Duration::from_secs(900);
/// The longest that a connection is tried for.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// How often a request is tried again.
const RETRIES_MAX: usize = 5;
/// The moment of a segment, where Litestream looks for it: it becomes `x-amz-meta-litestream-timestamp`.
const MOMENT: &str = "litestream-timestamp";

/// Which bucket, and how it is reached. What is left out comes from `AWS_…` in the environment.
#[derive(Clone, Default)]
pub struct BucketConfig {
    /// The bucket's name.
    pub bucket: String,
    /// What all names begin with; may be empty.
    pub prefix: String,
    /// The region; `us-east-1` if nobody says.
    pub region: Option<String>,
    /// The address of a server that is not Amazon's. With `http:` nothing is encrypted on the way.
    pub endpoint: Option<String>,
    /// The id of the access key.
    pub access_key: Option<String>,
    /// The access key.
    pub secret_key: Option<String>,
    /// The token that belongs to a key for some hours.
    pub session_token: Option<String>,
}

impl fmt::Debug for BucketConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

/// A bucket.
#[derive(Debug)]
pub struct Bucket {
    store: Arc<AmazonS3>,
    config: BucketConfig,
}

impl Bucket {
    /// Prepares a bucket. Nothing is asked of it yet.
    pub fn open(config: BucketConfig) -> Result<Self> {
        // Another part of the program may have chosen its provider before: that one is used then.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = ClientOptions::new().with_timeout(PART_WAIT).with_connect_timeout(CONNECT_WAIT);
        let retry = RetryConfig { max_retries: RETRIES_MAX, retry_timeout: SMALL_WAIT / 2, ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(&config.bucket)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_retry(retry);
        let plain = config.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        builder = builder.with_client_options(client.with_allow_http(plain));
        if let Some(region) = &config.region {
            builder = builder.with_region(region);
        }
        if let (Some(id), Some(key)) = (&config.access_key, &config.secret_key) {
            builder = builder.with_access_key_id(id).with_secret_access_key(key);
            if let Some(token) = &config.session_token {
                builder = builder.with_token(token);
            }
        }
        let store = builder.build().map_err(|e| Error::new(Kind::Invalid, format!("{config:?}: {e}")))?;
        Ok(Bucket { store: Arc::new(store), config })
    }

    fn path(&self, name: &str) -> Result<Path> {
        check_name(name)?;
        self.folder(name)
    }

    fn folder(&self, name: &str) -> Result<Path> {
        let whole = [self.config.prefix.trim_matches('/'), name].join("/");
        Path::parse(whole.trim_matches('/')).map_err(|e| Error::invalid(format!("{name:?}: {e}")))
    }

    fn failed(&self, name: &str, e: object_store::Error) -> Error {
        failed(&self.config, name, e, Kind::Unreachable)
    }

    fn listed(&self, folder: &str) -> Result<object_store::ListResult> {
        let (store, path) = (Arc::clone(&self.store), self.folder(folder)?);
        let listed = wait(SMALL_WAIT, async move { store.list_with_delimiter(Some(&path)).await })?;
        listed.map_err(|e| self.failed(folder, e))
    }
}

impl Place for Bucket {
    fn describe(&self) -> String {
        format!("{:?}", self.config)
    }

    fn layout(&self) -> Layout {
        Layout::Bucket
    }

    fn create(&self, name: &str) -> Result<Box<dyn Upload>> {
        Ok(Box::new(Parts {
            store: Arc::clone(&self.store),
            config: self.config.clone(),
            path: self.path(name)?,
            buffer: Vec::new(),
            sent: 0,
            upload: None,
            on_its_way: None,
        }))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let (store, path, body) = (Arc::clone(&self.store), self.path(name)?, bytes.to_vec());
        let put = wait(SMALL_WAIT, async move { store.put(&path, body.into()).await });
        let put = put.map_err(|e| Error::new(Kind::OutcomeUnknown, format!("{name}: {e}")))?;
        put.map(drop).map_err(|e| failed(&self.config, name, e, Kind::OutcomeUnknown))
    }

    fn read(&self, name: &str, from: u64, most: usize, to: &mut Vec<u8>) -> Result<()> {
        let (store, path) = (Arc::clone(&self.store), self.path(name)?);
        let read = async move {
            let range = Some(GetRange::Bounded(from..from.saturating_add(most as u64)));
            match store.get_opts(&path, GetOptions { range, ..GetOptions::default() }).await {
                Ok(got) => got.bytes().await,
                Err(e @ object_store::Error::NotFound { .. }) => Err(e),
                // A range behind the end is an error there, and nothing here.
                Err(e) => match store.head(&path).await {
                    Ok(head) if head.size <= from => Ok(bytes::Bytes::new()),
                    _ => Err(e),
                },
            }
        };
        let bytes = wait(PART_WAIT, read)?.map_err(|e| self.failed(name, e))?;
        to.extend_from_slice(&bytes[..bytes.len().min(most)]);
        Ok(())
    }

    fn list(&self, folder: &str) -> Result<Vec<Entry>> {
        let entry = |object: object_store::ObjectMeta| {
            let name = object.location.filename()?.to_owned();
            Some(Entry { name, bytes: object.size, created_ms: object.last_modified.timestamp_millis() })
        };
        let mut entries: Vec<Entry> = self.listed(folder)?.objects.into_iter().filter_map(entry).collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn folders(&self, folder: &str) -> Result<Vec<String>> {
        let prefixes = self.listed(folder)?.common_prefixes;
        let mut names: Vec<String> = prefixes.iter().filter_map(|p| p.filename().map(str::to_owned)).collect();
        names.sort();
        Ok(names)
    }

    fn delete(&self, name: &str) -> Result<()> {
        let (store, path) = (Arc::clone(&self.store), self.path(name)?);
        match wait(SMALL_WAIT, async move { store.delete(&path).await })? {
            Err(e) if !matches!(e, object_store::Error::NotFound { .. }) => Err(self.failed(name, e)),
            _ => Ok(()),
        }
    }
}

type Sent = Receiver<object_store::Result<()>>;

/// Something that is being put: whole if it stays small, else in parts.
struct Parts {
    store: Arc<AmazonS3>,
    config: BucketConfig,
    path: Path,
    buffer: Vec<u8>,
    sent: usize,
    upload: Option<Box<dyn MultipartUpload>>,
    on_its_way: Option<Sent>,
}

impl Parts {
    fn part_bytes(&self) -> usize {
        PART_BYTES << (self.sent / PARTS_OF_A_SIZE).min(DOUBLINGS_MAX)
    }

    fn failed(&self, e: object_store::Error) -> Error {
        failed(&self.config, self.path.as_ref(), e, Kind::OutcomeUnknown)
    }

    fn attributes(created_ms: i64) -> Attributes {
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::Metadata(MOMENT.into()), moment::text(created_ms).into());
        attributes
    }

    /// Waits for the part before, then lets this one go.
    fn send(&mut self) -> Result<()> {
        self.arrived()?;
        if self.upload.is_none() {
            self.refuse_if_there()?;
            let (store, path) = (Arc::clone(&self.store), self.path.clone());
            // The moment is not known before the end, and S3 wants it at the beginning: the header in the first part has it.
            let header = self.buffer.starts_with(b"LTX1").then(|| self.buffer.get(32..40)).flatten();
            let created_ms = header.and_then(|b| b.try_into().ok()).map_or(0, i64::from_be_bytes);
            let options = PutMultipartOptions { attributes: Self::attributes(created_ms), ..Default::default() };
            let upload = wait(SMALL_WAIT, async move { store.put_multipart_opts(&path, options).await })?;
            self.upload = Some(upload.map_err(|e| self.failed(e))?);
        }
        let part = std::mem::take(&mut self.buffer);
        let upload = self.upload.as_mut().expect("it was begun above");
        let sending = upload.put_part(part.into());
        self.on_its_way = Some(spawn(sending));
        self.sent += 1;
        Ok(())
    }

    fn arrived(&mut self) -> Result<()> {
        match self.on_its_way.take() {
            Some(sent) => received(&sent, PART_WAIT)?.map_err(|e| self.failed(e)),
            None => Ok(()),
        }
    }

    fn refuse_if_there(&self) -> Result<()> {
        let (store, path) = (Arc::clone(&self.store), self.path.clone());
        match wait(SMALL_WAIT, async move { store.head(&path).await })? {
            Ok(_) => Err(Error::new(Kind::Exists, format!("{} is in {:?} already", self.path, self.config))),
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(failed(&self.config, self.path.as_ref(), e, Kind::Unreachable)),
        }
    }

    fn put_whole(&mut self, created_ms: i64) -> Result<()> {
        let body = bytes::Bytes::from(std::mem::take(&mut self.buffer));
        let (store, path, sent) = (Arc::clone(&self.store), self.path.clone(), body.clone());
        let put = async move {
            let options =
                PutOptions { mode: PutMode::Create, attributes: Self::attributes(created_ms), ..Default::default() };
            match store.put_opts(&path, sent.clone().into(), options).await {
                // The answer to an earlier try of ours may have been lost.
                Err(e @ (object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. })) => {
                    let there = store.get(&path).await?.bytes().await?;
                    if there == sent { Ok(()) } else { Err(e) }
                }
                other => other.map(drop),
            }
        };
        let unknown = |e: Error| Error::new(Kind::OutcomeUnknown, format!("{}: {e}", self.path));
        wait(SMALL_WAIT, put).map_err(unknown)?.map_err(|e| self.failed(e))
    }
}

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = bytes.len().min(self.part_bytes() - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..n]);
        if self.buffer.len() == self.part_bytes() {
            self.send()?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Upload for Parts {
    fn finish(mut self: Box<Self>, created_ms: i64) -> Result<()> {
        if self.upload.is_none() {
            return self.put_whole(created_ms);
        }
        if !self.buffer.is_empty() {
            self.send()?;
        }
        self.arrived()?;
        self.refuse_if_there()?;
        let mut upload = self.upload.take().expect("it was begun");
        let done = wait(PART_WAIT, async move { upload.complete().await });
        done.map_err(|e| Error::new(Kind::OutcomeUnknown, format!("{}: {e}", self.path)))?
            .map(drop)
            .map_err(|e| self.failed(e))
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        if let Some(mut upload) = self.upload.take() {
            // What is not removed here, the bucket's own rule for unfinished uploads has to remove.
            drop(spawn(async move { upload.abort().await }));
        }
    }
}

fn failed(config: &BucketConfig, name: &str, e: object_store::Error, otherwise: Kind) -> Error {
    use object_store::Error as E;
    if e.to_string().contains("NoSuchBucket") {
        let text = format!("there is no bucket {}: make it, or name one that is there", config.bucket);
        return Error::new(Kind::Unreachable, text);
    }
    let kind = match e {
        E::NotFound { .. } => Kind::Missing,
        E::AlreadyExists { .. } | E::Precondition { .. } => Kind::Exists,
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => Kind::Denied,
        E::InvalidPath { .. } | E::NotSupported { .. } | E::NotImplemented { .. } => Kind::Invalid,
        _ => otherwise,
    };
    Error::from_place(kind, format!("{name} in {config:?}"), e)
}

fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let built = builder.worker_threads(THREADS).thread_name("archive-s3").enable_all().build();
    let runtime = built.map_err(|e| Error::io("threads for requests to buckets", e))?;
    Ok(RUNTIME.get_or_init(|| runtime))
}

/// Lets a request go.
fn spawn<T: Send + 'static>(request: impl Future<Output = T> + Send + 'static) -> Receiver<T> {
    let (answer, answered) = mpsc::sync_channel(1);
    if let Ok(runtime) = runtime() {
        runtime.spawn(async move {
            let _ = answer.send(request.await); // who waited may have gone
        });
    }
    answered
}

/// Lets a request go and waits for its end, without a runtime of the caller's.
fn wait<T: Send + 'static>(most: Duration, request: impl Future<Output = T> + Send + 'static) -> Result<T> {
    runtime()?;
    received(&spawn(async move { tokio::time::timeout(most, request).await }), most * 2)?
        .map_err(|_| Error::new(Kind::Unreachable, format!("no answer in {} s", most.as_secs())))
}

fn received<T>(answered: &Receiver<T>, most: Duration) -> Result<T> {
    answered.recv_timeout(most).map_err(|_| Error::new(Kind::Unreachable, format!("no answer in {} s", most.as_secs())))
}
