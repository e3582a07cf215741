//! `[path, value] := walk(x)`: the engine knows `walk` with its answer as an argument only, and finds
//! nothing otherwise. So it is written that way, and refused where that cannot be done.

use std::fmt::Write as _;

use super::{PART, Reader};

impl Reader<'_> {
    /// A call of `walk`.
    pub(super) fn walk(&mut self, out: &mut String) -> Result<(), String> {
        let in_body = (self.depth, self.within) != (1, 0);
        let Some(given) = self.arguments("walk", out)? else { return Ok(()) };
        let [one] = &given[..] else {
            let _ = write!(out, "walk({})", given.join(","));
            return Ok(());
        };
        let named = assigned(out).filter(|_| in_body);
        let changed = self.rest().trim_start().starts_with("with ");
        let Some(begins) = named.filter(|_| !changed) else {
            return Err(self.fault("write walk(x, [path, value]) or [path, value] := walk(x)"));
        };
        self.parts += 1;
        let part = format!("{PART}{}", self.parts);
        let target = out.split_off(begins);
        let _ = write!(out, "walk({one}, {part}); {target}{part}");
        Ok(())
    }
}

/// Where a statement `x :=` or `x =` begins that ends a text, if one does.
fn assigned(text: &str) -> Option<usize> {
    let blank = [' ', '\t'];
    let target = text.trim_end_matches(blank).strip_suffix('=')?;
    let target = target.strip_suffix(':').unwrap_or(target).trim_end_matches(blank);
    let mut open = 0_usize;
    let begins = target.char_indices().rev().find(|(_, letter)| {
        match letter {
            ']' => open += 1,
            '[' => open = open.saturating_sub(1),
            _ => return open == 0 && *letter != '_' && !letter.is_alphanumeric(),
        }
        false
    });
    let begins = begins.map_or(0, |(at, letter)| at + letter.len_utf8());
    let before = text.get(..begins)?.trim_end_matches(blank);
    let named = begins < target.len();
    (named && before.ends_with(['\n', ';', '{', '|'])).then_some(begins)
}
