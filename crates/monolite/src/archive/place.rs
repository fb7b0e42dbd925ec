//! Where the configuration has the archive: a folder, a bucket, or nowhere; plain or sealed.
//!
//! **Invariants**
//! - Secrets are read from files that others may not read, or from the environment's usual names; the configuration has
//!   the files' names alone, and no text of ours has more.
//! - Opening a place to read it makes nothing there.

#[cfg(feature = "s3")]
use super::credentials::{self, Credentials};
use crate::config::{Config, ConfigError};
use crate::verb::Usage;
use anyhow::Context as _;
use monolite_archive::place::Folder;
#[cfg(feature = "s3")]
use monolite_archive::place::{Bucket, BucketConfig};
#[cfg(feature = "seal")]
use monolite_archive::place::{Key, Sealed};
use monolite_archive::{Kind, Place};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder of the archive in a data folder, where nothing else is configured.
pub(crate) const FOLDER: &str = "archive";

/// What the name of a bucket begins with.
const BUCKET: &str = "s3://";

/// Any of these in the environment is a way to keys. Without one nothing is asked for them over the network.
#[cfg(feature = "s3")]
const KEYS_OF_ENVIRONMENT: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

/// Where the archive is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Where {
    /// A folder.
    Folder(PathBuf),
    /// A bucket, and what all names in it begin with.
    Bucket(String, String),
    /// There is none.
    Nowhere,
}

impl Where {
    /// As configured, for a data folder.
    pub(crate) fn of(config: &Config, data: &Path) -> Self {
        match config.text("archive.to") {
            "" => Where::Folder(data.join(FOLDER)),
            "off" => Where::Nowhere,
            named => Where::named(named),
        }
    }

    /// A folder or a bucket that was named, else as configured.
    pub(crate) fn or(named: Option<PathBuf>, config: &Config, data: &Path) -> Self {
        let bucket = named.as_ref().and_then(|named| named.to_str()).filter(|text| text.starts_with(BUCKET));
        match (bucket, named.clone()) {
            (Some(bucket), _) => Where::named(bucket),
            (None, Some(folder)) => Where::Folder(folder),
            (None, None) => Where::of(config, data),
        }
    }

    fn named(text: &str) -> Self {
        match text.strip_prefix(BUCKET) {
            Some(rest) => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                Where::Bucket(bucket.to_owned(), prefix.trim_matches('/').to_owned())
            }
            None => Where::Folder(text.into()),
        }
    }

    /// The place, to archive into; none where nothing is archived. A folder is made where it is not there.
    pub(crate) fn to_write(&self, config: &Config) -> crate::Result<Option<Arc<dyn Place>>> {
        let place: Arc<dyn Place> = match self {
            Where::Nowhere => return Ok(None),
            Where::Bucket(bucket, prefix) => bucket_of(config, bucket, prefix)?,
            Where::Folder(folder) => {
                refuse_scheme(folder)?;
                let what = || format!("cannot archive into {}; archive.to names another place", folder.display());
                Arc::new(Folder::open(folder).and_then(Folder::held).with_context(what)?)
            }
        };
        sealed(config, place).map(Some)
    }

    /// The place, to read; a folder has to be there.
    pub(crate) fn to_read(&self, config: &Config) -> crate::Result<Arc<dyn Place>> {
        let place: Arc<dyn Place> = match self {
            Where::Nowhere => return Err(Usage("archive.to is \"off\": nothing is archived here".to_owned()).into()),
            Where::Bucket(bucket, prefix) => bucket_of(config, bucket, prefix)?,
            Where::Folder(folder) => Arc::new(Folder::existing(folder).map_err(|e| {
                if let Err(wrong) = refuse_scheme(folder) {
                    return wrong;
                }
                let what = if e.kind() == Kind::Missing { "there is no archive" } else { "cannot read the archive" };
                anyhow::Error::new(e).context(format!("{what} in {}", folder.display()))
            })?),
        };
        sealed(config, place)
    }
}

/// An address of another kind is no folder of that name.
fn refuse_scheme(folder: &Path) -> crate::Result {
    match folder.to_str() {
        Some(text) if text.contains("://") => {
            let text = format!("{text} is no place for an archive: that is a folder, or s3://BUCKET/PREFIX");
            Err(Usage(text).into())
        }
        _ => Ok(()),
    }
}

#[cfg(feature = "s3")]
fn bucket_of(config: &Config, bucket: &str, prefix: &str) -> crate::Result<Arc<dyn Place>> {
    if bucket.is_empty() {
        let origin = config.origin("archive.to");
        return Err(
            ConfigError(format!("{origin}: archive.to names no bucket: s3://BUCKET or s3://BUCKET/PREFIX")).into()
        );
    }
    let set = |key: &str| Some(config.text(key).to_owned()).filter(|text| !text.is_empty());
    // The environment's names are read here too: by this alone a plain address is allowed or not.
    let variable = |names: &[&str]| names.iter().find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
    let keys = match set("archive.credentials_file").as_deref() {
        None if variable(KEYS_OF_ENVIRONMENT).is_none() => {
            let text = "no keys for the bucket: set archive.credentials_file to a file that has them (or to \"role\", the machine's \
                        own role at Amazon), or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment";
            return Err(ConfigError(text.to_owned()).into());
        }
        None | Some("role") => Credentials::default(),
        Some(file) => credentials::read(Path::new(file))?,
    };
    let known = BucketConfig {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        region: set("archive.region").or_else(|| variable(&["AWS_REGION", "AWS_DEFAULT_REGION"])),
        endpoint: set("archive.endpoint").or_else(|| variable(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])),
        access_key: keys.access_key,
        secret_key: keys.secret_key,
        session_token: keys.session_token,
    };
    Ok(Arc::new(Bucket::open(known)?))
}

#[cfg(not(feature = "s3"))]
fn bucket_of(config: &Config, _: &str, _: &str) -> crate::Result<Arc<dyn Place>> {
    let origin = config.origin("archive.to");
    Err(ConfigError(format!("{origin}: archive.to is a bucket, and this program was built without the feature s3"))
        .into())
}

#[cfg(feature = "seal")]
fn sealed(config: &Config, place: Arc<dyn Place>) -> crate::Result<Arc<dyn Place>> {
    match config.text("archive.key_file") {
        "" => Ok(place),
        file => {
            let wrong = |e| ConfigError(format!("{}: archive.key_file: {e}", config.origin("archive.key_file")));
            Ok(Arc::new(Sealed::new(place, Key::read(Path::new(file)).map_err(wrong)?)))
        }
    }
}

#[cfg(not(feature = "seal"))]
fn sealed(config: &Config, place: Arc<dyn Place>) -> crate::Result<Arc<dyn Place>> {
    if config.text("archive.key_file").is_empty() {
        return Ok(place);
    }
    let origin = config.origin("archive.key_file");
    Err(ConfigError(format!("{origin}: archive.key_file is set, and this program was built without the feature seal"))
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;

    #[test]
    fn a_folder_is_told_from_a_bucket_and_from_nowhere() {
        let mut config = Config::new(crate::standard_keys::with(Vec::new()));
        let mut at = |text: &str| {
            config.set("archive.to", text, Origin::Default).unwrap();
            Where::of(&config, Path::new("/data"))
        };
        let bucket = |bucket: &str, prefix: &str| Where::Bucket(bucket.to_owned(), prefix.to_owned());
        assert_eq!(at(""), Where::Folder("/data/archive".into()));
        assert_eq!(at("off"), Where::Nowhere);
        assert_eq!(at("/mnt/x"), Where::Folder("/mnt/x".into()));
        assert_eq!(at("s3://b"), bucket("b", ""));
        assert_eq!(at("s3://b/some/where/"), bucket("b", "some/where"));
        assert_eq!(Where::or(Some("s3://c/d".into()), &config, Path::new("/data")), bucket("c", "d"));
        assert_eq!(Where::or(Some("d".into()), &config, Path::new("/data")), Where::Folder("d".into()));
    }

    #[test]
    fn an_address_of_another_kind_is_no_folder_of_that_name() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::new(crate::standard_keys::with(Vec::new()));
        let other = format!("{}/ftp://host/x", folder.path().display());
        config.set("archive.to", &other, Origin::Default).unwrap();
        let place = Where::of(&config, Path::new("/data"));
        for refused in [place.to_write(&config).map(drop), place.to_read(&config).map(drop)] {
            let refused = refused.unwrap_err();
            assert!(refused.is::<Usage>() && refused.to_string().contains("s3://BUCKET/PREFIX"), "{refused}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
