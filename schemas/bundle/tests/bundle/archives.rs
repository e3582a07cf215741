//! The archive alone: what other programs read, and each form that is refused.

use std::io::Write as _;
use std::process::{Command, Stdio};

use canonry_bundle::archive::{ArchiveError, Reader, Writer, header};
use canonry_schemas::limits::BUNDLE_ENTRY_BYTES;

fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (name, body) in entries {
        writer.add(name, body.len() as u64, *body).unwrap();
    }
    writer.end().unwrap()
}

fn read(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, ArchiveError> {
    let (mut reader, mut entries) = (Reader::new(bytes), Vec::new());
    while let Some(entry) = reader.entry()? {
        let mut body = Vec::new();
        reader.body(|piece| body.extend_from_slice(piece))?;
        entries.push((entry.name, body));
    }
    Ok(entries)
}

#[test]
fn what_is_written_is_read_back_by_us_and_by_tar() {
    let long = vec![7; 70_000];
    let entries: [(&str, &[u8]); 3] = [("a", b""), ("b/c", &[1; 512]), ("d.jsonl", &long)];
    let bytes = archive(&entries);
    let found = read(&bytes).unwrap();
    let same = |(name, body): &(&str, &[u8])| ((*name).to_owned(), body.to_vec());
    assert_eq!(found, entries.iter().map(same).collect::<Vec<_>>());

    let code = "import sys, tarfile, io\n\
        t = tarfile.open(fileobj=io.BytesIO(sys.stdin.buffer.read()))\n\
        print([(m.name, m.size, m.isreg()) for m in t])";
    let mut python = Command::new("python3");
    let python = python.args(["-c", code]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = python.spawn().unwrap();
    python.stdin.take().unwrap().write_all(&bytes).unwrap();
    let output = python.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.trim(), "[('a', 0, True), ('b/c', 512, True), ('d.jsonl', 70000, True)]");
}

#[test]
fn any_other_form_is_refused() {
    let good = archive(&[("a", b"xyz")]);
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    // A link, another owner, a wrong sum, a name behind the name, bad padding, a bad end.
    for (at, byte) in [(156, b'2'), (115, b'1'), (150, b'7'), (2, b'x'), (600, 1), (1_600, 1)] {
        assert!(matches!(read(&with(at, byte)), Err(ArchiveError::Malformed(_))), "byte {at}");
    }
    let more = [&good[..], b"x"].concat();
    assert!(matches!(read(&more), Err(ArchiveError::Malformed(_))));
    assert!(matches!(read(&good[..good.len() - 1]), Err(ArchiveError::Truncated)));
    let large = header("a", BUNDLE_ENTRY_BYTES).unwrap();
    assert!(matches!(read(&large), Err(ArchiveError::Truncated)), "and no memory is taken for it");
    for name in ["", "a b", "ä", &"x".repeat(101)] {
        assert_eq!(header(name, 0), None, "{name}");
    }
    assert_eq!(header("a", BUNDLE_ENTRY_BYTES + 1), None);
}

#[test]
fn a_body_is_as_long_as_it_is_said_to_be() {
    for bytes in [2, 4] {
        assert!(Writer::new(Vec::new()).add("a", bytes, b"xyz".as_slice()).is_err());
    }
}
