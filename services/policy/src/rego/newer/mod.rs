//! What OPA's newer language has and the engine's reader has not, said in words that it reads.
//!
//! Six things are rewritten, and nothing else is touched. Texts with expressions, `$"to {x}"`,
//! become a call of `internal.template_string`, as OPA's own compiler makes it. Keywords that begin
//! a name, `if.foo`, become a name of ours. A builtin of ours that is given one argument more, for
//! its answer, becomes an equation. A builtin that stands in for a function, `with f as count`,
//! becomes a function that calls it. A rule `p.b` beside `p[x]` becomes one of them ([`heads`]). And
//! what `walk` finds is given to it as an argument ([`walk`]).
//! Lines stay where they are, so messages name the right one.

mod heads;
mod walk;

use std::fmt::Write as _;

use self::heads::arity;
use crate::builtins;
use crate::limits;

/// How a keyword that begins a name is written; no policy may use it.
const WORD: &str = "canonry_word_";
/// How the values of a text's expressions are named; no policy may use it.
const PART: &str = "canonry_part_";
/// How functions that do nothing but call a builtin are named; no policy may use it.
const CALL: &str = "canonry_call_";

const KEYWORDS: &[&str] = &[
    "as", "default", "else", "every", "false", "if", "import", "in", "not", "null", "package",
    "some", "true", "with",
];

/// Where code ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// With the file.
    End,
    /// At the brace or bracket that closes it.
    Closed,
    /// There, or at a comma.
    Argument,
    /// With the line, or at a comment, unless something is open.
    Line,
}

/// Rewrites a module, or a query.
///
/// # Errors
/// A text with expressions that does not end, names that are not to be used, or too deep nesting.
pub(crate) fn rewrite(text: &str) -> Result<String, String> {
    if let Some(taken) = [WORD, PART, CALL].into_iter().find(|name| text.contains(name)) {
        return Err(format!("{taken} is not a name to use"));
    }
    let mut reader = Reader {
        text,
        at: 0,
        parts: 0,
        depth: 0,
        within: 0,
        package: String::new(),
        equal: Vec::new(),
        calls: Vec::new(),
    };
    let mut out = String::with_capacity(text.len());
    reader.code(&mut out, Until::End)?;
    reader.settled()?;
    for (number, name) in reader.calls.iter().enumerate() {
        let given = ["a", "b", "c", "d", "e"];
        let given = given.get(..arity(name).unwrap_or_default()).unwrap_or_default().join(", ");
        let _ = write!(out, "\n{CALL}{number}({given}) := {name}({given})\n");
    }
    Ok(out)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Expressions of texts so far; each has a name of its own.
    parts: usize,
    depth: usize,
    /// Braces and brackets that are open around the name at hand.
    within: usize,
    package: String,
    /// What parameters of the rule at hand have to equal: its body says it.
    equal: Vec<String>,
    /// Builtins that stand in for functions.
    calls: Vec<&'a str>,
}

const fn begins(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn names(text: &str) -> usize {
    text.bytes().take_while(|b| begins(*b) || b.is_ascii_digit()).count()
}

/// The length of a name with dots at the start of a text.
fn path(text: &str) -> usize {
    let mut end = names(text);
    while end > 0 && text.as_bytes().get(end) == Some(&b'.') {
        let more = text.get(end + 1..).map_or(0, names);
        if more == 0 {
            break;
        }
        end += 1 + more;
    }
    end
}

impl<'a> Reader<'a> {
    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn fault(&self, what: &str) -> String {
        let line = self.text.get(..self.at).unwrap_or_default().matches('\n').count() + 1;
        format!("line {line}: {what}")
    }

    fn copy(&mut self, bytes: usize, out: &mut String) {
        let end = (self.at + bytes).min(self.text.len());
        out.push_str(self.text.get(self.at..end).unwrap_or_default());
        self.at = end;
    }

    fn code(&mut self, out: &mut String, until: Until) -> Result<(), String> {
        self.depth += 1;
        if self.depth > limits::NESTING {
            return Err(self.fault("nested deeper than it may be"));
        }
        let mut open = 0_usize;
        while let Some(byte) = self.byte(0) {
            match byte {
                b'#' | b'\n' if open == 0 && until == Until::Line => break,
                b'#' => self.copy(self.rest().find('\n').unwrap_or(self.rest().len()), out),
                b'"' | b'`' => self.string(byte, out),
                b'$' if matches!(self.byte(1), Some(b'"' | b'`')) => self.template(out)?,
                b'{' if !self.equal.is_empty() && out.trim_end().ends_with(" if") => {
                    self.body(out)?;
                }
                b'{' | b'[' | b'(' => {
                    open += 1;
                    self.copy(1, out);
                }
                b'}' | b']' | b')' if open == 0 && !matches!(until, Until::End | Until::Line) => {
                    break;
                }
                b'}' | b']' | b')' => {
                    open = open.saturating_sub(1);
                    self.copy(1, out);
                }
                b',' if open == 0 && until == Until::Argument => break,
                _ if begins(byte) => {
                    self.within = open;
                    self.name(out)?;
                }
                _ if byte.is_ascii_digit() => self.copy(names(self.rest()), out),
                _ => self.copy(self.rest().chars().next().map_or(1, char::len_utf8), out),
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Copies a plain text as it stands, to its end or that of the file.
    fn string(&mut self, quote: u8, out: &mut String) {
        let bytes = self.text.as_bytes();
        let mut end = self.at + 1;
        while let Some(byte) = bytes.get(end) {
            end += 1;
            match byte {
                b'\\' if quote == b'"' => end += 1,
                byte if *byte == quote => break,
                _ => {}
            }
        }
        self.copy(end.min(self.text.len()) - self.at, out);
    }

    fn name(&mut self, out: &mut String) -> Result<(), String> {
        let name = self.rest().get(..names(self.rest())).unwrap_or_default();
        let whole = self.rest().get(..path(self.rest())).unwrap_or_default();
        let field = self.text.get(..self.at).is_some_and(|before| before.ends_with('.'));
        let keyword = KEYWORDS.contains(&name);
        if field {
            self.copy(name.len(), out);
        } else if name == "as" && self.replaces(out) && self.replacement(out) {
            // Done.
        } else if keyword && whole.len() > name.len() {
            out.push_str(WORD);
            self.copy(whole.len(), out);
        } else if name == "package" {
            self.copy(name.len(), out);
            self.copy(self.blank(), out);
            whole_path(self.rest()).clone_into(&mut self.package);
            self.copy(self.package.len(), out);
        } else if name == "import" {
            self.import(out);
        } else if let Some((before, word)) = self.absolute(whole) {
            out.push_str(before);
            out.push_str(WORD);
            self.at += before.len();
            self.copy(word, out);
        } else if let Some((first, second)) = self.beside_variables(whole) {
            self.named_head(first, second, out)?;
        } else if whole == "walk" && self.byte(whole.len()) == Some(b'(') {
            self.walk(out)?;
        } else if self.byte(whole.len()) == Some(b'(')
            && let Some(arity) = builtins::arity(whole)
        {
            self.call(whole, arity, out)?;
        } else if self.byte(whole.len()) == Some(b'(') && self.begins_line() {
            self.head(whole, out)?;
        } else {
            self.copy(whole.len(), out);
        }
        Ok(())
    }

    fn blank(&self) -> usize {
        self.rest().bytes().take_while(|b| *b == b' ' || *b == b'\t').count()
    }

    /// A rule of this package by its full name, where it begins with a keyword: what stands before
    /// the keyword, and the length of what follows.
    fn absolute(&self, whole: &'a str) -> Option<(&'a str, usize)> {
        let after = whole.strip_prefix("data.")?.strip_prefix(&*self.package)?.strip_prefix('.')?;
        let word = after.split('.').next()?;
        // Only where the module itself defines such a rule; else it is a document or another's.
        let defined = KEYWORDS.contains(&word)
            && self.text.lines().any(|l| l.starts_with(word) && l[word.len()..].starts_with('.'));
        defined.then(|| whole.split_at(whole.len() - after.len())).map(|(b, a)| (b, a.len()))
    }

    /// An import by a name that is a keyword gets the name that the keyword is written as.
    fn import(&mut self, out: &mut String) {
        self.copy("import".len(), out);
        self.copy(self.blank(), out);
        let whole = whole_path(self.rest());
        self.copy(whole.len(), out);
        let last = whole.rsplit('.').next().unwrap_or_default();
        let own = whole.starts_with("data.") || whole.starts_with("input.");
        let blank = self.blank();
        let renamed = self.rest().get(blank..).is_some_and(|r| r.starts_with("as "));
        if own && !renamed && KEYWORDS.contains(&last) {
            out.push_str(" as ");
            out.push_str(WORD);
            out.push_str(last);
        }
    }

    /// The arguments of a call of `name`, which is at hand, up to the bracket that closes them. Where
    /// none does it is no call: the name is copied, and the engine says what is wrong with it.
    fn arguments(&mut self, name: &str, out: &mut String) -> Result<Option<Vec<String>>, String> {
        let start = self.at;
        self.at += name.len() + 1;
        let mut given = Vec::new();
        loop {
            let mut argument = String::new();
            self.code(&mut argument, Until::Argument)?;
            given.push(argument);
            let byte = self.byte(0);
            if !matches!(byte, Some(b',' | b')')) {
                self.at = start;
                self.copy(name.len(), out);
                return Ok(None);
            }
            self.at += 1;
            if byte == Some(b')') {
                return Ok(Some(given));
            }
        }
    }

    /// A call of a builtin of ours; with an argument more than it takes, that is what it equals.
    fn call(&mut self, name: &str, arity: usize, out: &mut String) -> Result<(), String> {
        let Some(mut given) = self.arguments(name, out)? else { return Ok(()) };
        let trailing = given.len() > 1 && given.last().is_some_and(|a| a.trim().is_empty());
        let after = if trailing { given.pop().unwrap_or_default() } else { String::new() };
        let answer = if given.len() == arity + 1 { given.pop() } else { None };
        let lines = |text: &str| "\n".repeat(text.matches('\n').count());
        if let Some(answer) = &answer {
            // What spans lines itself is put where it begins; its own lines are not counted twice.
            let told: Vec<&str> = answer.split('\n').map(str::trim).collect();
            out.push_str(&told.join(" "));
            out.push_str(" = ");
        }
        out.push_str(name);
        out.push('(');
        out.push_str(&given.join(","));
        out.push_str(&answer.as_deref().map(lines).unwrap_or_default());
        out.push_str(&lines(&after));
        out.push(')');
        Ok(())
    }

    /// `$"a {x} b"` as `internal.template_string(["a ", {part | part := x}, " b"])`.
    fn template(&mut self, out: &mut String) -> Result<(), String> {
        let raw = self.byte(1) == Some(b'`');
        let quote = if raw { b'`' } else { b'"' };
        self.at += 2;
        out.push_str("internal.template_string([\"");
        loop {
            match self.byte(0) {
                None => return Err(self.fault("a text with expressions does not end")),
                Some(byte) if byte == quote => break,
                Some(b'\\') if self.byte(1) == Some(b'{') => {
                    out.push('{');
                    self.at += 2;
                }
                Some(b'\\') if !raw => self.copy(2, out),
                Some(b'{') => {
                    self.at += 1;
                    self.parts += 1;
                    let name = format!("{PART}{}", self.parts);
                    out.push_str("\", {");
                    out.push_str(&name);
                    out.push_str(" | ");
                    out.push_str(&name);
                    out.push_str(" := ");
                    self.code(out, Until::Closed)?;
                    if self.byte(0) != Some(b'}') {
                        return Err(self.fault("an expression in a text does not end"));
                    }
                    self.at += 1;
                    out.push_str("}, \"");
                }
                Some(b'\n') if !raw => {
                    return Err(self.fault("a text with expressions does not end on its line"));
                }
                // The line goes on after the text has ended, so that lines stay where they are.
                Some(b'\n') => {
                    out.push_str("\\n\",\n\"");
                    self.at += 1;
                }
                Some(byte) if raw && (byte == b'"' || byte == b'\\' || byte < b' ') => {
                    let _ = write!(out, "\\u{byte:04x}");
                    self.at += 1;
                }
                Some(_) => self.copy(self.rest().chars().next().map_or(1, char::len_utf8), out),
            }
        }
        self.at += 1;
        out.push_str("\"])");
        Ok(())
    }
}

fn whole_path(text: &str) -> &str {
    text.get(..path(text)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::rewrite;

    #[test]
    fn what_needs_nothing_is_left_as_it_is() {
        let text =
            "package a.if\n\n# $\"{x}\" if.foo\np if { input.if[\"x\"] == `$\"{1}\"`; \"if.a\" }\n";
        assert_eq!(rewrite(text).as_deref(), Ok(text));
    }

    #[test]
    fn texts_with_expressions_become_calls() {
        let told = rewrite(r#"$"a\{ {x with input as {"y": 1}}\n""#).unwrap_or_default();
        let wanted = "internal.template_string([\"a{ \", {canonry_part_1 | canonry_part_1 := x with \
                      input as {\"y\": 1}}, \"\\n\"])";
        assert_eq!(told, wanted);
        let raw = "p := $`a\n{x}\nb`\nq := 1\n";
        let told = rewrite(raw).unwrap_or_default();
        assert_eq!(told.lines().position(|l| l == "q := 1"), Some(3));
    }

    #[test]
    fn keywords_that_begin_names_are_renamed_and_others_are_not() {
        let text = "package a\nif.b := 1\np if { data.a.if.b == not.c; x.if.y }\n";
        let wanted = "package a\ncanonry_word_if.b := 1\n\
                      p if { data.a.canonry_word_if.b == canonry_word_not.c; x.if.y }\n";
        assert_eq!(rewrite(text).as_deref(), Ok(wanted));
        let text = "package a\nimport data.b.if\nimport rego.v1\nimport data.c.in as x\n";
        let wanted = "package a\nimport data.b.if as canonry_word_if\nimport rego.v1\n\
                      import data.c.in as x\n";
        assert_eq!(rewrite(text).as_deref(), Ok(wanted));
    }

    #[test]
    fn an_answer_given_as_argument_becomes_an_equation() {
        let text = "array.flatten([1,\n2],\n[x],\n)\nq := 1\n";
        let wanted = "[x] = array.flatten([1,\n2]\n\n)\nq := 1\n";
        assert_eq!(rewrite(text).map(|t| t.replace(" [x] =", "[x] =")).as_deref(), Ok(wanted));
        assert_eq!(rewrite("array.flatten(x)").as_deref(), Ok("array.flatten(x)"));
    }

    #[test]
    fn a_parameter_that_is_a_text_with_expressions_is_held_against_it_in_the_body() {
        let text = "f($\"{x}\", 1) := 2 if {\n\tx = 3\n}\n\ng(x) := x if { f(x) }\n";
        let wanted = "f(canonry_part_2, 1) := 2 if {\n\tx = 3\n; canonry_part_2 == \
                      internal.template_string([\"\", {canonry_part_1 | canonry_part_1 := x}, \"\"])}\n\n\
                      g(x) := x if { f(x) }\n";
        assert_eq!(rewrite(text).as_deref(), Ok(wanted));
        // Within a body it is a call, wherever it stands.
        let text = "p if {\nf($\"a\")\n}\n";
        let wanted = "p if {\nf(internal.template_string([\"a\"]))\n}\n";
        assert_eq!(rewrite(text).as_deref(), Ok(wanted));
        for text in ["f($\"{x}\")\ng(1)", "f($\"{x}\") := 1 if x = 2\n", "f($\"a\")"] {
            assert!(rewrite(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_beside_names_with_variables_is_one_of_them() {
        let text = "p[q].r contains 1 if q := 2\np[q] := 1 if q := 2\np.b.r contains {\n1} # no\np.c.r contains 1 if {\n\tx\n}\np.d := \" if \"\np.e := 1 if x\np.f[x] := 1 if x := 2";
        let wanted = "p[q].r contains 1 if q := 2\np[q] := 1 if q := 2\n\
                      p[canonry_part_1].r contains {\n1}  if canonry_part_1 = \"b\" # no\n\
                      p[canonry_part_2].r contains 1 if {\n\tx\n; canonry_part_2 = \"c\"}\n\
                      p[canonry_part_3] := \" if \" if canonry_part_3 = \"d\" \n\
                      p[canonry_part_4] := 1 if {x; canonry_part_4 = \"e\"} \np.f[x] := 1 if x := 2";
        assert_eq!(rewrite(text).as_deref(), Ok(wanted));
        for text in ["p.b.r contains 1\n", "p[q].r contains 1 if q := 2\np.b.s contains 1\n"] {
            assert_eq!(rewrite(text).as_deref(), Ok(text));
        }
        assert!(rewrite("p[q] := 1 if q := 2\np.b := 1 if\n\ttrue\n").is_err());
    }

    #[test]
    fn what_is_walked_through_is_named_as_an_argument() {
        let text = "p if {\n\t[a, [b]] := walk(x[_])\n\tc = walk({d | d = walk(e)}); walk(f, g)\n}";
        let wanted = "p if {\n\twalk(x[_], canonry_part_1); [a, [b]] := canonry_part_1\n\t\
                      walk({d | walk(e, canonry_part_2); d = canonry_part_2}, canonry_part_3); \
                      c = canonry_part_3; walk(f, g)\n}";
        assert_eq!(rewrite(text).as_deref(), Ok(wanted));
        for text in [
            "p := walk(x)",
            "p if { walk(x)[0] == 1 }",
            "p if { 1 == walk(x) }",
            "p if { count(walk(x)) == 1 }",
            "p if { y := walk(input) with input as 1 }",
        ] {
            assert!(rewrite(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_builtin_that_stands_in_for_a_function_is_called_by_one() {
        let text = "package a\np if f(1) with f as object.get\nq if g with input as count\n";
        let wanted = "package a\np if f(1) with f as canonry_call_0\nq if g with input as count\n\n\
                      canonry_call_0(a, b, c) := object.get(a, b, c)\n";
        assert_eq!(rewrite(text).as_deref(), Ok(wanted));
    }

    #[test]
    fn what_does_not_end_or_takes_our_names_is_refused() {
        for text in ["$\"a", "$\"{a", "$\"a\n\"", "canonry_word_if", "canonry_part_1"] {
            assert!(rewrite(text).is_err(), "{text}");
        }
        assert!(rewrite(&format!("{}x{}", "$\"{".repeat(500), "}\"".repeat(500))).is_err());
    }
}
