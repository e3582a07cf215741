//! A strict JSON scanner over text, which copies nothing: the same language as
//! [`canonry_schemas::json`] (a property test holds them together), fast enough that reading a
//! record costs little beside its signature.

use std::borrow::Cow;

use canonry_schemas::limits::{JSON_DEPTH, JSON_INTEGER};

/// Not strict JSON, at this byte.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not strict JSON at byte {at}: {what}")]
pub struct NotStrict {
    /// The byte.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// Keys of one object that are compared as they come; more are sorted.
const FEW_KEYS: usize = 32;

/// A place in a text.
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    const fn fail<T>(&self, what: &'static str) -> Result<T, NotStrict> {
        Err(NotStrict { at: self.at, what })
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), NotStrict> {
        self.space();
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            self.fail(what)
        }
    }

    /// Nothing but space is left.
    pub fn end(&mut self) -> Result<(), NotStrict> {
        self.space();
        if self.at == self.text.len() { Ok(()) } else { self.fail("more than one value") }
    }

    /// A string, borrowed unless it holds escapes.
    pub fn string(&mut self) -> Result<Cow<'a, str>, NotStrict> {
        self.expect(b'"', "expected a string")?;
        let start = self.at;
        let bytes = self.text.as_bytes();
        self.at += plain(&bytes[start..]);
        loop {
            match bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Borrowed(&self.text[start..self.at - 1]));
                }
                Some(b'\\') => break,
                Some(0x20..) => self.at += 1,
                _ => return self.fail("a string holds a control character or does not end"),
            }
        }
        // Escapes are rare: find the end, then let serde_json decide what they mean.
        while let Some(&byte) = bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.at += 1;
                    let quoted = &self.text[start - 1..self.at];
                    return serde_json::from_str::<String>(quoted)
                        .map(Cow::Owned)
                        .or_else(|_| self.fail("a string holds a wrong escape"));
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.fail("a string does not end")
    }

    fn integer(&mut self) -> Result<(), NotStrict> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let digits = self.at;
        let mut value: i64 = 0;
        while let Some(c @ b'0'..=b'9') = self.peek() {
            if self.at - digits >= 16 {
                return self.fail("integer beyond 2^53-1");
            }
            value = value * 10 + i64::from(c - b'0');
            self.at += 1;
        }
        let length = self.at - digits;
        let zero_first = self.text.as_bytes().get(digits) == Some(&b'0');
        if length == 0 || (zero_first && (length > 1 || start != digits)) {
            return self.fail("not an integer");
        }
        if matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            return self.fail("numbers are integers here: no fraction, no exponent");
        }
        if value > JSON_INTEGER { self.fail("integer beyond 2^53-1") } else { Ok(()) }
    }

    fn word(&mut self, word: &str) -> Result<(), NotStrict> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(())
        } else {
            self.fail("expected a value")
        }
    }

    /// Any value with `room` levels of nesting left.
    fn value(&mut self, room: usize) -> Result<(), NotStrict> {
        self.space();
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'{') => self.object(room, |_, scanner, room| scanner.value(room)),
            Some(b'[') => self.array(room),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => self.integer(),
        }
    }

    fn array(&mut self, room: usize) -> Result<(), NotStrict> {
        let Some(room) = room.checked_sub(1) else { return self.fail("nested too deep") };
        self.expect(b'[', "expected a list")?;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(room)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.fail("expected , or ]"),
            }
        }
    }

    fn object(
        &mut self,
        room: usize,
        mut member: impl FnMut(&Cow<'a, str>, &mut Self, usize) -> Result<(), NotStrict>,
    ) -> Result<(), NotStrict> {
        let Some(room) = room.checked_sub(1) else { return self.fail("nested too deep") };
        self.expect(b'{', "expected an object")?;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        let (mut keys, mut marks) = (Vec::<Cow<'a, str>>::with_capacity(8), 0);
        loop {
            let key = self.string()?;
            self.expect(b':', "expected :")?;
            member(&key, self, room)?;
            if keys.len() < FEW_KEYS {
                let bit = mark(&key);
                if marks & bit != 0 && keys.contains(&key) {
                    return self.fail("a key stands twice");
                }
                marks |= bit;
            }
            keys.push(key);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return if unique(keys) { Ok(()) } else { self.fail("a key stands twice") };
                }
                _ => return self.fail("expected , or }"),
            }
        }
    }
}

/// How many bytes from the start certainly need no care within a string, in steps of eight.
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const TOPS: u64 = ONES << 7;
    // The top bit of a byte is set where the byte is below `n`; bytes above 0x7f may set it too
    // when a lower one does, which only ends the fast way early.
    let below = |x: u64, n: u64| x.wrapping_sub(ONES * n) & !x & TOPS;
    let equals = |x: u64, c: u8| below(x ^ (ONES * u64::from(c)), 1);
    let mut at = 0;
    for eight in bytes.chunks_exact(8) {
        let x = u64::from_le_bytes([
            eight[0], eight[1], eight[2], eight[3], eight[4], eight[5], eight[6], eight[7],
        ]);
        if below(x, 0x20) | equals(x, b'"') | equals(x, b'\\') != 0 {
            break;
        }
        at += 8;
    }
    at
}

/// One bit for a key: two keys with different bits differ.
fn mark(key: &str) -> u128 {
    let key = key.as_bytes();
    let ends = key.first().map_or(0, |c| c.wrapping_mul(37)) ^ key.last().map_or(0, |c| c << 1);
    1 << ((ends ^ key.len() as u8) & 127)
}

/// Whether no key stands twice; the first few were compared as they came.
fn unique(mut keys: Vec<Cow<'_, str>>) -> bool {
    if keys.len() <= FEW_KEYS {
        return true;
    }
    keys.sort_unstable();
    keys.windows(2).all(|pair| pair[0] != pair[1])
}

/// One member of the outermost object.
pub enum Member<'a> {
    /// A string, with its meaning.
    Text(Cow<'a, str>),
    /// An object, with its bytes and whether each name asked for stands at its top.
    Object { raw: &'a str, named: bool },
    /// Anything else.
    Other,
}

/// Reads an object whole and hands over each of its members; `names` are looked for at the top of
/// members that are objects.
pub fn members<'a>(
    text: &'a str,
    names: &[&str],
    mut each: impl FnMut(&str, Member<'a>),
) -> Result<(), NotStrict> {
    let mut scanner = Scanner::new(text);
    scanner.space();
    scanner.object(JSON_DEPTH, |key, scanner, room| {
        scanner.space();
        let member = match scanner.peek() {
            Some(b'"') => Member::Text(scanner.string()?),
            Some(b'{') => {
                let (start, mut named) = (scanner.at, false);
                scanner.object(room, |key, scanner, room| {
                    named |= names.contains(&key.as_ref());
                    scanner.value(room)
                })?;
                Member::Object { raw: &text[start..scanner.at], named }
            }
            _ => {
                scanner.value(room)?;
                Member::Other
            }
        };
        each(key, member);
        Ok(())
    })?;
    scanner.end()
}

#[cfg(test)]
mod tests {
    use canonry_schemas::json;
    use proptest::prelude::*;

    use super::*;

    fn strict(text: &str) -> bool {
        let mut scanner = Scanner::new(text);
        scanner.value(JSON_DEPTH).and_then(|()| scanner.end()).is_ok()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn the_same_language_as_the_slow_reader(
            text in "([\\[\\]{},: ]|\"a\"|\"b\\\\u0061\"|\"\\\\ud800\"|\"\\\\n\"|0|-?[0-9]{1,17}|-0|1\\.0|1e1|true|null|\"a\":|\"\\\\u0061\":1,){0,12}"
        ) {
            prop_assert_eq!(strict(&text), json::parse(text.as_bytes()).is_ok(), "{}", text);
        }

        #[test]
        fn objects_are_read(
            pairs in prop::collection::vec(("\"[a-c]\"", "(1|\"x\"|\\{\"k\":1\\}|\\[1, 2\\]|-3|tru|01)"), 0..4)
        ) {
            let inner: Vec<_> = pairs.iter().map(|(k, v)| format!("{k} : {v}")).collect();
            let text = format!(" {{{}}}\n", inner.join(","));
            prop_assert_eq!(strict(&text), json::parse(text.as_bytes()).is_ok(), "{}", text);
        }
    }

    #[test]
    fn many_keys_and_deep_nesting() {
        let keys: Vec<_> = (0..40).map(|n| format!("\"k{n}\":{n}")).collect();
        assert!(strict(&format!("{{{}}}", keys.join(","))));
        assert!(!strict(&format!("{{{},\"k7\":0}}", keys.join(","))));
        for depth in [31, 32, 33] {
            let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            assert_eq!(strict(&text), depth <= 32, "{depth}");
            assert_eq!(json::parse(text.as_bytes()).is_ok(), depth <= 32, "{depth}");
        }
        assert!(!strict("{\"a\\u0062\":1,\"ab\":2}"));
    }
}
