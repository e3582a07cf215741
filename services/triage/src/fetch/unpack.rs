//! From a body to the raw CSV: recognises zip and gzip by their first bytes, hashes and counts
//! what comes out, and writes it down.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::Path;

use super::error::{Error, ErrorKind};
use super::zip;
use crate::digest::Digest;
use crate::limits::MAX_LOG_BYTES;
use crate::metered::{self, Metered};

/// Unpacks `body` into `raw` and gives the SHA-256 of what was written.
pub(super) fn unpack(body: &Path, raw: &Path) -> Result<Digest, Error> {
    let mut packed = BufReader::new(File::open(body).map_err(cannot_write)?);
    let mut magic = Vec::new();
    Read::by_ref(&mut packed).take(4).read_to_end(&mut magic).map_err(cannot_write)?;
    packed.rewind().map_err(cannot_write)?;
    let bytes: metered::Raw = if magic == zip::MAGIC {
        Box::new(zip::csv_member(packed)?)
    } else {
        metered::unpacked(packed).map_err(cannot_write)?
    };
    let mut bytes = Metered::new(bytes, MAX_LOG_BYTES);
    let mut out = File::create(raw).map_err(cannot_write)?;
    drain(&mut bytes, &mut out)?;
    out.sync_all().map_err(cannot_write)?;
    Ok(bytes.digest())
}

/// The SHA-256 of a file as it is.
pub(super) fn hash(file: &Path) -> Result<Digest, Error> {
    let mut bytes = Metered::new(File::open(file).map_err(cannot_write)?, u64::MAX);
    drain(&mut bytes, &mut io::sink())?;
    Ok(bytes.digest())
}

/// Like `io::copy`, but tells a source that fails from a target that fails.
fn drain<R: Read>(bytes: &mut Metered<R>, out: &mut impl Write) -> Result<(), Error> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match bytes.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => out.write_all(&buffer[..count]).map_err(cannot_write)?,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if bytes.exceeded() => {
                return Err(Error::new(ErrorKind::TooLarge(MAX_LOG_BYTES)));
            }
            Err(cause) => {
                return Err(Error::because(ErrorKind::BadArchive("damaged data"), cause));
            }
        }
    }
}

fn cannot_write(cause: io::Error) -> Error {
    Error::because(ErrorKind::CannotWrite, cause)
}
