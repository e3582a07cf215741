//! A ledger that is made up, the same for the same seed: what the tests of the fold fold.

use canonry_schemas::event::Event;
use canonry_schemas::ids::IntentId;
use canonry_schemas::time::Time;
use serde_json::{Value, json};

pub const START: i64 = 1_780_000_000_000_000;

/// Numbers that look random and are the same each time.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % end
    }
}

const ROLE: &str = "rol_01arz3ndektsv4rrffq69g5fav";

/// What one record says, before it has a position.
pub struct Said {
    pub entity: String,
    pub event: Event,
    pub intent: IntentId,
    pub content: bool,
}

pub fn event(kind: &str, data: &Value) -> Event {
    let (aggregate, name) = kind.split_once('.').unwrap();
    Event::parse(aggregate, name, 1, data).unwrap().unwrap()
}

pub fn at(position: u64) -> Time {
    Time(START + position as i64 * 1_000_000)
}

/// A ledger of tickets and runs that come and go, some of them untouched for long; of one role, whose
/// runs have leases and actions.
pub fn story(seed: u64, length: u64) -> Vec<Said> {
    let mut numbers = Numbers(seed);
    let (mut tickets, mut runs): (Vec<String>, Vec<(String, String)>) = Default::default();
    let (mut works, mut said) = (Works::default(), Vec::new());
    for position in 1..=length {
        let ulid = |n: u64| IntentId::from_parts(at(n).millis(), u128::from(seed + n)).to_string();
        let intent = IntentId::from_parts(at(position).millis(), u128::from(seed ^ position));
        let pick = numbers.below(12);
        let working = match (position, pick, &*runs) {
            (1, ..) => Some(works.thresholds()),
            (2, ..) => Some(works.hired()),
            (_, 8.., [.., (run, ticket)]) => {
                Some(works.at(pick, &ulid(position), run, ticket, at(position)))
            }
            _ => None,
        };
        let (entity, kind, data, content) = if let Some((entity, kind, data)) = working {
            (entity, kind, data, false)
        } else if tickets.is_empty() || pick < 3 {
            let id = format!("tkt_{}", ulid(position).to_lowercase());
            tickets.push(id.clone());
            let mut data = json!({"title": "x1:1-0:AAAA", "approval_required": false});
            if numbers.below(2) == 0 {
                data["due"] = json!(at(position + 1 + numbers.below(60)).to_string());
            }
            (format!("ticket/{id}"), "ticket.opened", data, true)
        } else {
            let ticket = tickets[numbers.below(tickets.len() as u64) as usize].clone();
            match pick {
                3 => {
                    let due = at(position + 1 + numbers.below(40)).to_string();
                    let data = json!({"id": ticket, "due": due});
                    (format!("ticket/{ticket}"), "ticket.amended", data, false)
                }
                4 | 5 => {
                    let id = format!("run_{}", ulid(position).to_lowercase());
                    runs.push((id.clone(), ticket.clone()));
                    let data = json!({"ticket": ticket, "role": ROLE});
                    (format!("run/{id}"), "run.started", data, false)
                }
                6 if !runs.is_empty() => {
                    let (run, ticket) = runs.remove(numbers.below(runs.len() as u64) as usize);
                    let data = json!({"id": run, "ticket": ticket});
                    (format!("run/{run}"), "run.completed", data, false)
                }
                _ if position.is_multiple_of(2) => {
                    let data = json!({"scope": format!("ticket/{ticket}"), "period": "total",
                        "calls": position});
                    (format!("ticket/{ticket}"), "budget.limited", data, false)
                }
                _ => {
                    let data = json!({"id": ticket});
                    (format!("ticket/{ticket}"), "ticket.cancelled", data, false)
                }
            }
        };
        said.push(Said { entity, event: event(kind, &data), intent, content });
    }
    said
}

/// What the runs of the role do.
#[derive(Default)]
struct Works {
    leases: Vec<(String, String)>,
    open: Vec<(String, Value)>,
}

impl Works {
    fn thresholds(&self) -> (String, &'static str, Value) {
        let set = json!({"leases": "optional", "automatic": true, "floor": "T0", "violations": 2,
            "promotions": [{"to": "T2", "runs": 1, "compliant_per_mille": 0, "consecutive": 1}]});
        ("tier/acme".to_owned(), "tier.configured", set)
    }

    fn hired(&self) -> (String, &'static str, Value) {
        let hired = json!({"title": "Clerk", "job": "Sort.", "boundaries": [], "tools": ["sorter"],
            "escalation": [], "tier": "T1",
            "budget": {"per_ticket_micros": 1_000, "per_day_micros": 1_000}});
        (format!("role/{ROLE}"), "role.hired", hired)
    }

    /// A lease is issued or revoked for a violation; an action is denied, allowed or lapses.
    fn at(
        &mut self,
        pick: u64,
        ulid: &str,
        run: &str,
        ticket: &str,
        now: Time,
    ) -> (String, &'static str, Value) {
        let ulid = ulid.to_lowercase();
        let later = Time(now.0 + 30_000_000).to_string();
        match (pick, self.open.pop()) {
            (8, open) => {
                self.open.extend(open);
                if let Some((lease, run)) = self.leases.pop() {
                    let data = json!({"id": lease, "run": run, "role": ROLE, "cause": "violation"});
                    return (format!("lease/{lease}"), "lease.revoked", data);
                }
                self.leases.push((format!("lse_{ulid}"), run.to_owned()));
                let data = json!({"run": run, "ticket": ticket, "role": ROLE, "worker": "ada",
                    "tier": "T1", "login": "A".repeat(43), "key": "B".repeat(43),
                    "key_id": "000000000000000b", "expires": later});
                (format!("lease/lse_{ulid}"), "lease.issued", data)
            }
            (11, Some((action, place))) => {
                let mut data = place;
                data["id"] = json!(action);
                (format!("action/{action}"), "action.lapsed", data)
            }
            (pick, open) => {
                self.open.extend(open);
                let one = json!({"money_micros": 1, "tokens": 0, "calls": 1, "wall_seconds": 0});
                let mut data = json!({"run": run, "ticket": ticket, "role": ROLE, "tool": "sorter",
                    "action": "list", "worst": {}, "arguments_digest": "0".repeat(64),
                    "input_digest": "0".repeat(64), "input": "x1:1-0:AAAA",
                    "decision": {"engine": "e", "verdict": "ALLOW", "rules": [],
                        "obligations": []}});
                let entity = format!("action/act_{ulid}");
                if pick == 9 {
                    data["code"] = json!("tier-too-low");
                    return (entity, "action.denied", data);
                }
                let place = json!({"run": run, "ticket": ticket, "role": ROLE, "charged": one,
                    "at": later, "allowed_at": now.to_string()});
                self.open.push((format!("act_{ulid}"), place));
                (data["reserved"], data["until"]) = (one, json!(later));
                (entity, "action.allowed", data)
            }
        }
    }
}
