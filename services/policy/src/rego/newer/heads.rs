//! Heads of rules that the engine does not read as OPA does, and builtins that stand in for functions.

use std::fmt::Write as _;

use super::{CALL, PART, Reader, Until, path, whole_path};
use crate::builtins;

/// Builtins of the engine by the number of their arguments, which it does not tell.
#[rustfmt::skip]
const ARITIES: [(usize, &[&str]); 3] = [
    (1, &[
        "abs", "array.reverse", "base64.decode", "base64.encode", "base64.is_valid",
        "base64url.decode", "base64url.encode", "base64url.encode_no_pad", "bits.negate", "ceil",
        "count", "floor", "hex.decode", "hex.encode", "intersection", "is_array", "is_boolean",
        "is_null", "is_number", "is_object", "is_set", "is_string", "json.marshal",
        "json.unmarshal", "lower", "max", "min", "object.keys", "object.union_n", "product",
        "regex.is_valid", "round", "semver.is_valid", "sort", "strings.reverse", "sum",
        "time.clock", "time.date", "time.parse_duration_ns", "time.parse_rfc3339_ns",
        "time.weekday", "to_number", "trim_space", "type_name", "union", "upper",
        "urlquery.decode", "urlquery.decode_object", "urlquery.encode", "urlquery.encode_object",
        "yaml.marshal", "yaml.unmarshal",
    ]),
    (2, &[
        "array.concat", "bits.and", "bits.lsh", "bits.or", "bits.rsh", "bits.xor", "concat",
        "contains", "endswith", "format_int", "graph.reachable", "graph.reachable_paths",
        "indexof", "indexof_n", "json.filter", "json.patch", "json.remove", "numbers.range",
        "object.filter", "object.remove", "object.subset", "object.union", "regex.match",
        "regex.split", "semver.compare", "split", "sprintf", "startswith",
        "strings.any_prefix_match", "strings.any_suffix_match", "strings.replace_n", "time.diff",
        "time.parse_ns", "trim", "trim_left", "trim_prefix", "trim_right", "trim_suffix",
    ]),
    (3, &[
        "array.slice", "glob.match", "numbers.range_step", "object.get",
        "regex.find_all_string_submatch_n", "regex.find_n", "regex.replace", "replace",
        "substring",
    ]),
];

/// How many arguments a builtin takes.
pub(super) fn arity(name: &str) -> Option<usize> {
    let engine = ARITIES.iter().find(|(_, names)| names.contains(&name));
    builtins::arity(name).or_else(|| engine.map(|(number, _)| *number))
}

impl<'a> Reader<'a> {
    /// Whether this is where rules begin: at the start of a line, within nothing.
    pub(super) fn begins_line(&self) -> bool {
        (self.depth, self.within) == (1, 0)
            && self.text.get(..self.at).is_some_and(|b| b.is_empty() || b.ends_with('\n'))
    }

    /// The head of a function. A parameter that is a text with expressions gets a name, which the
    /// body holds against the text.
    pub(super) fn head(&mut self, name: &str, out: &mut String) -> Result<(), String> {
        self.settled()?;
        let Some(mut given) = self.arguments(name, out)? else { return Ok(()) };
        for argument in &mut given {
            if argument.trim_start().starts_with("internal.template_string([") {
                self.parts += 1;
                let part = format!("{PART}{}", self.parts);
                self.equal.push(format!("{part} == {}", argument.replace('\n', " ").trim()));
                // Its lines stay here.
                *argument = format!("{part}{}", "\n".repeat(argument.matches('\n').count()));
            }
        }
        out.push_str(name);
        out.push('(');
        out.push_str(&given.join(","));
        out.push(')');
        Ok(())
    }

    /// A rule's head `p.b.c` in a module with a head `p[x].c`: the engine asks such a head alone for
    /// what both of them make.
    pub(super) fn beside_variables(&self, whole: &'a str) -> Option<(&'a str, &'a str)> {
        let (first, rest) = whole.split_once('.')?;
        let second = rest.split('.').next().unwrap_or_default();
        let end = rest.strip_prefix(second).unwrap_or_default();
        let same = |line: &str| {
            let behind = line.strip_prefix(first)?.strip_prefix('[')?.split_once(']')?.1;
            let ends = behind.strip_prefix(end)?.starts_with([' ', '\n']);
            ends.then_some(())
        };
        let plain = self.begins_line() && self.byte(whole.len()) != Some(b'[');
        let both = plain && self.text.split_inclusive('\n').any(|line| same(line).is_some());
        both.then_some((first, second))
    }

    /// Writes such a head with a variable too, which the body gives its name.
    pub(super) fn named_head(
        &mut self,
        first: &str,
        second: &str,
        out: &mut String,
    ) -> Result<(), String> {
        self.settled()?;
        self.parts += 1;
        let part = format!("{PART}{}", self.parts);
        let _ = write!(out, "{first}[{part}]");
        self.at += first.len() + 1 + second.len();
        self.equal.push(format!("{part} = \"{second}\""));
        let mut rest = String::new();
        self.code(&mut rest, Until::Line)?;
        let equal = std::mem::take(&mut self.equal).join("; ");
        let if_at = rest.match_indices(" if ").map(|(at, _)| at).find(|at| is_code(&rest, *at));
        match if_at {
            // It had a body in braces, which has it now.
            _ if equal.is_empty() => out.push_str(&rest),
            None if rest.trim_end().ends_with(" if") => {
                self.equal.push(equal);
                self.settled()?;
            }
            None => {
                let _ = write!(out, "{rest} if {equal} ");
            }
            Some(at) => {
                let (head, body) = rest.split_at(at + " if ".len());
                let _ = write!(out, "{head}{{{body}; {equal}}} ");
            }
        }
        Ok(())
    }

    /// The body of a rule whose parameters have to equal something.
    pub(super) fn body(&mut self, out: &mut String) -> Result<(), String> {
        let equal = std::mem::take(&mut self.equal).join("; ");
        self.copy(1, out);
        self.code(out, Until::Closed)?;
        out.push_str("; ");
        out.push_str(&equal);
        Ok(())
    }

    /// Refuses what no body was found for.
    pub(super) fn settled(&self) -> Result<(), String> {
        if self.equal.is_empty() {
            return Ok(());
        }
        let what = "a function whose parameter is a text with expressions, and a rule beside others \
                    whose names have variables,";
        Err(self.fault(&format!("{what} need a body that begins with `if {{` on its line")))
    }

    /// Whether what stands before an `as` is `with` and the name of a function.
    pub(super) fn replaces(&self, before: &str) -> bool {
        let mut words = before.split_whitespace().rev();
        let (name, with) = (words.next().unwrap_or_default(), words.next());
        with == Some("with")
            && path(name) == name.len()
            && !["input", "data"].contains(&name.split('.').next().unwrap_or_default())
    }

    /// `as` and the name of a builtin, which becomes a function that calls it: the engine takes
    /// a builtin's name for a variable there.
    pub(super) fn replacement(&mut self, out: &mut String) -> bool {
        let rest = self.rest().strip_prefix("as").unwrap_or_default();
        let blank = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let name = whole_path(rest.get(blank..).unwrap_or_default());
        if name.is_empty() || arity(name).is_none() || self.package.is_empty() {
            return false;
        }
        self.copy("as".len() + blank, out);
        let _ = write!(out, "{CALL}{}", self.calls.len());
        self.at += name.len();
        self.calls.push(name);
        true
    }
}

/// Whether a place in a line is in none of its texts.
fn is_code(line: &str, at: usize) -> bool {
    let before = line.get(..at).unwrap_or_default().replace("\\\"", "");
    ['"', '`'].iter().all(|quote| before.matches(*quote).count() % 2 == 0)
}
