//! SHA-256 and SHA-384, bare and as HMAC.

use std::fmt;

use dimpl::crypto::{Buf, HashContext, HashProvider, HmacProvider};
use dimpl::{CryptoError, CryptoOperation, HashAlgorithm};
use ring::{digest, hmac};

use super::told;

#[derive(Debug)]
pub(super) struct Hashes;

impl HashProvider for Hashes {
    /// Only hashes of the suites on offer are asked for.
    fn create_hash(&self, algorithm: HashAlgorithm) -> Box<dyn HashContext> {
        let algorithm = if algorithm == HashAlgorithm::SHA384 { &digest::SHA384 } else { &digest::SHA256 };
        Box::new(Context(digest::Context::new(algorithm)))
    }
}

struct Context(digest::Context);

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").finish_non_exhaustive()
    }
}

impl HashContext for Context {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn clone_and_finalize(&self, out: &mut Buf) {
        out.clear();
        out.extend_from_slice(self.0.clone().finish().as_ref());
    }
}

#[derive(Debug)]
pub(super) struct Hmacs;

impl HmacProvider for Hmacs {
    fn hmac(&self, hash: HashAlgorithm, key: &[u8], data: &[u8], out: &mut [u8]) -> Result<usize, CryptoError> {
        let algorithm = match hash {
            HashAlgorithm::SHA256 => hmac::HMAC_SHA256,
            HashAlgorithm::SHA384 => hmac::HMAC_SHA384,
            other => return Err(CryptoError::UnsupportedHmacHash(other)),
        };
        let failed = CryptoError::OperationFailed(CryptoOperation::ComputeHmac);
        if let Some(cookie) = told::cookie(key, data).filter(|_| hash == HashAlgorithm::SHA256) {
            out.get_mut(..cookie.len()).ok_or(failed)?.copy_from_slice(&cookie);
            return Ok(cookie.len());
        }
        let tag = hmac::sign(&hmac::Key::new(algorithm, key), data);
        out.get_mut(..tag.as_ref().len()).ok_or(failed)?.copy_from_slice(tag.as_ref());
        Ok(tag.as_ref().len())
    }
}
