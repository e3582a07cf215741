//! Reading with a hash and a limit: every byte that passes is counted and hashed, and a file
//! that is packed with gzip is unpacked on the way. No knowledge of what the bytes mean.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

use crate::digest::Digest;

/// A reader of raw bytes, already unpacked.
pub(crate) type Raw = Box<dyn Read + Send>;

/// Opens a file and unpacks it when it starts as gzip does, whatever its name.
pub(crate) fn open(path: &Path) -> io::Result<Raw> {
    unpacked(BufReader::with_capacity(64 * 1024, File::open(path)?))
}

/// Unpacks gzip, passes everything else on as it is.
pub(crate) fn unpacked<R: BufRead + Send + 'static>(mut packed: R) -> io::Result<Raw> {
    if packed.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
        Ok(Box::new(MultiGzDecoder::new(packed)))
    } else {
        Ok(Box::new(packed))
    }
}

/// Counts and hashes what is read, and refuses to go beyond a limit.
pub(crate) struct Metered<R> {
    inner: R,
    hasher: Sha256,
    read: u64,
    limit: u64,
    exceeded: bool,
}

impl<R: Read> Metered<R> {
    pub(crate) fn new(inner: R, limit: u64) -> Self {
        Self { inner, hasher: Sha256::new(), read: 0, limit, exceeded: false }
    }

    /// Whether the limit stopped the reading.
    pub(crate) fn exceeded(&self) -> bool {
        self.exceeded
    }

    /// Bytes read so far.
    pub(crate) fn count(&self) -> u64 {
        self.read
    }

    /// The hash of everything read so far.
    pub(crate) fn digest(&self) -> Digest {
        Digest::new(self.hasher.clone().finalize().into())
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read += count as u64;
        if self.read > self.limit {
            self.exceeded = true;
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "over the size limit"));
        }
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    #[test]
    fn gzip_is_unpacked_and_counted_raw() {
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(b"abc").expect("to memory");
        let packed = packer.finish().expect("to memory");
        let raw = unpacked(io::Cursor::new(packed)).expect("opens");
        let mut metered = Metered::new(raw, 3);
        assert_eq!(io::read_to_string(&mut metered).expect("reads"), "abc");
        assert_eq!(
            metered.digest().to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn one_byte_over_the_limit_is_refused() {
        let mut metered = Metered::new(&b"abcd"[..], 3);
        assert!(io::read_to_string(&mut metered).is_err());
        assert!(metered.exceeded());
    }
}
