//! Whether a schema holds together: every name is known and of the kind that its place asks for.

use std::collections::{BTreeMap, BTreeSet};

use super::Json;

/// Types that every schema has.
const SCALARS: [&str; 5] = ["Int", "Float", "String", "Boolean", "ID"];
/// Directives that every schema has, and their arguments.
const DIRECTIVES: [(&str, &[&str]); 6] = [
    ("include", &["if"]),
    ("skip", &["if"]),
    ("deprecated", &["reason"]),
    ("specifiedBy", &["url"]),
    ("defer", &["if", "label"]),
    ("oneOf", &[]),
];

type Checked = Result<(), String>;

fn list<'a>(node: &'a Json, name: &str) -> &'a [Json] {
    node.get(name).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(node: &'a Json, name: &str) -> &'a str {
    node.get(name).and_then(Json::as_str).unwrap_or_default()
}

fn fails<T>(why: impl Into<String>) -> Result<T, String> {
    Err(why.into())
}

/// A type with its extensions.
#[derive(Default)]
struct Kind<'a> {
    kind: &'a str,
    parts: Vec<&'a Json>,
}

impl<'a> Kind<'a> {
    fn all(&self, name: &'static str) -> impl Iterator<Item = &'a Json> {
        self.parts.iter().copied().flat_map(move |part| list(part, name))
    }

    fn field(&self, name: &str) -> Option<&'a Json> {
        self.all("Fields").find(|f| text(f, "Name") == name)
    }
}

struct Known<'a> {
    kinds: BTreeMap<&'a str, Kind<'a>>,
    directives: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

/// Checks a schema's tree.
pub(super) fn schema(tree: &Json) -> Checked {
    let known = Known::of(tree)?;
    for (name, kind) in &known.kinds {
        known.kind(name, kind)?;
    }
    for directive in list(tree, "Directives") {
        named(text(directive, "Name"))?;
        known.arguments(directive)?;
    }
    if list(tree, "Schema").len() > 1 {
        return fails("more than one schema entry point");
    }
    for part in list(tree, "Schema").iter().chain(list(tree, "SchemaExtension")) {
        known.directed(part)?;
        for entry in list(part, "OperationTypes") {
            if !matches!(text(entry, "Operation"), "query" | "mutation" | "subscription") {
                return fails("no such operation");
            }
            if known.kind_of(text(entry, "Type"))? != "OBJECT" {
                return fails("a root operation that is no object");
            }
        }
    }
    Ok(())
}

/// A name that is not the language's own.
fn named(name: &str) -> Checked {
    if name.starts_with("__") { fails(format!("{name} begins with __")) } else { Ok(()) }
}

/// Whether no name stands twice.
fn apart<'a>(nodes: impl Iterator<Item = &'a Json>) -> Checked {
    let mut seen = BTreeSet::new();
    for node in nodes {
        if !seen.insert(text(node, "Name")) {
            return fails(format!("{} stands twice", text(node, "Name")));
        }
    }
    Ok(())
}

impl<'a> Known<'a> {
    fn of(tree: &'a Json) -> Result<Self, String> {
        let mut kinds: BTreeMap<&str, Kind<'_>> = SCALARS
            .into_iter()
            .map(|name| (name, Kind { kind: "SCALAR", parts: Vec::new() }))
            .collect();
        for one in list(tree, "Definitions") {
            let name = text(one, "Name");
            let kind = Kind { kind: text(one, "Kind"), parts: vec![one] };
            if kinds.insert(name, kind).is_some() {
                return fails(format!("Cannot redeclare type {name}"));
            }
        }
        for one in list(tree, "Extensions") {
            let kind = text(one, "Kind");
            let extended = kinds.entry(text(one, "Name")).or_default();
            if !extended.kind.is_empty() && extended.kind != kind {
                return fails("an extension of a type of another kind");
            }
            extended.kind = kind;
            extended.parts.push(one);
        }
        let mut directives: BTreeMap<_, BTreeSet<_>> =
            DIRECTIVES.iter().map(|(name, own)| (*name, own.iter().copied().collect())).collect();
        let mut own = BTreeSet::new();
        for one in list(tree, "Directives") {
            if !own.insert(text(one, "Name")) {
                return fails(format!("Cannot redeclare directive {}", text(one, "Name")));
            }
            let arguments = list(one, "Arguments").iter().map(|a| text(a, "Name")).collect();
            directives.insert(text(one, "Name"), arguments);
        }
        Ok(Self { kinds, directives })
    }

    fn kind_of(&self, name: &str) -> Result<&'a str, String> {
        self.kinds.get(name).map(|k| k.kind).ok_or_else(|| format!("Undefined type {name}"))
    }

    /// The kind of what a type is of, below its lists.
    fn innermost(&self, kind: &'a Json) -> Result<&'a str, String> {
        let mut kind = kind;
        while let Some(inner) = kind.get("Elem") {
            kind = inner;
        }
        self.kind_of(text(kind, "NamedType"))
    }

    fn directed(&self, node: &'a Json) -> Checked {
        for directive in list(node, "Directives") {
            let name = text(directive, "Name");
            let Some(arguments) = self.directives.get(name) else {
                return fails(format!("Undefined directive {name}"));
            };
            let unknown = |a: &&Json| !arguments.contains(text(a, "Name"));
            if list(directive, "Arguments").iter().any(|a| unknown(&a)) {
                return fails(format!("Undefined argument of directive {name}"));
            }
        }
        Ok(())
    }

    fn input(&self, node: &'a Json) -> Checked {
        named(text(node, "Name"))?;
        self.directed(node)?;
        match self.innermost(node.get("Type").unwrap_or(&Json::Null))? {
            "SCALAR" | "ENUM" | "INPUT_OBJECT" => Ok(()),
            kind => fails(format!("{kind} is not for input")),
        }
    }

    fn arguments(&self, node: &'a Json) -> Checked {
        apart(list(node, "Arguments").iter())?;
        list(node, "Arguments").iter().try_for_each(|a| self.input(a))
    }

    fn kind(&self, name: &str, kind: &Kind<'a>) -> Checked {
        if SCALARS.contains(&name) {
            return Ok(());
        }
        named(name)?;
        kind.parts.iter().try_for_each(|part| self.directed(part))?;
        let something = |list: &'static str| match kind.all(list).next() {
            None => fails(format!("{} {name} defines nothing", kind.kind)),
            Some(_) => apart(kind.all(list)),
        };
        match kind.kind {
            "OBJECT" | "INTERFACE" => {
                something("Fields")?;
                kind.all("Fields").try_for_each(|f| self.output(f))?;
                kind.all("Interfaces").try_for_each(|i| self.implements(kind, i))
            }
            "INPUT_OBJECT" => {
                something("Fields")?;
                kind.all("Fields").try_for_each(|f| self.input(f))
            }
            "ENUM" => {
                something("EnumValues")?;
                let reserved = |v: &Json| matches!(text(v, "Name"), "true" | "false" | "null");
                if kind.all("EnumValues").any(reserved) {
                    return fails("an enum value that is a word of the language");
                }
                kind.all("EnumValues").try_for_each(|v| self.directed(v))
            }
            "UNION" => kind.all("Types").try_for_each(|t| {
                match self.kind_of(t.as_str().unwrap_or_default())? {
                    "OBJECT" => Ok(()),
                    other => fails(format!("{other} in a union")),
                }
            }),
            "SCALAR" => Ok(()),
            other => fails(format!("no kind of type: {other}")),
        }
    }

    fn output(&self, field: &'a Json) -> Checked {
        named(text(field, "Name"))?;
        self.directed(field)?;
        self.arguments(field)?;
        match self.innermost(field.get("Type").unwrap_or(&Json::Null))? {
            "INPUT_OBJECT" => fails("an input as the type of a field"),
            _ => Ok(()),
        }
    }

    /// Whether a type has what an interface asks for.
    fn implements(&self, own: &Kind<'a>, interface: &Json) -> Checked {
        let name = interface.as_str().unwrap_or_default();
        if self.kind_of(name)? != "INTERFACE" {
            return fails(format!("{name} is not an interface"));
        }
        let Some(interface) = self.kinds.get(name) else { return fails("no such interface") };
        for wanted in interface.all("Fields") {
            let Some(field) = own.field(text(wanted, "Name")) else {
                return fails(format!("a field of {name} is missing"));
            };
            let null = Json::Null;
            let (one, other) = (field.get("Type"), wanted.get("Type"));
            if !self.covers(other.unwrap_or(&null), one.unwrap_or(&null)) {
                return fails(format!("a field of {name} has another type"));
            }
            for argument in list(wanted, "Arguments") {
                let same = |a: &&Json| {
                    text(a, "Name") == text(argument, "Name")
                        && a.get("Type") == argument.get("Type")
                };
                if !list(field, "Arguments").iter().any(|a| same(&a)) {
                    return fails(format!("an argument of a field of {name} is missing"));
                }
            }
        }
        // Whoever implements an interface implements those that it implements.
        let missing = |i: &Json| !own.all("Interfaces").any(|o| o == i);
        if interface.all("Interfaces").any(missing) {
            return fails(format!("an interface of {name} is missing"));
        }
        Ok(())
    }

    /// Whether whoever is promised `wanted` may be given `given`.
    fn covers(&self, wanted: &Json, given: &Json) -> bool {
        let firm = |kind: &Json| kind.get("NonNull") == Some(&Json::Bool(true));
        if firm(wanted) && !firm(given) {
            return false;
        }
        if let (Some(wanted), Some(given)) = (wanted.get("Elem"), given.get("Elem")) {
            return self.covers(wanted, given);
        }
        if wanted.get("Elem").is_some() || given.get("Elem").is_some() {
            return false;
        }
        let (wanted, given) = (text(wanted, "NamedType"), text(given, "NamedType"));
        let implements =
            self.kinds.get(given).is_some_and(|k| k.all("Interfaces").any(|i| i == wanted));
        let member = self.kinds.get(wanted).is_some_and(|k| k.all("Types").any(|t| t == given));
        wanted == given || implements || member
    }
}
