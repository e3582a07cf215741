//! Custom record types: a founder registers a kind with its schema, members and workers append
//! what fits it. What a schema may say, and what is content in it, is in [`crate::kind`].

use crate::catalogue::{commands, data, events};
use crate::ids::{EntityName, KindId};
use crate::kind::Object;

data! {
    /// Registers a version of a kind. Founder only; a registered version never changes.
    Register {
        /// Which kind.
        kind: KindId,
        /// Its version: higher than any before.
        #[schemars(range(min = 1))]
        version: u32,
        /// The JSON Schema of its data, in the part of the dialect that `docs/record-format.md`
        /// names.
        schema: Object,
    }
    /// Appends one piece of data of a registered kind.
    Append {
        /// Which kind.
        kind: KindId,
        /// Which version of it.
        #[schemars(range(min = 1))]
        version: u32,
        /// The data; what its schema marks `x-content` is encrypted in the record.
        data: Object,
        /// The member, role, ticket or run that it is about; the record then is of that entity.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        entity: Option<EntityName>,
    }
}

commands! { "ext";
    /// Registers a kind.
    "register" => Register(Register),
    /// Appends.
    "append" => Append(Append),
}

events! { "ext";
    /// Registered; `entity` is `ext/<kind>`.
    "registered" v 1 => Registered(Register),
    /// Appended; `entity` is what it is about, or an id of its own.
    "appended" v 1 => Appended(Append),
}
