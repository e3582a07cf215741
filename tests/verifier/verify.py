"""Verify a signed ledger export, after docs/record-format.md. Whatever is raised is a break."""
import argparse, base64, datetime, hashlib, json, re, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
P, Y8 = 2**255 - 19, 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826
D, SMALL, MASK = -121665 * pow(121666, -1, P) % P, {0, 1, P - 1, Y8, P - Y8}, 2**255 - 1
HEX64, ID, TOKEN = "[0-9a-f]{64}", "[!-~]{1,64}", "[a-z0-9][a-z0-9_-]{0,62}"
LINE, COUNT, SIGNATURE = 1 << 23, "[1-9][0-9]{0,19}", "ed25519:[0-9a-f]{16}:[A-Za-z0-9_-]{86}"
SUBJECT, ENTITY = "ledger[.]([a-z0-9][a-z0-9-]{0,30})[.]([a-z-]+[.][a-z-]+)", f"[a-z-]+/{TOKEN}"
TIME = "(19[7-9]|[2-9][0-9]{2})[0-9](-[0-9]{2}){2}T([01][0-9]|2[0-3])(:[0-5][0-9]){2}[.][0-9]{6}Z"
FORMS = {"time": TIME, "actor": TOKEN, "entity": ENTITY, "epoch": f"0|{COUNT}", "via": TOKEN,
    "traceparent": "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", "correlationid": ID,
    "intentid": "[0-7][0-9A-HJKMNP-TV-Z]{25}", "intentdigest": HEX64, "authdigest": HEX64,
    "workspace": TOKEN, "touches": f"{ENTITY}( {ENTITY})*"}
HEAD = {"tenant": "[a-z0-9][a-z0-9-]{0,30}", "position": COUNT, "hash": HEX64, "time": TIME}
HEADERS = {"Nats-Msg-Id", "Canonry-Hash", "Canonry-Signature", "traceparent"}
USES = {"root", "enrol", "record", "checkpoint", "member", "login", "witness", "stepup"}
CHANGES = {"member.enrolled", "member.removed", "member.keys-rotated", "tenant.keys-rotated"}
def need(condition, why, value=None):
    if not condition:
        raise ValueError(why)
    return value
unique = lambda pairs: need(len(dict(pairs)) == len(pairs), "the same name twice", dict(pairs))
integer = lambda text: need(text != "-0" and abs(int(text)) < 2**53, "number", int(text))  # 1.0
def shallow(value, left=32):
    inner = value.values() if type(value) is dict else value
    return type(value) not in (dict, list) or left and all(shallow(v, left - 1) for v in inner)
def canonical(value):  # fails at a lone surrogate
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
def strict_json(data):
    value = json.loads(data.decode(), object_pairs_hook=unique, parse_int=integer,
                       parse_float=integer, parse_constant=integer)
    return need(type(value) is dict and shallow(value) and canonical(value), "too deep", value)
def fits(forms, of):
    return all(re.fullmatch(forms[a], of[a]) for a in of) and datetime.datetime.fromisoformat(of["time"])
def unbase64(text, altchars=b"+/", padding=""):
    data = base64.b64decode(text + padding, altchars)
    return need(base64.b64encode(data, altchars).decode() == text + padding, "base64", data)
digest = lambda value: hashlib.sha256(canonical(value)).digest()
def signed(keys, text, uses, time, what, *parts):  # returns the key
    key = keys[need(re.fullmatch(SIGNATURE, text), "signature", text)[8:24]]
    signature = unbase64(text[25:], b"-_", "==")
    need(uses & {*key["use"]} and time <= key.get("notafter", time), "signer-use, or -expired")
    need(int.from_bytes(signature[:32], "little") & MASK not in SMALL, "signature-wrong")
    public = Ed25519PublicKey.from_public_bytes(key["bytes"])
    return public.verify(signature, b"\0".join([f"canonry/{what}/v1".encode(), *parts])) or key
class Ledger:
    count, at, hash, tenant, epoch, time, head, keyhead = 0, 0, "0" * 64, None, 0, "", None, None
    keys, ever, lost = {}, {}, []  # the current keys by id; every id there ever was
    def line(self, raw, pins):
        value = need(not self.head and len(raw) < LINE, "line-malformed", strict_json(raw))
        if "head" not in value:
            return self.record(pins, **value)  # a TypeError where the members are others
        self.head = need({*map(type, value.values())} == {dict, str} and {"head", "signature"} ==
             {*value} and {*value["head"]} == {*HEAD} and fits(HEAD, value["head"]), "line", value)
    def record(self, pins, seq, subject, headers, body):
        jump = self.at and subject.endswith(".tenant.repaired")  # alone may stand beyond the next
        need(type(seq) is int and (seq > self.at + 1 if jump else seq == self.at + 1), "gap")
        need(all(type(h) is list and [*map(type, h)] == [str, str] for h in headers), "headers")
        raw, ours = unbase64(body), [h for h in headers if h[0].lower() in map(str.lower, HEADERS)]
        found = need({h[0] for h in ours} <= HEADERS, "header-repeated", unique(ours))
        sha = hashlib.sha256(b"\0".join([b"canonry/ledger/v1", subject.encode(), raw])).digest()
        need(found["Canonry-Hash"] == "sha256:" + sha.hex(), "hash-mismatch")
        body, (tenant, kind) = strict_json(raw), re.fullmatch(SUBJECT, subject).groups()
        data, time, version = body["data"], body["time"], body["type"].rpartition(".v")[2]
        touches, epoch = body.get("touches", "").split(" "), int(body["epoch"])
        fixed = {"specversion": "1.0", "source": f"canonry/{tenant}", "subject": subject,
                 "type": f"canonry.{kind}.v{version}", "datacontenttype": "application/json",
                 "dataschema": f"schemas/records/{kind}.v{version}.json", "tenant": tenant,
                 "position": str(seq), "prevhash": self.hash, "id": found["Nats-Msg-Id"]}
        need(body | fixed == body and body.get("traceparent") == found.get("traceparent") and
             re.fullmatch(COUNT, version) and int(version) < 2**32 and type(data) is dict and
             fits(FORMS, {a: body[a] for a in set(body) - {*fixed, "data"}}) and
             {"actor", "entity"} <= set(body) and touches == sorted(set(touches)) and
             ("intentid" in body or "intentdigest" not in body) and re.fullmatch(ID, body["id"]),
             "body-malformed, or chain-broken")
        need(self.tenant in (None, tenant) and self.epoch <= epoch < 2**64 and self.time <= time, "fall")
        self.tenant, self.epoch, self.time, old = tenant, epoch, time, self.keys
        if jump:
            proof, given, at = data.pop("authorization"), data["given"], self.at
            must = {"after": {"position": str(at), "hash": self.hash}, "given": given,
                    "lost": {"from": str(at + 1), "to": str(seq - 1)}}
            need(version == "1" and data | must == data and {*data} <= {*must, "content_key"} and
                 type(data.get("content_key", "")) is str and re.fullmatch(COUNT, given) and
                 at <= int(given) < seq, "repair-malformed, or repair-head")
            signed(self.keys, proof, {"root"}, time, "repair", tenant.encode(), digest(data))
            self.lost.append({"position": seq} | must)
        self.hash = sha.hex()
        if seq == 1 or kind in CHANGES:
            self.change(kind, body["entity"], data)
        elif kind == "tenant.founded" or {"keys", "revoked"} & set(data):
            raise ValueError("founded-twice, or keys-in-wrong-record")
        signed(old or self.keys, found["Canonry-Signature"], {"record"}, time, "sig", sha)
        need(all(pin == self.hash if at == seq else not self.at < at < seq for at, pin in pins),
             "tenant-pin, or head-pin")
        self.count, self.at = self.count + 1, seq
    def change(self, kind, entity, data):
        keys, revoked, new = data["keys"], data["revoked"] if self.count else [], {}
        need(type(keys) is type(revoked) is list and (keys or revoked), "keys-malformed or -empty")
        for key in keys:
            public, use = unbase64(key["public"], b"-_", "="), key["use"]
            y = int.from_bytes(public, "little") & MASK  # x is not 0: any sign bit will do
            square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
            need(len(public) == 32 and y < P and y not in SMALL and pow(square, P // 2, P) == 1 and
                 set(key) - {"notafter", "level"} == {"id", "alg", "public", "use", "actor"} and
                 fits(HEAD, {"time": key.get("notafter", self.time)}) and key["alg"] == "ed25519"
                 and re.fullmatch(TOKEN, key["actor"]) and type(use) is list and set(use) <= USES
                 and 0 < len(use) == len(set(use)) and (len(use) == 1 or not {"login", "stepup"} & {*use})
                 and ("level" in key) == (use == ["stepup"]) and re.fullmatch(b"[1-9]", canonical(key.get("level", 1))) and
                 key["id"] == hashlib.sha256(public).hexdigest()[:16] not in self.ever, "key")
            self.ever[key["id"]] = new[key["id"]] = key | {"bytes": public}
        need(len({*revoked} & {*self.keys}) == len(revoked) and (self.count or self.epoch == 0 and
             kind == "tenant.founded" and not {"revoked", "authorization"} & {*data}), "unfounded")
        if self.count:
            auth, head, tenant = data["authorization"], self.keyhead, self.tenant.encode()
            need(auth == {"keyhead": head, "signature": auth["signature"]}, "keys-moved")
            signer = signed(self.keys, auth["signature"], USES, self.time, "key",
                            tenant, bytes.fromhex(head), digest({"keys": keys, "revoked": revoked}))
            touched, may = keys + [self.keys[k] for k in revoked], set(signer["use"])
            own = kind == "member.keys-rotated" and "member" in may and all(
                f"member/{key['actor']}" == entity for key in [signer] + touched)
            need("root" in may or ("enrol" in may or own) and all(set(key["use"]) <= {"member", "login"}
                 or key["use"] == ["stepup"] and key not in keys for key in touched), "not-allowed")
        self.keys = {k: self.keys[k] for k in self.keys if k not in revoked} | new
        self.keyhead = self.hash
        uses = [use for key in self.keys.values() for use in key["use"]]
        need(uses.count("record") == 1 and "root" in uses, "record-key-count, or root-key-missing")
    def end(self, pins):
        need(all(at <= self.at for at, _ in pins), "head-pin")
        head = need(self.head, "head-missing", self.head)["head"]
        last = [self.tenant, str(self.at), self.hash, max(self.time, head["time"])]
        message = need([*map(head.get, HEAD)] == last, "head-mismatch", canonical(head))
        signed(self.keys, self.head["signature"], {"checkpoint"}, head["time"], "head", message)
if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("file", type=argparse.FileType("rb"))  # None[1] is a TypeError: bad usage
    parser.add_argument("--tenant", type=lambda t: ("1", re.fullmatch(f"sha256:({HEX64})", t)[1]))
    parser.add_argument("--head", type=lambda t: re.fullmatch(f"{COUNT}:{HEX64}", t)[0].split(":"))
    args, ledger, why, at = parser.parse_args(), Ledger(), None, 1
    pins = [(int(pin[0]), pin[1]) for pin in (args.tenant, args.head) if pin]
    try:
        while raw := args.file.readline(LINE):
            at = ledger.at + 1
            ledger.line(raw, pins)
        at = max(1, ledger.at)
        ledger.end(pins)
    except Exception as error:
        why = str(error)[:100] or type(error).__name__
    print(json.dumps({"ok": not why, "records": ledger.count, "position": at, "why": why, "repairs": ledger.lost}))
    sys.exit(1 if why else 3 if not args.tenant else 4 if ledger.lost else 0)
