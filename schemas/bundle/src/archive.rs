//! The archive: POSIX ustar in one form only. A header follows from the name and the size; a
//! reader makes it anew and compares all 512 bytes, so no two readers can see different archives.
//! What the names mean is in [`crate::manifest`].

use std::io::{self, Read, Write};

use canonry_schemas::limits::BUNDLE_ENTRY_BYTES;

/// Headers and bodies fill blocks of this size.
const BLOCK: usize = 512;
/// Bytes of a name.
const NAME: usize = 100;
/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// Why an archive cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It ends before its end.
    #[error("the archive ends too early")]
    Truncated,
    /// A header, padding or end that this form does not have.
    #[error("the archive has another form: {0}")]
    Malformed(&'static str),
    /// The reader itself failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The one header of an entry; `None` where name or size do not fit.
#[must_use]
pub fn header(name: &str, bytes: u64) -> Option<[u8; BLOCK]> {
    let plain = (1..=NAME).contains(&name.len()) && name.bytes().all(|c| c.is_ascii_graphic());
    if !plain || bytes > BUNDLE_ENTRY_BYTES {
        return None;
    }
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000644\x000000000\x000000000\0");
    put(124, format!("{bytes:011o}\0").as_bytes());
    put(136, b"00000000000\0        0");
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Some(block)
}

fn padding(bytes: u64) -> usize {
    (BLOCK - (bytes % BLOCK as u64) as usize) % BLOCK
}

/// Writes an archive.
pub struct Writer<W> {
    to: W,
}

impl<W: Write> Writer<W> {
    /// Into this.
    pub const fn new(to: W) -> Self {
        Self { to }
    }

    /// Adds an entry, whose body has exactly as many bytes as it is said to have.
    ///
    /// # Errors
    /// The writer or reader fails, the name or size does not fit, or the body has another length.
    pub fn add(&mut self, name: &str, bytes: u64, body: impl Read) -> io::Result<()> {
        let wrong =
            |why: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{name}: {why}"));
        let header = header(name, bytes).ok_or_else(|| wrong("does not fit into the archive"))?;
        self.to.write_all(&header)?;
        if io::copy(&mut body.take(bytes.saturating_add(1)), &mut self.to)? != bytes {
            return Err(wrong("has another length than was said"));
        }
        self.to.write_all(&[0; BLOCK][..padding(bytes)])
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// The writer fails.
    pub fn end(mut self) -> io::Result<W> {
        self.to.write_all(&[0; 2 * BLOCK])?;
        self.to.flush()?;
        Ok(self.to)
    }
}

/// What stands next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, as it stands there.
    pub name: String,
    /// The bytes of its body.
    pub bytes: u64,
}

/// Reads an archive, entry by entry.
pub struct Reader<R> {
    from: R,
    /// What is left of the body that stands next.
    left: Option<u64>,
}

impl<R: Read> Reader<R> {
    /// From this.
    pub const fn new(from: R) -> Self {
        Self { from, left: None }
    }

    fn block(&mut self) -> Result<[u8; BLOCK], ArchiveError> {
        let mut block = [0; BLOCK];
        self.fill(&mut block)?;
        Ok(block)
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), ArchiveError> {
        self.from.read_exact(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ArchiveError::Truncated,
            _ => ArchiveError::Io(error),
        })
    }

    /// The next entry, whose body must be read before the one after it; `None` at the end, behind
    /// which nothing stands.
    ///
    /// # Errors
    /// The archive is cut, or has another form than this.
    pub fn entry(&mut self) -> Result<Option<Entry>, ArchiveError> {
        if self.left.is_some() {
            return Err(ArchiveError::Malformed("a body was not read"));
        }
        let block = self.block()?;
        if block == [0; BLOCK] {
            return self.end().map(|()| None);
        }
        let name = block[..NAME].split(|byte| *byte == 0).next().unwrap_or_default();
        let name = std::str::from_utf8(name).map_err(|_| ArchiveError::Malformed("a name"))?;
        let digits = std::str::from_utf8(&block[124..135]).ok();
        let bytes = digits.filter(|d| d.bytes().all(|c| (b'0'..=b'7').contains(&c)));
        let bytes = bytes.and_then(|digits| u64::from_str_radix(digits, 8).ok());
        let bytes = bytes.ok_or(ArchiveError::Malformed("a size"))?;
        if header(name, bytes) != Some(block) {
            return Err(ArchiveError::Malformed("a header"));
        }
        self.left = Some(bytes);
        Ok(Some(Entry { name: name.to_owned(), bytes }))
    }

    fn end(&mut self) -> Result<(), ArchiveError> {
        if self.block()? != [0; BLOCK] {
            return Err(ArchiveError::Malformed("its end"));
        }
        match self.from.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(ArchiveError::Malformed("something behind its end")),
            Err(error) => Err(error.into()),
        }
    }

    /// The body of the entry that [`Self::entry`] answered, piece by piece.
    ///
    /// # Errors
    /// The archive is cut, or the padding is not zeros.
    pub fn body(&mut self, mut each: impl FnMut(&[u8])) -> Result<(), ArchiveError> {
        let bytes = self.left.take().unwrap_or_default();
        let (mut left, mut piece) = (bytes, vec![0; PIECE.min(bytes as usize)]);
        while left > 0 {
            let count = left.min(PIECE as u64) as usize;
            self.fill(&mut piece[..count])?;
            each(&piece[..count]);
            left -= count as u64;
        }
        let mut rest = [0; BLOCK];
        let rest = &mut rest[..padding(bytes)];
        self.fill(rest)?;
        if rest.iter().any(|byte| *byte != 0) {
            return Err(ArchiveError::Malformed("padding"));
        }
        Ok(())
    }
}
