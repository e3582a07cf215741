//! What the rules of a module refer to, read off the engine's own syntax tree.
//!
//! A *use* is one reference: where it begins (`input`, `data`, a rule, a variable, a function), the
//! path behind it, and whether it stands where an undefined value makes something true: below a
//! `not`, in a comprehension or an `every`, in a rule with a default or an `else`, in a rule that
//! collects (its set is defined, and empty, where nothing matched).

use std::collections::BTreeMap;

use regorus::unstable::{AssignOp, Expr, Literal, LiteralStmt, Module, Query, Ref, Rule, RuleHead};

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A name that the policy spells out.
    Name(String),
    /// Something that only the evaluation knows.
    Any,
}

/// One reference.
#[derive(Debug, Clone)]
pub(crate) struct Use {
    /// Its first name.
    pub(crate) base: String,
    /// What follows.
    pub(crate) path: Vec<Step>,
    /// Whether it is a call.
    pub(crate) call: bool,
    /// Whether an undefined value makes something true here.
    pub(crate) negative: bool,
    /// The line.
    pub(crate) line: u32,
}

impl Use {
    /// Its names up to the first step that is not spelled out, joined by dots.
    pub(crate) fn dotted(&self) -> String {
        let mut text = self.base.clone();
        for step in &self.path {
            match step {
                Step::Name(name) => {
                    text.push('.');
                    text.push_str(name);
                }
                Step::Any => return text,
            }
        }
        text
    }

    /// Whether every step is spelled out.
    pub(crate) fn spelled(&self) -> bool {
        !self.path.contains(&Step::Any)
    }
}

/// All that a rule refers to.
#[derive(Debug, Default)]
pub(crate) struct Uses {
    /// The references.
    pub(crate) all: Vec<Use>,
    /// Variables, and the references in what each was bound to. A variable that is not here was
    /// bound in a way that nobody followed.
    pub(crate) bound: BTreeMap<String, Vec<Use>>,
    /// Variables that were bound more than once.
    pub(crate) rebound: Vec<String>,
    /// The line of a `with`.
    pub(crate) with: Option<u32>,
    /// The names of variables and parameters that the rule makes.
    pub(crate) made: Vec<(String, u32)>,
    /// Calls of `sprintf` whose format is not a short plain text.
    pub(crate) formats: Vec<u32>,
}

/// The references of a rule. `decides` says of a set that what it lacks was simply not decided.
pub(crate) fn of_rule(rule: &Rule, decides: bool) -> Uses {
    let mut reader = Reader::default();
    match rule {
        Rule::Default { refr, args, value, .. } => {
            reader.head(refr);
            args.iter().for_each(|a| reader.made(a));
            reader.expr(value, true);
        }
        Rule::Spec { head, bodies, .. } => {
            let otherwise = bodies.iter().any(|b| b.is_else);
            let (refr, collects) = match head {
                RuleHead::Compr { refr, assign, .. } => {
                    assign.iter().for_each(|a| reader.expr(&a.value, otherwise));
                    // `p[k] := v` collects too: its object is defined where nothing matched.
                    (refr, !matches!(**refr, Expr::Var { .. }))
                }
                RuleHead::Set { refr, key, .. } => {
                    key.iter().for_each(|k| reader.expr(k, false));
                    (refr, !decides)
                }
                RuleHead::Func { refr, args, assign, .. } => {
                    args.iter().for_each(|a| {
                        reader.made(a);
                        reader.expr(a, otherwise);
                    });
                    assign.iter().for_each(|a| reader.expr(&a.value, otherwise));
                    (refr, false)
                }
            };
            reader.head(refr);
            for body in bodies {
                body.assign.iter().for_each(|a| reader.expr(&a.value, otherwise));
                reader.query(&body.query, otherwise || collects);
            }
        }
    }
    reader.0
}

/// The first name of a rule.
pub(crate) fn name_of(rule: &Rule) -> Option<String> {
    let mut refr = match rule {
        Rule::Default { refr, .. } => refr,
        Rule::Spec { head, .. } => match head {
            RuleHead::Compr { refr, .. }
            | RuleHead::Set { refr, .. }
            | RuleHead::Func { refr, .. } => refr,
        },
    };
    loop {
        match &**refr {
            Expr::Var { span, .. } => return Some(span.text().to_owned()),
            Expr::RefDot { refr: inner, .. } | Expr::RefBrack { refr: inner, .. } => refr = inner,
            _ => return None,
        }
    }
}

/// The package of a module: `data.a.b`.
pub(crate) fn package_of(module: &Module) -> Option<String> {
    let found = chain(&module.package.refr)?;
    found.1.contains(&Step::Any).then_some(()).map_or_else(
        || {
            let mut text = format!("data.{}", found.0);
            for step in &found.1 {
                if let Step::Name(name) = step {
                    text.push('.');
                    text.push_str(name);
                }
            }
            Some(text)
        },
        |()| None,
    )
}

/// A reference's first name and path, where it begins with a name.
pub(crate) fn chain(expr: &Expr) -> Option<(String, Vec<Step>)> {
    match expr {
        Expr::Var { span, .. } => Some((span.text().to_owned(), Vec::new())),
        Expr::RefDot { refr, field, .. } => {
            let (base, mut path) = chain(refr)?;
            path.push(field.1.as_string().map_or(Step::Any, |s| Step::Name(s.to_string())));
            Some((base, path))
        }
        Expr::RefBrack { refr, index, .. } => {
            let (base, mut path) = chain(refr)?;
            path.push(match &**index {
                Expr::String { value, .. } | Expr::RawString { value, .. } => {
                    value.as_string().map_or(Step::Any, |s| Step::Name(s.to_string()))
                }
                _ => Step::Any,
            });
            Some((base, path))
        }
        _ => None,
    }
}

#[derive(Default)]
struct Reader(Uses);

impl Reader {
    /// The dynamic parts of a rule's own name.
    fn head(&mut self, refr: &Expr) {
        match refr {
            Expr::RefBrack { refr, index, .. } => {
                self.head(refr);
                self.expr(index, false);
            }
            Expr::RefDot { refr, .. } => self.head(refr),
            _ => {}
        }
    }

    /// Notes the variables that a pattern makes.
    fn made(&mut self, pattern: &Expr) {
        match pattern {
            Expr::Var { span, .. } => self.0.made.push((span.text().to_owned(), span.line)),
            Expr::Array { items, .. } | Expr::Set { items, .. } => {
                items.iter().for_each(|i| self.made(i));
            }
            Expr::Object { fields, .. } => fields.iter().for_each(|(_, _, v)| self.made(v)),
            _ => {}
        }
    }

    fn query(&mut self, query: &Query, negative: bool) {
        query.stmts.iter().for_each(|s| self.statement(s, negative));
    }

    fn statement(&mut self, stmt: &LiteralStmt, negative: bool) {
        if !stmt.with_mods.is_empty() {
            self.0.with.get_or_insert(stmt.span.line);
        }
        match &stmt.literal {
            Literal::SomeVars { vars, .. } => {
                self.0.made.extend(vars.iter().map(|v| (v.text().to_owned(), v.line)));
            }
            Literal::SomeIn { key, value, collection, .. } => {
                let from = self.expr_uses(collection, negative);
                for pattern in key.iter().chain([value]) {
                    self.made(pattern);
                    self.bind(pattern, &from);
                    self.expr(pattern, negative);
                }
            }
            Literal::Expr { expr, .. } => self.expr(expr, negative),
            Literal::NotExpr { expr, .. } => self.expr(expr, true),
            Literal::Every { key, value, domain, query, .. } => {
                let from = self.expr_uses(domain, true);
                for name in key.iter().chain([value]) {
                    self.0.made.push((name.text().to_owned(), name.line));
                    self.bind_name(name.text(), &from);
                }
                self.query(query, true);
            }
        }
    }

    /// Reads `expr`, and tells what it uses.
    fn expr_uses(&mut self, expr: &Expr, negative: bool) -> Vec<Use> {
        let before = self.0.all.len();
        self.expr(expr, negative);
        self.0.all[before..].to_vec()
    }

    fn bind(&mut self, pattern: &Expr, from: &[Use]) {
        if let Expr::Var { span, .. } = pattern {
            self.bind_name(span.text(), from);
        }
    }

    fn bind_name(&mut self, name: &str, from: &[Use]) {
        if self.0.bound.insert(name.to_owned(), from.to_vec()).is_some() {
            self.0.rebound.push(name.to_owned());
        }
    }

    fn all<'a>(&mut self, many: impl IntoIterator<Item = &'a Ref<Expr>>, negative: bool) {
        many.into_iter().for_each(|e| self.expr(e, negative));
    }

    fn expr(&mut self, expr: &Expr, negative: bool) {
        match expr {
            Expr::String { .. }
            | Expr::RawString { .. }
            | Expr::Number { .. }
            | Expr::Bool { .. }
            | Expr::Null { .. } => {}
            Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } => {
                self.reference(expr, negative, false);
            }
            Expr::Array { items, .. } | Expr::Set { items, .. } => self.all(items, negative),
            Expr::Object { fields, .. } => {
                fields.iter().for_each(|(_, k, v)| self.all([k, v], negative));
            }
            Expr::ArrayCompr { term, query, .. } | Expr::SetCompr { term, query, .. } => {
                self.query(query, true);
                self.expr(term, true);
            }
            Expr::ObjectCompr { key, value, query, .. } => {
                self.query(query, true);
                self.all([key, value], true);
            }
            Expr::Call { span, fcn, params, .. } => {
                self.reference(fcn, negative, true);
                if fcn.span().text() == "sprintf" && !params.first().is_some_and(|f| plain(f)) {
                    self.0.formats.push(span.line);
                }
                self.all(params, negative);
            }
            Expr::UnaryExpr { expr, .. } => self.expr(expr, negative),
            Expr::BinExpr { lhs, rhs, .. }
            | Expr::BoolExpr { lhs, rhs, .. }
            | Expr::ArithExpr { lhs, rhs, .. } => self.all([lhs, rhs], negative),
            Expr::AssignExpr { op, lhs, rhs, .. } => {
                let from = self.expr_uses(rhs, negative);
                self.bind(lhs, &from);
                self.made(lhs);
                // `=` binds on either side.
                if *op == AssignOp::Eq && !matches!(**rhs, Expr::Var { .. }) {
                    self.made(rhs);
                }
                let back = self.expr_uses(lhs, negative);
                self.bind(rhs, &back);
            }
            Expr::Membership { key, value, collection, .. } => {
                self.all(key, negative);
                self.all([value, collection], negative);
            }
        }
    }

    fn reference(&mut self, expr: &Expr, negative: bool, call: bool) {
        let line = expr.span().line;
        let mut inner = expr;
        loop {
            match inner {
                Expr::RefBrack { refr, index, .. } => {
                    self.expr(index, negative);
                    inner = refr;
                }
                Expr::RefDot { refr, .. } => inner = refr,
                _ => break,
            }
        }
        match chain(expr) {
            Some((base, path)) => self.0.all.push(Use { base, path, call, negative, line }),
            // `f(x).y`, `{…}[k]`: what it begins with is read, and the path is nobody's.
            None => {
                self.expr(inner, negative);
                let path = vec![Step::Any];
                self.0.all.push(Use { base: String::new(), path, call: false, negative, line });
            }
        }
    }
}

/// Whether a format makes no text longer than its arguments: few verbs, no width.
fn plain(format: &Expr) -> bool {
    let (Expr::String { value, .. } | Expr::RawString { value, .. }) = format else { return false };
    let Ok(text) = value.as_string() else { return false };
    let mut verbs = text.split('%').skip(1);
    text.matches('%').count() <= crate::limits::VERBS
        && verbs.all(|v| !v.starts_with(|c: char| c.is_ascii_digit() || "*.+-# ".contains(c)))
}
