//! Signed notes (C2SP signed-note) with the two kinds of signature that we make and check: the
//! log's Ed25519 and a witness's timestamped cosignature (C2SP tlog-cosignature). Signatures are
//! decided strictly, as those of records are.

use std::fmt;
use std::str::FromStr;

use canonry_record::encoding::{base64_padded, hex, unbase64_padded};
use canonry_record::hash::sha256;
use canonry_record::seal::{Signer, verify_strict};
use canonry_record::{SigningKey, VerifyingKey};
use canonry_schemas::limits::{NOTE_BYTES, NOTE_SIGNATURES};

/// What begins a line of a signature.
const DASH: &str = "\u{2014} ";

/// What kind of signature a key makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Over the text of the note; a log's.
    Log,
    /// Over a time and the text; a witness's.
    Witness,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Log => 1,
            Self::Witness => 4,
        }
    }
}

/// Why a note, a key or a signature is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not a note: its form, its size or its number of signatures.
    #[error("this is no signed note")]
    Malformed,
    /// A name that cannot stand in a note.
    #[error("a key's name is not empty and holds neither spaces nor a plus")]
    Name,
    /// Not `<name>+<8 hex digits>+<base64>` with a usable key that has this id.
    #[error("not a verifier key, <name>+<key id>+<base64>")]
    Key,
    /// A signature that says it is of a known key is not.
    #[error("a signature by a known key is wrong")]
    Signature,
    /// None of the known keys signed.
    #[error("none of the known keys signed this")]
    Unsigned,
}

impl NoteError {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "note-malformed",
            Self::Name => "note-key-name",
            Self::Key => "note-key",
            Self::Signature => "note-signature",
            Self::Unsigned => "note-unsigned",
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

fn note_key_id(name: &str, kind: Kind, public: &[u8; 32]) -> [u8; 4] {
    let mut bytes = name.as_bytes().to_vec();
    bytes.extend([b'\n', kind.byte()]);
    bytes.extend(public);
    let hash = sha256(&bytes).0;
    [hash[0], hash[1], hash[2], hash[3]]
}

/// A key that checks signatures: `<name>+<key id>+<base64 of kind and public key>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    kind: Kind,
    id: [u8; 4],
    key: VerifyingKey,
}

impl VerifierKey {
    /// A key under a name.
    ///
    /// # Errors
    /// [`NoteError::Name`]; [`NoteError::Key`] for one of small order or not canonical.
    pub fn new(name: &str, kind: Kind, key: VerifyingKey) -> Result<Self, NoteError> {
        if !is_name(name) {
            return Err(NoteError::Name);
        }
        let canonical = key.to_edwards().compress().to_bytes() == key.to_bytes();
        if key.is_weak() || !canonical {
            return Err(NoteError::Key);
        }
        let id = note_key_id(name, kind, key.as_bytes());
        Ok(Self { name: name.to_owned(), kind, id, key })
    }

    /// Whose it is; a log's is its origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What kind of signature it checks.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The 32 bytes of the public key.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// The moment of the signature, where it is a witness's; `None` where it is wrong.
    fn check(&self, text: &str, signature: &NoteSignature) -> Option<Option<u64>> {
        let (time, bytes) = match self.kind {
            Kind::Log => (None, signature.bytes.as_slice()),
            Kind::Witness => {
                let (time, rest) = signature.bytes.split_first_chunk::<8>()?;
                (Some(u64::from_be_bytes(*time)).filter(|t| i64::try_from(*t).is_ok()), rest)
            }
        };
        let message = match (self.kind, time) {
            (Kind::Log, _) => text.to_owned(),
            (Kind::Witness, time) => cosigned_message(time?, text),
        };
        let bytes: &[u8; 64] = bytes.try_into().ok()?;
        verify_strict(&self.key, message.as_bytes(), bytes).then_some(time)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![self.kind.byte()];
        bytes.extend(self.key.as_bytes());
        write!(f, "{}+{}+{}", self.name, hex(&self.id), base64_padded(&bytes))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let read = || {
            let mut parts = text.splitn(3, '+');
            let (name, _, key) = (parts.next()?, parts.next()?, parts.next()?);
            let bytes = unbase64_padded(key)?;
            let (kind, public) = bytes.split_first()?;
            let kind = [Kind::Log, Kind::Witness].into_iter().find(|k| k.byte() == *kind)?;
            let public = VerifyingKey::from_bytes(public.try_into().ok()?).ok()?;
            Self::new(name, kind, public).ok().filter(|key| key.to_string() == text)
        };
        read().ok_or(NoteError::Key)
    }
}

/// One line below a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    name: String,
    id: [u8; 4],
    bytes: Vec<u8>,
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.id.to_vec();
        bytes.extend(&self.bytes);
        write!(f, "{DASH}{} {}", self.name, base64_padded(&bytes))
    }
}

impl FromStr for NoteSignature {
    type Err = NoteError;

    fn from_str(line: &str) -> Result<Self, NoteError> {
        let read = || {
            let (name, text) = line.strip_prefix(DASH)?.split_once(' ')?;
            let bytes = unbase64_padded(text)?;
            let (id, bytes) = bytes.split_first_chunk::<4>()?;
            let fits = is_name(name) && !bytes.is_empty();
            fits.then(|| Self { name: name.to_owned(), id: *id, bytes: bytes.to_vec() })
        };
        read().ok_or(NoteError::Malformed)
    }
}

/// `cosignature/v1`, the time, and the text of the note.
fn cosigned_message(time: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

fn signature(name: &str, kind: Kind, key: &SigningKey, bytes: Vec<u8>) -> NoteSignature {
    let id = note_key_id(name, kind, key.verifying_key().as_bytes());
    NoteSignature { name: name.to_owned(), id, bytes }
}

/// Signs a note's text as a log of this name.
#[must_use]
pub fn sign(text: &str, name: &str, signer: &Signer) -> NoteSignature {
    let bytes = signer.sign_raw(text.as_bytes());
    signature(name, Kind::Log, &signer.key, bytes.to_vec())
}

/// Cosigns a note's text as a witness of this name at a moment, seconds since 1970.
#[must_use]
pub fn cosign(text: &str, name: &str, signer: &Signer, time: u64) -> NoteSignature {
    let mut bytes = time.to_be_bytes().to_vec();
    bytes.extend(signer.sign_raw(cosigned_message(time, text).as_bytes()));
    signature(name, Kind::Witness, &signer.key, bytes)
}

/// A text and who signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// A key whose signature stands under a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed<'k> {
    /// The key.
    pub key: &'k VerifierKey,
    /// When, seconds since 1970, where it is a witness's.
    pub time: Option<u64>,
}

impl Note {
    /// A text, which ends with a line break, under its first signature.
    #[must_use]
    pub fn new(text: String, signature: NoteSignature) -> Self {
        Self { text, signatures: vec![signature] }
    }

    /// What is signed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Adds a signature; one by the same name and key is replaced.
    pub fn add(&mut self, signature: NoteSignature) {
        self.signatures.retain(|s| (&s.name, s.id) != (&signature.name, signature.id));
        self.signatures.push(signature);
    }

    /// Who of these keys signed; the lines of others are ignored.
    ///
    /// # Errors
    /// [`NoteError::Signature`] where a line of one of the keys is wrong, [`NoteError::Unsigned`]
    /// where there is none.
    pub fn verify<'k>(&self, keys: &'k [VerifierKey]) -> Result<Vec<Signed<'k>>, NoteError> {
        let mut signed: Vec<Signed<'k>> = Vec::new();
        for key in keys {
            let own = |s: &&NoteSignature| s.name == key.name && s.id == key.id;
            for line in self.signatures.iter().filter(own) {
                let time = key.check(&self.text, line).ok_or(NoteError::Signature)?;
                if signed.iter().all(|s| s.key != key) {
                    signed.push(Signed { key, time });
                }
            }
        }
        if signed.is_empty() { Err(NoteError::Unsigned) } else { Ok(signed) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl FromStr for Note {
    type Err = NoteError;

    fn from_str(note: &str) -> Result<Self, NoteError> {
        let control = |c: char| c < ' ' && c != '\n';
        if note.len() > NOTE_BYTES || note.chars().any(control) {
            return Err(NoteError::Malformed);
        }
        let at = note.rfind("\n\n").ok_or(NoteError::Malformed)?;
        let (text, lines) = (&note[..=at], &note[at + 2..]);
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Malformed)?;
        let signatures =
            lines.split('\n').map(str::parse).collect::<Result<Vec<NoteSignature>, _>>()?;
        if signatures.len() > NOTE_SIGNATURES {
            return Err(NoteError::Malformed);
        }
        Ok(Self { text: text.to_owned(), signatures })
    }
}
