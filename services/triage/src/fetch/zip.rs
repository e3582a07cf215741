//! Just enough of zip to take the one CSV file out of UCI's archive: the central directory, and
//! members that are stored or deflated. No zip64, no encryption, no names on disk. It need not
//! be clever, because what comes out is checked by its SHA-256.
//!
//! Layout by the PKWARE application note: local headers with data, central directory, end.

use std::io::{Read, Seek, SeekFrom, Take};

use flate2::read::DeflateDecoder;

use super::error::{Error, ErrorKind};
use crate::limits::{MAX_ARCHIVE_ENTRIES, MAX_LOG_BYTES};

/// The first bytes of an archive: a local header.
pub(super) const MAGIC: [u8; 4] = *b"PK\x03\x04";
const DIRECTORY: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";

const LOCAL_LEN: usize = 30;
const DIRECTORY_LEN: usize = 46;
const END_LEN: usize = 22;

/// A member's bytes as they come out.
pub(super) enum Member<R: Read> {
    Stored(Take<R>),
    Deflated(Box<DeflateDecoder<Take<R>>>),
}

impl<R: Read> Read for Member<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Stored(bytes) => bytes.read(buffer),
            Self::Deflated(bytes) => bytes.read(buffer),
        }
    }
}

/// The only member of an archive whose name ends in `.csv`, resource forks of macOS left aside.
pub(super) fn csv_member<R: Read + Seek>(mut archive: R) -> Result<Member<R>, Error> {
    let (entries, directory) = end(&mut archive)?;
    seek(&mut archive, SeekFrom::Start(directory))?;
    let mut found = None;
    for _ in 0..entries {
        let header: [u8; DIRECTORY_LEN] = take(&mut archive)?;
        if header[..4] != DIRECTORY {
            return Err(bad("no directory entry where one should be"));
        }
        let mut name = vec![0; usize::from(u16_at(&header, 28))];
        archive.read_exact(&mut name).map_err(damaged)?;
        let skip = i64::from(u16_at(&header, 30)) + i64::from(u16_at(&header, 32));
        seek(&mut archive, SeekFrom::Current(skip))?;
        let csv = name.to_ascii_lowercase().ends_with(b".csv") && !name.starts_with(b"__MACOSX/");
        if csv && found.replace(header).is_some() {
            return Err(bad("more than one CSV file"));
        }
    }
    open(archive, &found.ok_or_else(|| bad("no CSV file"))?)
}

/// The number of entries and the place of the directory, from the record at the end.
fn end<R: Read + Seek>(archive: &mut R) -> Result<(usize, u64), Error> {
    let len = seek(archive, SeekFrom::End(0))?;
    let tail = len.min(END_LEN as u64 + u64::from(u16::MAX)); // a comment may follow the record
    seek(archive, SeekFrom::Start(len - tail))?;
    let mut bytes = Vec::new();
    archive.read_to_end(&mut bytes).map_err(damaged)?;
    let record = bytes.windows(END_LEN).rev().find(|window| window[..4] == END);
    let record = record.ok_or_else(|| bad("no end record"))?;
    let entries = usize::from(u16_at(record, 10));
    if entries > MAX_ARCHIVE_ENTRIES {
        return Err(bad("too many entries"));
    }
    Ok((entries, u64::from(u32_at(record, 16))))
}

fn open<R: Read + Seek>(mut archive: R, entry: &[u8; DIRECTORY_LEN]) -> Result<Member<R>, Error> {
    let (flags, method) = (u16_at(entry, 8), u16_at(entry, 10));
    let (packed, raw) = (u64::from(u32_at(entry, 20)), u64::from(u32_at(entry, 24)));
    if flags & 1 != 0 {
        return Err(bad("the CSV file is encrypted"));
    }
    if raw > MAX_LOG_BYTES {
        return Err(Error::new(ErrorKind::TooLarge(MAX_LOG_BYTES)));
    }
    seek(&mut archive, SeekFrom::Start(u64::from(u32_at(entry, 42))))?;
    let local: [u8; LOCAL_LEN] = take(&mut archive)?;
    if local[..4] != MAGIC {
        return Err(bad("no file where the directory says one is"));
    }
    let skip = i64::from(u16_at(&local, 26)) + i64::from(u16_at(&local, 28));
    seek(&mut archive, SeekFrom::Current(skip))?;
    let data = archive.take(packed);
    match method {
        0 => Ok(Member::Stored(data)),
        8 => Ok(Member::Deflated(Box::new(DeflateDecoder::new(data)))),
        _ => Err(bad("the CSV file is packed with an unknown method")),
    }
}

fn take<const LEN: usize>(archive: &mut impl Read) -> Result<[u8; LEN], Error> {
    let mut bytes = [0; LEN];
    archive.read_exact(&mut bytes).map_err(damaged)?;
    Ok(bytes)
}

fn seek(archive: &mut impl Seek, to: SeekFrom) -> Result<u64, Error> {
    archive.seek(to).map_err(damaged)
}

/// Little-endian; the offsets above lie inside the fixed part of their record.
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn bad(what: &'static str) -> Error {
    Error::new(ErrorKind::BadArchive(what))
}

fn damaged(cause: std::io::Error) -> Error {
    Error::because(ErrorKind::BadArchive("it ends too early"), cause)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// Made by Python's zipfile: a deflated `a.csv` ("a,b\n" times 100), a stored `note.txt`.
    const SMALL: &[u8] = include_bytes!("small.zip");

    fn csv(archive: &[u8]) -> Result<String, Error> {
        let mut text = String::new();
        csv_member(Cursor::new(archive.to_vec()))?.read_to_string(&mut text).map_err(damaged)?;
        Ok(text)
    }

    #[test]
    fn takes_the_csv_out() {
        assert_eq!(csv(SMALL).expect("whole"), "a,b\n".repeat(100));
    }

    #[test]
    fn a_shortened_or_damaged_archive_never_panics() {
        for len in 0..SMALL.len() {
            assert!(csv(&SMALL[..len]).is_err(), "{len}");
        }
        for at in 0..SMALL.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = SMALL.to_vec();
                damaged[at] ^= flip;
                let _ = csv(&damaged); // any answer will do, the hash decides
            }
        }
    }

    #[test]
    fn says_what_it_does_not_read() {
        let directory = SMALL.windows(4).position(|w| w == DIRECTORY).expect("has one");
        let with = |at: usize, byte: u8| {
            let mut archive = SMALL.to_vec();
            archive[directory + at] = byte;
            csv(&archive).expect_err("refused").kind
        };
        assert_eq!(with(8, 1), ErrorKind::BadArchive("the CSV file is encrypted"));
        let unknown = "the CSV file is packed with an unknown method";
        assert_eq!(with(10, 12), ErrorKind::BadArchive(unknown));
        let extension_gone = DIRECTORY_LEN + "a.cs".len();
        assert_eq!(with(extension_gone, b'x'), ErrorKind::BadArchive("no CSV file"));
        assert_eq!(with(27, 0xff), ErrorKind::TooLarge(MAX_LOG_BYTES));
        let end = SMALL.len() - END_LEN - directory;
        let one_over = u8::try_from(MAX_ARCHIVE_ENTRIES + 1).expect("small");
        assert_eq!(with(end + 10, one_over), ErrorKind::BadArchive("too many entries"));
    }
}
