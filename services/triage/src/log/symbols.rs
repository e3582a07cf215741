//! Interned values: the log repeats some 6,700 distinct codes in a few million cells, so an
//! incident keeps 16-bit codes and the text is stored once.

use std::collections::HashMap;
use std::num::NonZeroU16;
use std::sync::Arc;

use crate::limits::MAX_SYMBOLS;

/// A value of the log, as a number. Only the [`Symbols`] that made it can say its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(NonZeroU16);

impl Code {
    /// The number behind the code, never zero.
    pub fn number(self) -> u16 {
        self.0.get()
    }
}

/// The table of texts; codes are given in order of first appearance.
#[derive(Debug, Clone, Default)]
pub struct Symbols {
    texts: Vec<Arc<str>>,
    codes: HashMap<Arc<str>, Code>,
}

/// No code is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {MAX_SYMBOLS} distinct values")]
pub struct TooMany;

impl Symbols {
    /// The code of a text, a new one if it has none yet.
    pub(crate) fn intern(&mut self, text: &str) -> Result<Code, TooMany> {
        if let Some(code) = self.codes.get(text) {
            return Ok(*code);
        }
        if self.texts.len() >= MAX_SYMBOLS {
            return Err(TooMany);
        }
        let number = u16::try_from(self.texts.len() + 1).map_err(|_| TooMany)?;
        let code = Code(NonZeroU16::new(number).ok_or(TooMany)?);
        let text: Arc<str> = text.into();
        self.texts.push(Arc::clone(&text));
        self.codes.insert(text, code);
        Ok(code)
    }

    /// The code of a text that the log held.
    pub fn code(&self, text: &str) -> Option<Code> {
        self.codes.get(text).copied()
    }

    /// The text of a code of this table.
    ///
    /// # Panics
    /// When the code came from a larger table.
    pub fn text(&self, code: Code) -> &str {
        &self.texts[usize::from(code.number()) - 1]
    }

    /// How many texts there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_code_and_the_table_is_bounded() {
        let mut symbols = Symbols::default();
        for number in 0..MAX_SYMBOLS {
            symbols.intern(&number.to_string()).expect("within the limit");
        }
        let again = symbols.intern("7").expect("known already");
        assert_eq!((symbols.text(again), symbols.code("7")), ("7", Some(again)));
        assert_eq!(symbols.len(), MAX_SYMBOLS);
        assert_eq!(symbols.intern("one more"), Err(TooMany));
    }
}
