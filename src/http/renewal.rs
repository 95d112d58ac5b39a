//! Something made of certificate files, and made again when they have changed on disk.
//! In: TLS settings, a way to make it.  Out: the one to use now.  Owns: the one made last.

use std::sync::{Mutex, PoisonError};

use tracing::{info, warn};

use crate::http::chain;
use crate::http::credential::Look;
use crate::http::tls;

/// A client or a TLS configuration that follows its certificates.
#[derive(Debug)]
pub(super) struct Renewed<T>(Mutex<Current<T>>);

#[derive(Debug)]
struct Current<T> {
    made: T,
    /// How the files looked when they were read.
    seen: Vec<Look>,
    /// How they looked when they could not be used, so that it is said once.
    unusable: Option<Vec<Look>>,
}

impl<T: Clone> Renewed<T> {
    /// Makes the first one.
    pub(super) fn new<E>(tls: &tls::Settings, make: impl FnOnce() -> Result<T, E>) -> Result<Renewed<T>, E> {
        // Looked at before they are read: a change in between is seen the next time.
        let seen = look(tls);
        Ok(Renewed(Mutex::new(Current { made: make()?, seen, unusable: None })))
    }

    /// The one to use now. Certificates that cannot be used leave the one before in place: a renewal is seldom one step,
    /// and the next request looks again.
    pub(super) fn current<E: std::error::Error>(
        &self,
        tls: &tls::Settings,
        make: impl FnOnce() -> Result<T, E>,
    ) -> T {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = look(tls);
        if now != current.seen {
            match make() {
                Ok(made) => {
                    info!("certificates have changed on disk and are in use now");
                    *current = Current { made, seen: now, unusable: None };
                }
                Err(error) if current.unusable.as_ref() != Some(&now) => {
                    warn!(error = %chain(&error), "certificates have changed on disk and cannot be used, going on with those before");
                    current.unusable = Some(now);
                }
                Err(_) => {}
            }
        }
        current.made.clone()
    }
}

fn look(tls: &tls::Settings) -> Vec<Look> {
    tls.files().map(|file| Look::of(file)).collect()
}
