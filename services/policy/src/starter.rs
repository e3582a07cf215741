//! A policy to begin with: each action of a tool has a risk, each risk names who must agree. One
//! approver by default, two where the risk is high; what is not named is denied.

/// Its files, by their names in a folder or bundle.
pub const FILES: [(&str, &str); 3] = [
    ("data.json", include_str!("../starter/data.json")),
    ("risk.rego", include_str!("../starter/risk.rego")),
    ("risk_test.rego", include_str!("../starter/risk_test.rego")),
];
