"""The records of an evidence bundle, after docs/evidence.md: each is checked by verify.py with the keys of
its position, proved against the checkpoint by proof.py, and looked at for what it is about."""
import base64, datetime, json
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from proof import b64, number, root_of, sha
from verify import CHANGES, MASK, SMALL, Ledger, need, strict_json, unbase64
KEYS = CHANGES | {"tenant.founded", "tenant.repaired"}
ANSWERS = {f"{of}.{said}": "approval-wrong" for of in ("ticket", "action") for said in ("approved", "rejected")}
ANSWERS["action.stepped-up"] = "assertion-wrong"
kind_of = lambda body: body["subject"].split(".", 2)[2]
def under(code, work, *arguments):  # whatever goes wrong in it has this code
    try:
        return work(*arguments)
    except Exception as error:
        raise ValueError(code) from error
class Concern:
    def __init__(self, about):
        self.about = ("ticket/" if about.startswith("tkt_") else "run/") + about
        self.names = {self.about}
    def takes(self, body):
        touched = body.get("touches", "").split()
        taken = not self.names.isdisjoint([body["entity"], *touched])
        acts = kind_of(body).startswith("action.") and body["entity"].startswith("action/")
        if (acts or kind_of(body) == "run.started") and self.about in touched:
            self.names.add(body["entity"])
        return taken
class Part(Ledger):  # with keys of its own; `whole` ones grow a tree and remember what belongs here
    def __init__(self, about, size=0):
        self.keys, self.ever, self.lost, self.error, self.tree = {}, {}, [], None, []
        self.concern, self.size, self.leaves, self.root = Concern(about), size, 0, None
        self.found = {"keys.jsonl": [], "records.jsonl": []}
    def feed(self, raw):
        try:
            if not self.error and (self.line(raw, []) or not self.head) and self.leaves < self.size:
                self.leaf(json.loads(base64.b64decode(json.loads(raw)["body"])))
        except Exception as error:
            self.error = error
    def leaf(self, body):
        self.tree.append((1, sha(b"\0" + bytes.fromhex(self.hash))))
        while len(self.tree) > 1 and self.tree[-1][0] == self.tree[-2][0]:
            (n, right), (_, left) = self.tree.pop(), self.tree.pop()
            self.tree.append((2 * n, sha(b"\1" + left + right)))
        self.leaves += 1
        for name, of in [("keys.jsonl", kind_of(body) in KEYS), ("records.jsonl", self.concern.takes(body))]:
            self.found[name] += [(self.at, self.hash)] if of else []
        self.root = self.top() if self.leaves == self.size else self.root
    def top(self):
        node = self.tree[-1][1]
        for _, left in self.tree[-2::-1]:
            node = sha(b"\1" + left + node)
        return node
def answered(ledger, body, asked, levels):
    step, data = kind_of(body) == "action.stepped-up", body["data"]
    use, aud, token, life = ("stepup", "step-up", "assertion", 120) if step else ("member", *2 * ["approval"], 600)
    head, claims, signature = data[token].split(".")
    message = f"{head}.{claims}".encode()
    head, claims, signature = [unbase64(t, b"-_", "=" * (-len(t) % 4)) for t in (head, claims, signature)]
    head, claims = strict_json(head), strict_json(claims)
    key, time = ledger.keys[head["kid"]], body["time"]
    now = int(datetime.datetime.fromisoformat(time).timestamp())
    position, age = claims["position"], claims["exp"] - claims["iat"]
    said = {"level": data["level"]} if step else {"decision":
            {"approved": "approve", "rejected": "reject"}[kind_of(body)[7:]]}
    wanted = said | {"iss": body["actor"], "aud": f"canonry/{body['tenant']}/{aud}", "sub": body["entity"],
              "intent": body["intentid"], "hash": asked[position, body["entity"]]}
    need(not step or type(claims["level"]) is type(data["level"]) is int
         and levels[body["entity"]] <= data["level"] <= key["level"], "level")
    need(head == {"alg": "EdDSA", "typ": "JWT", "kid": head["kid"]} and claims | wanted == claims and
         {*claims} == {*wanted, "iat", "exp", "position"} and use in key["use"] and
         key["actor"] == body["actor"] and time <= key.get("notafter", time) and
         0 <= claims["iat"] <= now + 60 and now < claims["exp"] and 0 < age <= life and
         int.from_bytes(signature[:32], "little") & MASK not in SMALL, "approval")
    Ed25519PublicKey.from_public_bytes(key["bytes"]).verify(signature, message)
def lines(data):
    need(data.endswith(b"\n"), "line-malformed")
    read = [under("line-malformed", strict_json, line) for line in data[:-1].split(b"\n")]
    found = {under("line-malformed", lambda: line["seq"]): line for line in read}
    return need([*found] == sorted(found) and len(found) == len(read), "records-order", found)
def proof_of(data):
    first, *hashes = data.decode().split("\n\n", 1)[0].split("\n")
    hashes = hashes[hashes[0].startswith("extra "):]
    need(first == "c2sp.org/tlog-proof@v1" and hashes[0].startswith("index ") and len(hashes) < 65, "x")
    return number(hashes[0][6:]), [b64(line) for line in hashes[1:]]
def walk(ledger, keys, records, proofs, size, root):
    asked, levels, approvals = {}, {}, 0
    for seq in sorted({*keys, *records}):
        line = keys.get(seq, records.get(seq))
        need(line == records.get(seq, line), "records-order")
        body = strict_json(unbase64(line["body"]))
        jump = kind_of(body) == "tenant.repaired"
        before = int(body["data"]["after"]["position"]) if jump else seq - 1
        if 0 < ledger.at < before:  # records that are not here; the proof shows where this one stands
            ledger.at, ledger.hash = before, body["prevhash"]
        ledger.record([], **line)
        index, path = need(seq in proofs, "proof-missing") or proofs.pop(seq)
        found = under("proof-wrong", root_of, sha(b"\0" + bytes.fromhex(ledger.hash)), index, size, path)
        need(found == root, "proof-wrong")
        lost = sum(int(r["lost"]["to"]) - int(r["lost"]["from"]) + 1 for r in ledger.lost)
        need(index == seq - 1 - lost, "proof-position")
        need((seq not in keys or kind_of(body) in KEYS), "record-unrelated")
        need(ledger.concern.takes(body) or seq not in records, "record-unrelated")
        for name, of in [("keys.jsonl", keys), ("records.jsonl", records)]:
            ledger.found[name] += [(seq, ledger.hash)] if seq in of else []
        kind, entity = kind_of(body), body["entity"]
        if kind in ("ticket.approval-requested", "action.held", "action.asked-again"):
            asked[seq, entity] = ledger.hash
        if kind == "action.held":
            levels[entity] = body["data"]["approvals"].get("level")
        if kind in ANSWERS:
            under(ANSWERS[kind], answered, ledger, body, asked, levels)
            approvals += 1
    need(not proofs, "proof-unused")
    return approvals
