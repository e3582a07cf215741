//! What must hold before a rule can match, as far as it can be read off its text: statements that
//! compare a field of the input with constants. The rest of a rule is nobody's business here, and a
//! rule without such statements is always evaluated.

use std::collections::BTreeSet;

use regorus::Value;
use regorus::unstable::{AssignOp, BoolOp, Expr, Literal, Rule};

use super::uses::{Step, chain};

/// A field of the input that must be one of some constants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Guard {
    /// The field, below `input`.
    pub(crate) path: Vec<String>,
    /// What it may be. Compared as the engine compares: 1 and 1.0 are one number.
    pub(crate) values: BTreeSet<Value>,
}

impl Guard {
    /// Whether `input` passes. A field that is not there passes nothing.
    pub(crate) fn passes(&self, input: &Value) -> bool {
        look(input, &self.path).is_some_and(|v| self.values.contains(v))
    }
}

/// The field at `path`.
pub(crate) fn look<'a>(input: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(input, |at, name| match &at[name.as_str()] {
        Value::Undefined => None,
        found => Some(found),
    })
}

/// The guards of a rule. Only of one with a single body: of several any may hold.
pub(crate) fn of_rule(rule: &Rule) -> Vec<Guard> {
    let Rule::Spec { bodies, .. } = rule else { return Vec::new() };
    let [body] = &bodies[..] else { return Vec::new() };
    // A `with` gives a statement another input.
    let plain = body.query.stmts.iter().filter(|s| s.with_mods.is_empty());
    plain
        .filter_map(|stmt| match &stmt.literal {
            Literal::Expr { expr, .. } => of_expr(expr),
            _ => None,
        })
        .collect()
}

fn of_expr(expr: &Expr) -> Option<Guard> {
    match expr {
        Expr::BoolExpr { op: BoolOp::Eq, lhs, rhs, .. }
        | Expr::AssignExpr { op: AssignOp::Eq, lhs, rhs, .. } => {
            let either = |field: &Expr, value: &Expr| {
                let values = BTreeSet::from([constant(value)?]);
                Some(Guard { path: field_of(field)?, values })
            };
            either(lhs, rhs).or_else(|| either(rhs, lhs))
        }
        Expr::Membership { key: None, value, collection, .. } => {
            let (Expr::Set { items, .. } | Expr::Array { items, .. }) = &**collection else {
                return None;
            };
            let values = items.iter().map(|i| constant(i)).collect::<Option<BTreeSet<_>>>()?;
            Some(Guard { path: field_of(value)?, values })
        }
        _ => None,
    }
}

/// `input.a.b` as its names.
fn field_of(expr: &Expr) -> Option<Vec<String>> {
    let (base, path) = chain(expr)?;
    if base != "input" || path.is_empty() {
        return None;
    }
    path.into_iter()
        .map(|step| match step {
            Step::Name(name) => Some(name),
            Step::Any => None,
        })
        .collect()
}

fn constant(expr: &Expr) -> Option<Value> {
    match expr {
        Expr::String { value, .. }
        | Expr::RawString { value, .. }
        | Expr::Number { value, .. }
        | Expr::Bool { value, .. }
        | Expr::Null { value, .. } => Some(value.clone()),
        _ => None,
    }
}
