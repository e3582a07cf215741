//! Reading the parts that queries and schemas share: tokens, values, types, directives.

use serde_json::json;

use super::{Json, Object, node, put};
use crate::limits;

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Mark(&'static str),
    Name(String),
    Int(String),
    Float(String),
    Text(String),
    Block(String),
    End,
}

const MARKS: [&str; 14] = ["...", "!", "$", "&", "(", ")", ":", "=", "@", "[", "]", "{", "}", "|"];

/// What is left to read.
pub(super) struct Reader {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Reader {
    pub(super) fn new(text: &str) -> Result<Self, String> {
        Ok(Self { tokens: tokens(text)?, at: 0, depth: 0 })
    }

    pub(super) fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }

    pub(super) fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    pub(super) fn unexpected<T>(&self) -> Result<T, String> {
        Err(format!("Unexpected {:?} in GraphQL string", self.peek()))
    }

    pub(super) fn is(&self, mark: &str) -> bool {
        matches!(self.peek(), Token::Mark(m) if *m == mark)
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Name(name) if name == word)
    }

    pub(super) fn skip(&mut self, mark: &str) -> bool {
        let is = self.is(mark);
        self.at += usize::from(is);
        is
    }

    pub(super) fn skip_word(&mut self, word: &str) -> bool {
        let is = self.is_word(word);
        self.at += usize::from(is);
        is
    }

    pub(super) fn expect(&mut self, mark: &str) -> Result<(), String> {
        if self.skip(mark) { Ok(()) } else { self.unexpected() }
    }

    pub(super) fn name(&mut self) -> Result<String, String> {
        match self.next() {
            Token::Name(name) => Ok(name),
            other => Err(format!("Expected Name, found {other:?} in GraphQL string")),
        }
    }

    /// At least one, between two marks.
    pub(super) fn some(
        &mut self,
        (open, close): (&str, &str),
        mut each: impl FnMut(&mut Self) -> Result<Json, String>,
    ) -> Result<Vec<Json>, String> {
        self.expect(open)?;
        self.deeper()?;
        let mut all = Vec::new();
        while !self.skip(close) {
            all.push(each(self)?);
        }
        self.depth -= 1;
        if all.is_empty() { Err("expected at least one definition".to_owned()) } else { Ok(all) }
    }

    /// As [`Self::some`], or nothing at all.
    pub(super) fn perhaps(
        &mut self,
        marks: (&str, &str),
        each: impl FnMut(&mut Self) -> Result<Json, String>,
    ) -> Result<Vec<Json>, String> {
        if self.is(marks.0) { self.some(marks, each) } else { Ok(Vec::new()) }
    }

    pub(super) fn deeper(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > limits::NESTING { Err("nested too deep".to_owned()) } else { Ok(()) }
    }

    pub(super) fn directives(&mut self, constant: bool) -> Result<Vec<Json>, String> {
        let mut all = Vec::new();
        while self.skip("@") {
            let mut one = node(&[("Name", self.name()?.into()), ("Location", "".into())]);
            put(&mut one, "Arguments", self.arguments(constant)?);
            all.push(Json::Object(one));
        }
        Ok(all)
    }

    pub(super) fn arguments(&mut self, constant: bool) -> Result<Vec<Json>, String> {
        self.perhaps(("(", ")"), |r| r.named_value(constant))
    }

    fn named_value(&mut self, constant: bool) -> Result<Json, String> {
        let name = self.name()?;
        self.expect(":")?;
        Ok(json!({"Name": name, "Value": self.value(constant)?}))
    }

    pub(super) fn value(&mut self, constant: bool) -> Result<Json, String> {
        if self.skip("[") {
            self.deeper()?;
            let mut all = Vec::new();
            while !self.skip("]") {
                all.push(json!({"Name": "", "Value": self.value(constant)?}));
            }
            self.depth -= 1;
            return Ok(value(8, String::new(), all));
        }
        if self.skip("{") {
            self.deeper()?;
            let mut all = Vec::new();
            while !self.skip("}") {
                all.push(self.named_value(constant)?);
            }
            self.depth -= 1;
            return Ok(value(9, String::new(), all));
        }
        if self.is("$") && constant {
            return self.unexpected();
        }
        if self.skip("$") {
            return Ok(value(0, self.name()?, Vec::new()));
        }
        let (kind, raw) = match self.peek().clone() {
            Token::Int(raw) => (1, raw),
            Token::Float(raw) => (2, raw),
            Token::Text(raw) => (3, raw),
            Token::Block(raw) => (4, raw),
            Token::Name(raw) if raw == "true" || raw == "false" => (5, raw),
            Token::Name(raw) if raw == "null" => (6, raw),
            Token::Name(raw) => (7, raw),
            _ => return self.unexpected(),
        };
        self.at += 1;
        Ok(value(kind, raw, Vec::new()))
    }

    pub(super) fn kind(&mut self) -> Result<Json, String> {
        let mut one = if self.skip("[") {
            self.deeper()?;
            let inner = self.kind()?;
            self.expect("]")?;
            self.depth -= 1;
            node(&[("NamedType", "".into()), ("Elem", inner)])
        } else {
            node(&[("NamedType", self.name()?.into())])
        };
        one.insert("NonNull".to_owned(), self.skip("!").into());
        Ok(Json::Object(one))
    }

    /// ` = value`, where it is there.
    pub(super) fn default(&mut self, one: &mut Object) -> Result<(), String> {
        if self.skip("=") {
            let value = self.value(true)?;
            one.insert("DefaultValue".to_owned(), value);
        }
        Ok(())
    }
}

fn value(kind: u8, raw: String, children: Vec<Json>) -> Json {
    let mut one = node(&[
        ("Kind", kind.into()),
        ("Raw", raw.into()),
        ("ExpectedTypeHasDefault", false.into()),
    ]);
    put(&mut one, "Children", children);
    Json::Object(one)
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut all = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\n', '\r', ',', '\u{feff}']);
        let Some(first) = rest.chars().next() else { break };
        if first == '#' {
            rest = rest.get(rest.find(['\n', '\r']).unwrap_or(rest.len())..).unwrap_or_default();
            continue;
        }
        let (token, long) = if let Some(mark) = MARKS.iter().find(|m| rest.starts_with(**m)) {
            (Token::Mark(mark), mark.len())
        } else if rest.starts_with("\"\"\"") {
            block(rest)?
        } else if first == '"' {
            quoted(rest)?
        } else if first == '_' || first.is_ascii_alphabetic() {
            let long = rest.bytes().take_while(|b| *b == b'_' || b.is_ascii_alphanumeric()).count();
            (Token::Name(rest[..long].to_owned()), long)
        } else if first == '-' || first.is_ascii_digit() {
            number(rest)?
        } else {
            return Err(format!("Unexpected <Invalid> {first:?} in GraphQL string"));
        };
        all.push(token);
        rest = rest.get(long..).unwrap_or_default();
    }
    Ok(all)
}

fn number(text: &str) -> Result<(Token, usize), String> {
    let digits = |from: usize| {
        text.get(from..).unwrap_or_default().bytes().take_while(u8::is_ascii_digit).count()
    };
    let sign = usize::from(text.starts_with('-'));
    let whole = digits(sign);
    let wrong = || Err("Invalid number in GraphQL string".to_owned());
    if whole == 0 || (whole > 1 && text.as_bytes().get(sign) == Some(&b'0')) {
        return wrong();
    }
    let mut long = sign + whole;
    let mut float = false;
    if text.as_bytes().get(long) == Some(&b'.') {
        let more = digits(long + 1);
        if more == 0 {
            return wrong();
        }
        (long, float) = (long + 1 + more, true);
    }
    if matches!(text.as_bytes().get(long), Some(b'e' | b'E')) {
        let signed = usize::from(matches!(text.as_bytes().get(long + 1), Some(b'+' | b'-')));
        let more = digits(long + 1 + signed);
        if more == 0 {
            return wrong();
        }
        (long, float) = (long + 1 + signed + more, true);
    }
    let raw = text.get(..long).unwrap_or_default().to_owned();
    Ok((if float { Token::Float(raw) } else { Token::Int(raw) }, long))
}

fn quoted(text: &str) -> Result<(Token, usize), String> {
    let mut long = 1;
    let bytes = text.as_bytes();
    loop {
        match bytes.get(long) {
            Some(b'"') => break,
            Some(b'\\') => long += 2,
            None | Some(b'\n' | b'\r') => {
                return Err("Unterminated string in GraphQL string".to_owned());
            }
            Some(_) => long += 1,
        }
    }
    // The escapes are those of JSON.
    let whole = text.get(..=long).unwrap_or_default().replace('\t', "\\t");
    let read = serde_json::from_str(&whole).map_err(|e| format!("Invalid string: {e}"))?;
    Ok((Token::Text(read), long + 1))
}

fn block(text: &str) -> Result<(Token, usize), String> {
    let mut long = 3;
    loop {
        let rest = text.get(long..).unwrap_or_default();
        if rest.starts_with("\"\"\"") {
            break;
        }
        let next = rest.chars().next().ok_or("Unexpected <Invalid> in GraphQL string")?;
        long += if rest.starts_with("\\\"\"\"") { 4 } else { next.len_utf8() };
    }
    let raw = text.get(3..long).unwrap_or_default().replace("\\\"\"\"", "\"\"\"");
    let raw = raw.replace("\r\n", "\n").replace('\r', "\n");
    let blank = |line: &&str| line.trim_matches([' ', '\t']).is_empty();
    let lines: Vec<&str> = raw.split('\n').collect();
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let common = lines.iter().skip(1).filter(|l| !blank(l)).map(|l| indent(l)).min().unwrap_or(0);
    let cut = |(number, line): (usize, &&str)| {
        if number == 0 { *line } else { line.get(common..).unwrap_or_default() }.to_owned()
    };
    let lines: Vec<String> = lines.iter().enumerate().map(cut).collect();
    let first = lines.iter().position(|l| !blank(&&**l)).unwrap_or(lines.len());
    let last = lines.iter().rposition(|l| !blank(&&**l)).map_or(first, |l| l + 1);
    Ok((Token::Block(lines.get(first..last).unwrap_or_default().join("\n")), long + 3))
}
