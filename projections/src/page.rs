//! Pages by cursor: a cursor names the last row given, so that rows that come or go meanwhile
//! neither repeat nor hide others.

use canonry_schemas::limits::{PAGE, PAGE_MAX};
use serde::Serialize;

use crate::store::Error;

/// Which page is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// How many rows; [`PAGE`] where absent, [`PAGE_MAX`] at the most.
    pub limit: Option<usize>,
    /// The `next` of the page before.
    pub cursor: Option<String>,
}

impl PageRequest {
    /// The number of rows that will be given.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX)
    }

    /// The sort's name, the last key and the last position.
    pub(crate) fn after(&self, sort: &str) -> Result<Option<(String, i64)>, Error> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let mut parts = cursor.splitn(3, '~');
        let (Some(name), Some(key), Some(position)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(Error::Cursor);
        };
        if name != sort {
            return Err(Error::Cursor);
        }
        let position = position.parse().map_err(|_| Error::Cursor)?;
        Ok(Some((key.to_owned(), position)))
    }
}

/// Some rows, and where the next ones begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// The cursor of the next page, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// From one row more than wanted.
    pub(crate) fn cut(
        mut items: Vec<T>,
        rows: usize,
        sort: &str,
        key: impl Fn(&T) -> (String, u64),
    ) -> Self {
        let more = items.len() > rows;
        items.truncate(rows);
        let next = items.last().filter(|_| more).map(|last| {
            let (key, position) = key(last);
            format!("{sort}~{key}~{position}")
        });
        Self { items, next }
    }
}
