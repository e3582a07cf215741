# Each action of a tool has a risk, and each risk names who must agree before the action is done. The
# tables are in data.json. Other rules beside this one can only make a decision stricter.
package canonry.risk

# What the table does not name has no risk here, so no rule decides it, and it is denied. A star
# stands for all actions of a tool that are not named.
actions := object.get(data.tools, input.action.tool, {})

risk := object.get(actions, input.action.action, object.get(actions, "*", ""))

decisions contains {"rule": "risk-none", "verdict": "ALLOW"} if {
	data.risks[risk].approvals == []
}

decisions contains {
	"rule": concat("-", ["risk", risk]),
	"verdict": "REQUIRE_HITL",
	"approvals": data.risks[risk].approvals,
	"four_eyes": data.risks[risk].four_eyes,
	"expiry": data.risks[risk].expiry,
} if {
	count(data.risks[risk].approvals) > 0
}

# A run that went wrong too often asks for nothing more.
decisions contains {"rule": "errors-failed", "verdict": "DENY"} if {
	input.counts.run.failed >= data.errors.failed
}

decisions contains {"rule": "errors-same", "verdict": "DENY"} if {
	input.counts.run.same_error >= data.errors.same_error
}

decisions contains {"rule": "errors-violations", "verdict": "DENY"} if {
	input.counts.run.violations >= data.errors.violations
}
