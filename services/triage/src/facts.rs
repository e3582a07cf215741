//! What a worker may know of an incident at the moment it is opened: the fields of the first
//! row that describe it, as text, in the form that travels inside a ticket. No outcome, and
//! nobody who touched the incident after it was created: `assigned_to` and `sys_updated_by` of
//! the first row name people of the group that is to be found, so they are left out as well.

use serde::{Deserialize, Serialize};

use crate::priority::{Level, Priority};

/// The fields of an incident's first row that triage may use. Missing values are absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// The incident's number; an identity, never a feature.
    pub number: String,
    /// Category code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Subcategory code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subcategory: Option<String>,
    /// Symptom code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symptom: Option<String>,
    /// Location code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Who is affected, as a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// Who reported it, as a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_by: Option<String>,
    /// The account that created the record, as a code; absent when an interface created it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// How the report came in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact_type: Option<String>,
    /// How far it reaches.
    pub impact: Level,
    /// How soon it hurts.
    pub urgency: Level,
    /// The group on the first row, when the worker may see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

impl Facts {
    /// The same facts without the first row's group.
    #[must_use]
    pub fn without_group(self) -> Self {
        Self { group: None, ..self }
    }

    /// The priority by the table.
    pub fn priority(&self) -> Priority {
        Priority::of(self.impact, self.urgency)
    }
}
