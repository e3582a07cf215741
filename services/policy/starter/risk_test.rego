# `canonry policy test` runs these. A change of the tables changes what is expected here.
package canonry.risk_test

told(tool, action) := said if {
	said := data.canonry.risk.decisions with input as {"action": {"tool": tool, "action": action}}
}

test_reading_is_allowed if {
	told("servicenow", "incident.read") == {{"rule": "risk-none", "verdict": "ALLOW"}}
}

test_one_operator_for_a_low_risk if {
	some said in told("servicenow", "incident.comment")
	said.approvals == [{"approvers": 1, "group": "operator"}]
}

test_one_approver_for_a_medium_risk if {
	some said in told("servicenow", "incident.update")
	said.approvals == [{"approvers": 1, "group": "approver"}]
	said.four_eyes
}

test_two_approvers_for_a_high_risk if {
	some said in told("servicenow", "incident.close")
	said.approvals == [{"approvers": 2, "group": "approver"}]
	said.four_eyes
}

test_what_is_not_named_is_not_decided if {
	told("servicenow", "incident.delete") == set()
	told("shell", "run") == set()
}

after(counts) := {decision.rule |
	some decision in data.canonry.risk.decisions with input as {
		"action": {"tool": "servicenow", "action": "incident.read"},
		"counts": {"run": counts},
	}
}

test_a_run_with_errors_is_stopped if {
	after({"failed": 7, "same_error": 1, "violations": 0}) == {"risk-none"}
	after({"failed": 8, "same_error": 1, "violations": 0}) == {"risk-none", "errors-failed"}
	after({"failed": 2, "same_error": 2, "violations": 0}) == {"risk-none", "errors-same"}
	after({"failed": 0, "same_error": 0, "violations": 1}) == {"risk-none", "errors-violations"}
}
