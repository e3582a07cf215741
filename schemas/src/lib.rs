//! Every contract that crosses a boundary: identifiers, subjects, limits, commands, facts,
//! answers, error codes, and the JSON Schemas beside them. No IO, no clock, no cryptography
//! (record bytes are in `canonry-record`); everything else depends on this crate.

pub mod action;
pub mod actor;
pub mod address;
pub mod answer;
pub mod budget;
mod catalogue;
pub mod content;
pub mod decision;
pub mod event;
pub mod evidence;
pub mod ext;
pub mod header;
pub mod ids;
pub mod json;
pub mod key;
pub mod kind;
pub mod lease;
pub mod limits;
pub mod member;
pub mod policy;
pub mod refusal;
pub mod role;
pub mod run;
pub mod subject;
pub mod tenant;
pub mod text;
pub mod ticket;
pub mod tier;
pub mod time;
pub mod validate;
