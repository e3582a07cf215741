//! The shape that every aggregate's commands and events share: a closed enum, one name each,
//! one strict parser. The lists themselves stand in [`crate::tenant`], [`crate::member`],
//! [`crate::role`], [`crate::ticket`], [`crate::run`] and [`crate::actor`].

/// Declares an aggregate's `Command`: the verb, the variant and the body.
macro_rules! commands {
    ($aggregate:literal; $($(#[$doc:meta])* $verb:literal => $variant:ident($body:ty)),* $(,)?) => {
        /// What may be asked of this aggregate.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Command { $($(#[$doc])* $variant($body)),* }

        impl Command {
            /// The verbs, as they stand in subjects.
            pub const VERBS: &'static [&'static str] = &[$($verb),*];

            /// The verb of this command.
            #[must_use]
            pub const fn verb(&self) -> &'static str { match self { $(Self::$variant(_) => $verb),* } }

            /// Reads a body; `None` where there is no such verb.
            #[must_use]
            pub fn parse(verb: &str, body: serde_json::Value) -> Option<serde_json::Result<Self>> {
                match verb {
                    $($verb => Some(serde_json::from_value(body).map(Self::$variant)),)*
                    _ => None,
                }
            }

            /// The JSON Schema of every body, by verb.
            #[must_use]
            pub fn schemas() -> Vec<(&'static str, schemars::Schema)> {
                vec![$(($verb, schemars::schema_for!($body))),*]
            }
        }
    };
}

/// Declares an aggregate's `Event`: the event's name and version, the variant and the data.
macro_rules! events {
    ($aggregate:literal; $($(#[$doc:meta])* $name:literal v $version:literal => $variant:ident($data:ty)),* $(,)?) => {
        /// What happened to this aggregate.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Event { $($(#[$doc])* $variant($data)),* }

        impl Event {
            /// Names and current versions.
            pub const NAMES: &'static [(&'static str, u32)] = &[$(($name, $version)),*];

            /// The event's name, as it stands in subject and type.
            #[must_use]
            pub const fn name(&self) -> &'static str { match self { $(Self::$variant(_) => $name),* } }

            /// The current version of its data.
            #[must_use]
            pub const fn version(&self) -> u32 { match self { $(Self::$variant(_) => $version),* } }

            /// The data as JSON text.
            ///
            /// # Errors
            /// Never in practice: the data has string keys only.
            pub fn data(&self) -> serde_json::Result<String> {
                match self { $(Self::$variant(d) => serde_json::to_string(d)),* }
            }

            /// Reads the data of a named event; `None` where name or version is unknown.
            #[must_use]
            pub fn named<'de, D: serde::Deserializer<'de>>(
                name: &str,
                version: u32,
                data: D,
            ) -> Option<Result<Self, D::Error>> {
                use serde::Deserialize as _;
                match (name, version) {
                    $(($name, $version) => Some(<$data>::deserialize(data).map(Self::$variant)),)*
                    _ => None,
                }
            }

            /// The JSON Schema of every event's data, by name and version.
            #[must_use]
            pub fn schemas() -> Vec<(&'static str, u32, schemars::Schema)> {
                vec![$(($name, $version, schemars::schema_for!($data))),*]
            }
        }
    };
}

pub(crate) use {commands, events};

/// Declares a plain data struct of the contract.
macro_rules! data {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident : $ty:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$fdoc])* pub $field: $ty),* }
    )*};
}

pub(crate) use data;
