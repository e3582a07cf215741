//! `regex.globs_match`: whether some text, not empty, matches both of two patterns.
//!
//! A pattern is of characters, `.` for any, sets (`[a-z0-9]`), and `*` and `+` behind one of them; a
//! backslash makes a character plain. It is an automaton of as many states as it has elements, so
//! two of them are walked together through at most the product of their states.

use std::collections::BTreeSet;

use regorus::Value;

use super::{Answer, Builtin, text_of};
use crate::limits;

pub(super) const ALL: &[Builtin] = &[("regex.globs_match", 2, globs_match)];

/// The characters that an element takes: ranges of them.
type Characters = Vec<(char, char)>;

/// An element of a pattern.
struct Element {
    characters: Characters,
    /// Any number of them, or none.
    many: bool,
}

fn wrong(text: &str, at: usize, what: &str) -> String {
    format!("input:{text}, pos:{at}, {what}: the input provided is invalid")
}

fn elements(text: &str) -> Result<Vec<Element>, String> {
    let mut all: Vec<Element> = Vec::new();
    let mut letters = text.chars().enumerate().peekable();
    while let Some((at, letter)) = letters.next() {
        let characters = match letter {
            '.' => vec![('\0', char::MAX)],
            '\\' => {
                let (_, plain) =
                    letters.next().ok_or_else(|| wrong(text, at, "escape of nothing"))?;
                vec![(plain, plain)]
            }
            '[' => {
                let mut set = Vec::new();
                loop {
                    match letters.next() {
                        None => return Err(wrong(text, at, "set-open '[' with no ']'")),
                        Some((_, ']')) => break,
                        Some((_, first)) => set.push(range(text, first, &mut letters)?),
                    }
                }
                set
            }
            ']' => return Err(wrong(text, at, "set-close ']' with no preceding '['")),
            '*' | '+' => return Err(wrong(text, at, "flag with nothing before it")),
            plain => vec![(plain, plain)],
        };
        let flag = letters.next_if(|(_, next)| matches!(next, '*' | '+'));
        if matches!(flag, Some((_, '+'))) {
            all.push(Element { characters: characters.clone(), many: false });
        }
        all.push(Element { characters, many: flag.is_some() });
    }
    Ok(all)
}

/// A character of a set, or a range that begins with it.
fn range(
    text: &str,
    first: char,
    letters: &mut std::iter::Peekable<impl Iterator<Item = (usize, char)>>,
) -> Result<(char, char), String> {
    let plain = |letter: char, letters: &mut dyn Iterator<Item = (usize, char)>| match letter {
        '\\' => letters.next().map(|(_, l)| l).ok_or_else(|| wrong(text, 0, "escape of nothing")),
        letter => Ok(letter),
    };
    let first = plain(first, letters)?;
    if letters.next_if(|(_, next)| *next == '-').is_none() {
        return Ok((first, first));
    }
    match letters.next() {
        Some((at, ']')) => Err(wrong(text, at, "range '-' without an end")),
        Some((at, last)) => {
            let last = plain(last, letters)?;
            if first > last {
                Err(wrong(text, at, "range out of order"))
            } else {
                Ok((first, last))
            }
        }
        None => Err(wrong(text, 0, "set-open '[' with no ']'")),
    }
}

fn overlap(one: &Characters, other: &Characters) -> bool {
    one.iter().any(|(a, b)| other.iter().any(|(c, d)| a <= d && c <= b))
}

fn globs_match(given: &[Value]) -> Answer {
    let [one, other] = given else { return Err("two operands".to_owned()) };
    let (one, other) = (elements(text_of(one)?)?, elements(text_of(other)?)?);
    if one.len().saturating_mul(other.len()) > limits::PAIRS {
        return Err("patterns longer than may be compared".to_owned());
    }
    // A state is a place in each pattern, and whether a character was taken on the way.
    let (mut seen, mut left) = (BTreeSet::new(), vec![(0, 0, false)]);
    while let Some((at, other_at, taken)) = left.pop() {
        if !seen.insert((at, other_at, taken)) {
            continue;
        }
        let (a, b) = (one.get(at), other.get(other_at));
        if a.is_none() && b.is_none() && taken {
            return Ok(Value::from(true));
        }
        if a.is_some_and(|e| e.many) {
            left.push((at + 1, other_at, taken));
        }
        if b.is_some_and(|e| e.many) {
            left.push((at, other_at + 1, taken));
        }
        let (Some(a), Some(b)) = (a, b) else { continue };
        if overlap(&a.characters, &b.characters) {
            left.push((at + usize::from(!a.many), other_at + usize::from(!b.many), true));
        }
    }
    Ok(Value::from(false))
}
