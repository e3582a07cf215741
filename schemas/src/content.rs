//! Content of any entity: what people, tools and models exchanged under one content key. Its one
//! command erases it for ever; the record stands, and what it sealed cannot be opened any more.

use crate::catalogue::{commands, data, events};
use crate::ids::{ContentKeyId, EntityId};

data! {
    /// Erases the content of one entity.
    Erase {
        /// Whose content goes.
        entity: EntityId,
    }
    /// The content of an entity is to be gone, and the key that sealed it.
    Erased {
        /// Whose content.
        entity: EntityId,
        /// The content key to shred; absent where the entity never had content.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<ContentKeyId>,
    }
}

commands! { "content";
    /// Erases.
    "erase" => Erase(Erase),
}

events! { "content";
    /// Erased.
    "erased" v 1 => Erased(Erased),
}
