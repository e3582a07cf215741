//! A tenant's policy: one active bundle, published by a founder. It is configuration and stands in
//! clear, so that a stranger can compute every verdict again from the ledger alone.

use crate::catalogue::{commands, data, events};
use crate::ids::Digest;
use crate::text::Label;
use crate::time::Time;

data! {
    /// Publishes a bundle; it takes the place of the one before. Founder only.
    Publish {
        /// The bundle's archive (tar.gz, at most 32768 bytes), base64 with padding.
        #[schemars(length(min = 4, max = 43_692), regex(pattern = r"^[A-Za-z0-9+/]+={0,2}$"))]
        bundle: String,
        /// Its revision, greater than every one published before.
        #[schemars(range(min = 1, max = 9_007_199_254_740_991_u64))]
        revision: u64,
    }
    /// A bundle that holds from the next position.
    Published {
        /// The bundle's archive, base64 with padding.
        #[schemars(length(min = 4, max = 43_692), regex(pattern = r"^[A-Za-z0-9+/]+={0,2}$"))]
        bundle: String,
        /// Its revision.
        #[schemars(range(min = 1, max = 9_007_199_254_740_991_u64))]
        revision: u64,
        /// SHA-256 of the archive.
        digest: Digest,
        /// Its version, for people.
        version: Label,
        /// From then on it decides nothing.
        expires: Time,
        /// How long a copy of it may be used without asking again.
        #[schemars(range(min = 300, max = 900))]
        ttl_seconds: u32,
    }
}

commands! { "policy";
    /// Publishes a bundle.
    "publish" => Publish(Publish),
}

events! { "policy";
    /// Published.
    "published" v 1 => Published(Published),
}
