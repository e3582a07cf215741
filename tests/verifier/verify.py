#!/usr/bin/env python3
"""Verifies an export of a Canonry ledger by docs/record-format.md; shares no code with Canonry.
Needs `cryptography`. Exit: 0 whole and pinned, 3 consistent but founder not pinned, 1 broken, 2 usage."""
import argparse, base64, datetime, hashlib, json, re, sys
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

P, D = 2**255 - 19, -121665 * pow(121666, -1, 2**255 - 19)
Y8 = 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826  # of a point of order 8
SMALL = {0, 1, P - 1, Y8, P - Y8}
HEX, TOKEN, WORD, VISIBLE = r"[0-9a-f]{64}", r"[a-z0-9][a-z0-9_-]{0,62}", r"[a-z-]+", r"[!-~]{1,64}"
NUMBER, ENTITY, TIME = r"0|[1-9][0-9]{0,19}", rf"{WORD}/{TOKEN}", r"\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\d\.\d{6}Z"
NEEDED = {"specversion": r"1\.0", "id": VISIBLE, "source": ".+", "type": ".+", "subject": ".+", "dataschema": ".+",
          "time": TIME, "datacontenttype": "application/json", "actor": TOKEN, "tenant": r"[a-z0-9][a-z0-9-]{0,30}",
          "entity": ENTITY, "epoch": NUMBER, "position": NUMBER, "prevhash": HEX}
OPTIONAL = {"traceparent": r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", "workspace": TOKEN, "via": TOKEN,
            "authdigest": HEX, "intentid": r"[0-7][0-9A-HJKMNP-TV-Z]{25}", "intentdigest": HEX,
            "correlationid": VISIBLE, "touches": rf"{ENTITY}( {ENTITY})*"}
USES = {"root", "enrol", "record", "checkpoint", "member", "login", "witness"}
HEADERS = ["Nats-Msg-Id", "Canonry-Hash", "Canonry-Signature", "traceparent"]
def need(ok, why):
    if not ok: raise ValueError(why)
def full(pattern, text): return isinstance(text, str) and re.fullmatch(pattern, text, re.ASCII)
def sha256(data): return hashlib.sha256(data).digest()
def canonical(v): return json.dumps(v, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
def no(text): need(False, "json-number")
def integer(text): return int(text) if text != "-0" and len(text) < 18 and abs(int(text)) < 2**53 else no(text)
def unique(pairs): return dict(pairs) if len(dict(pairs)) == len(pairs) else need(False, "json-duplicate-key")
def depth(v): return 1 + max(map(depth, v.values() if type(v) is dict else v), default=0) if type(v) in (dict, list) else 0
def strict_json(data):
    v = json.loads(data.decode(), object_pairs_hook=unique, parse_int=integer, parse_float=no, parse_constant=no)
    need(depth(v) <= 32 and canonical(v), "json-depth")  # a lone surrogate has no UTF-8: canonical() fails
    return v
def unbase64(text, padding="", other=b"-_"):  # each value has one text
    data = base64.b64decode(text + ("" if padding else "=" * (-len(text) % 4)), other, validate=True)
    need(text == base64.b64encode(data, other).decode().replace("=", padding), "base64")
    return data
def y_of(point): return int.from_bytes(point[:32], "little") % 2**255
def enrollable(public):  # canonical, on the curve, not of small order
    y = y_of(public)
    square = (y * y - 1) * pow(D * y * y + 1, -1, P)
    return len(public) == 32 and y < P and y not in SMALL and pow(square, (P - 1) // 2, P) == 1
def signed(public, message, signature):  # strict RFC 8032: the library refuses S >= L and compares R's bytes
    try: Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature: return False
    return y_of(signature) not in SMALL
def signature_of(text):
    need(full(r"ed25519:[0-9a-f]{16}:[A-Za-z0-9_-]{86}", text), "signature-malformed")
    return text[8:24], unbase64(text[25:])
def read_body(body, subject):
    r = strict_json(body)
    for name in set(r) - {"data"} | set(NEEDED):
        need(full({**NEEDED, **OPTIONAL}[name], r[name]), f"attribute {name}")
    kind, version = full(rf"ledger\.{r['tenant']}\.({WORD}\.{WORD})", subject)[1], r["type"].rpartition(".v")[2]
    follow = {"source": f"canonry/{r['tenant']}", "subject": subject, "type": f"canonry.{kind}.v{version}",
              "dataschema": f"schemas/records/{kind}.v{version}.json"}
    need(follow.items() <= r.items() and full("[1-9][0-9]*", version) and int(version) < 2**32, "attributes disagree")
    touches, year = r.get("touches", "").split(" "), datetime.datetime.strptime(r["time"][:19], "%Y-%m-%dT%X").year
    need(touches == sorted(set(touches)) and ("intentid" in r or "intentdigest" not in r), "attribute touches, intentid")
    need(int(r["epoch"]) < 2**64 and year >= 1970 and type(r["data"]) is dict, "attribute epoch, time, data")
    return r, r["data"], kind
class Ledger:
    def __init__(self, pin, head_pin):
        self.pin, self.head_pin, self.head, self.keyhead = pin, head_pin or (0, ""), None, None
        self.at, self.due, self.hash, self.keys, self.last = 0, 1, bytes(32), {}, {"epoch": "0", "time": ""}
    def check_keys(self, keys):
        for n, k in enumerate(keys):
            need(set(k) == {"id", "alg", "public", "use", "actor"} and k["alg"] == "ed25519" and full(TOKEN, k["actor"])
                 and type(k["use"]) is list and set(k["use"]) <= USES, "keys-malformed")
            public, old = unbase64(k["public"]), self.keys.get(k["id"])
            need(k["id"] == sha256(public).hex()[:16] and enrollable(public), "key-invalid")
            need(k["use"] == ["login"] or 0 < len(k["use"]) == len({*k["use"]} - {"login"}), "key-use-invalid")
            need(not old and k["id"] not in [other["id"] for other in keys[:n]], "key-exists or of another actor")
    def fold(self, keys, revoked, since, digest):
        for i in revoked: self.keys[i]["current"] = False
        for k in keys: self.keys[k["id"]] = {**k, "raw": unbase64(k["public"]), "since": since, "current": True}
        uses, self.keyhead = [k["use"] for k in self.keys.values() if k["current"]], digest
        need(sum("record" in u for u in uses) == 1 and any("root" in u for u in uses), "record-key-count")
    def check_change(self, keys, revoked, auth, own):
        need(type(keys) is list and type(revoked) is list and set(auth) == {"keyhead", "signature"}, "keys-malformed")
        need(auth["keyhead"] == self.keyhead.hex(), "keys-moved")
        self.check_keys(keys)
        need((keys or revoked) and len(set(revoked)) == len(revoked), "keys-empty or key-twice")
        need(all(i in self.keys and self.keys[i]["current"] for i in revoked), "key-unknown or revoked")
        kid, signature = signature_of(auth["signature"])
        by, touched = self.keys.get(kid), keys + [self.keys[i] for i in revoked]
        need(by and by["current"], "authorization-key-unknown")
        personal = all(set(k["use"]) <= {"member", "login"} for k in touched)
        mine = "member" in by["use"] and all("member/" + k["actor"] == own for k in [by, *touched])
        need("root" in by["use"] or personal and ("enrol" in by["use"] or mine), "authorization-not-allowed")
        parts = b"canonry/key/v1", self.last["tenant"].encode(), self.keyhead, sha256(canonical({"keys": keys, "revoked": revoked}))
        need(signed(by["raw"], b"\0".join(parts), signature), "authorization-signature")
    def check_signature(self, kid, use, at, message, signature):
        need(kid in self.keys and use in self.keys[kid]["use"], "signer unknown or without use")
        need(self.keys[kid]["current"] and self.keys[kid]["since"] <= at, "signer-revoked")
        need(signed(self.keys[kid]["raw"], message, signature), "signature-wrong")
    def record(self, line):
        due, found, change = self.due, {}, None
        need(set(line) == {"seq", "subject", "headers", "body"} and not self.head, "line-malformed")
        need(type(line["seq"]) is int and line["seq"] == due, "gap")
        for name, value in line["headers"]:
            need(all(name.lower() != h.lower() or name == h not in found for h in HEADERS), "header-repeated")
            found[name] = value
        body, (kid, signature) = unbase64(line["body"], "=", b"+/"), signature_of(found["Canonry-Signature"])
        digest = sha256(b"canonry/ledger/v1\0" + line["subject"].encode() + b"\0" + body)
        need(found["Canonry-Hash"] == "sha256:" + digest.hex(), "hash-mismatch")
        r, data, kind = read_body(body, line["subject"])
        need(r["id"] == found["Nats-Msg-Id"] and r.get("traceparent") == found.get("traceparent"), "header-mismatch")
        need(r["position"] == str(due) and r["tenant"] == self.last.get("tenant", r["tenant"]), "position or tenant")
        need(r["prevhash"] == self.hash.hex(), "chain-broken")
        need(int(r["epoch"]) >= int(self.last["epoch"]) and r["time"] >= self.last["time"], "epoch-falls or time-falls")
        if due == 1:
            need((kind, r["epoch"]) == ("tenant.founded", "0") and type(data["keys"]) is list, "not-founded")
            need(self.pin in (None, digest) and not {"revoked", "authorization"} & set(data), "tenant-pin")
            self.check_keys(data["keys"])
            self.fold(data["keys"], [], 1, digest)
        elif kind in ("member.enrolled", "member.removed", "member.keys-rotated", "tenant.keys-rotated"):
            change = data["keys"], data["revoked"]
            self.check_change(*change, data["authorization"], kind == "member.keys-rotated" and r["entity"])
        else: need(kind != "tenant.founded" and not {"keys", "revoked"} & set(data), "keys-in-wrong-record")
        self.check_signature(kid, "record", due, b"canonry/sig/v1\0" + digest, signature)
        if change: self.fold(*change, due + 1, digest)
        need(self.head_pin[0] != due or self.head_pin[1] == digest.hex(), "head-pin")
        self.at, self.due, self.hash, self.last = due, due + 1, digest, r
    def finish(self):
        self.due = self.at or 1
        need(self.head_pin[0] <= self.at, "head-pin")
        need(self.at and self.head, "head-missing")
        h, (kid, signature) = self.head["head"], signature_of(self.head["signature"])
        end = {"tenant": self.last["tenant"], "position": str(self.at), "hash": self.hash.hex(), "time": h["time"]}
        need(h == end and full(TIME, h["time"]) and h["time"] >= self.last["time"], "head-mismatch")
        self.check_signature(kid, "checkpoint", self.at + 1, b"canonry/head/v1\0" + canonical(h), signature)
def verify(lines, pin=None, head_pin=None):
    ledger, why = Ledger(pin, head_pin), None
    try:
        for line in map(strict_json, lines):
            if set(line) == {"head", "signature"} and not ledger.head: ledger.head = line
            else: ledger.record(line)
        ledger.finish()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error: why = str(error) or "malformed"
    return {"ok": not why, "records": ledger.at, "position": ledger.due, "why": why or (None if pin else "founder not pinned")}
if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("--tenant", type=lambda t: bytes.fromhex(re.fullmatch(f"sha256:({HEX})", t)[1]))
    parser.add_argument("--head", type=lambda t: (int(t.split(":")[0]), re.fullmatch(f"[0-9]+:({HEX})", t)[1]))
    given = parser.parse_args()
    print(json.dumps(answer := verify(open(given.file, "rb"), given.tenant, given.head)))
    sys.exit(1 if not answer["ok"] else 0 if given.tenant else 3)
