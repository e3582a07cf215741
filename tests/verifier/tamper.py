#!/usr/bin/env python3
"""Breaks a healthy export in every way of a table and asks a verifier where it broke.

tamper.py [--write DIR] [--verifier 'COMMAND'] [EXPORT KEYS]

EXPORT and KEYS are fixtures/healthy.jsonl and fixtures/test-keys.json unless named; both are
written by `cargo test -p canonry-record`. COMMAND is run with the file and, where a case needs
them, --tenant and --head; it prints JSON with `ok` and `position`. Without it, verify.py is asked.
Exit status: 0 when every answer is right.
"""
import argparse, base64, copy, hashlib, json, os, pathlib, shlex, subprocess, sys, tempfile
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

HERE = pathlib.Path(__file__).parent
RECORD, NEXT_RECORD = "record", "record-2"  # the second signs from position 9 on


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Export:
    """An export as a list of lines, with the test keys to forge with."""

    def __init__(self, text, keys):
        *self.lines, self.head = [json.loads(line) for line in text.splitlines()]
        self.keys, self.tail, self.spell = keys, [], lambda text: text

    def repair(self, at=9, to=40, by="root", alter=lambda data: None, forge=lambda data: None, seal=None):
        """Cuts what follows a position and goes on beyond it, as `ledger repair` does."""
        position, last = to + 1, self.fact(at)
        data = {"after": {"position": str(at), "hash": self.digest(at).hex()},
                "lost": {"from": str(at + 1), "to": str(to)}, "given": "12", "content_key": "9-255"}
        alter(data)
        digest = hashlib.sha256(canonical(data)).digest()
        parts = [b"canonry/repair/v1", b"acme", digest]
        data["authorization"] = self.sign(by, b"\0".join(parts))
        forge(data)
        subject = "ledger.acme.tenant.repaired"
        body = {name: last[name] for name in ["specversion", "source", "datacontenttype", "tenant", "time"]}
        body |= {"id": "rec00013", "type": "canonry.tenant.repaired.v1", "subject": subject,
                 "dataschema": "schemas/records/tenant.repaired.v1.json", "actor": "ines",
                 "entity": "tenant/acme", "epoch": "2", "position": str(position),
                 "prevhash": self.digest(at).hex(), "data": data}
        headers = [["Nats-Msg-Id", "rec00013"], ["Canonry-Hash", ""], ["Canonry-Signature", ""]]
        self.lines[at:] = [{"seq": position, "subject": subject, "headers": headers, "body": ""}]
        self.put(at + 1, json.dumps(body, separators=(",", ":")).encode())
        self.reseal(at + 1, seal or NEXT_RECORD)
        self.sign_head(position=position)

    def text(self):
        lines = self.lines + ([self.head] if self.head else []) + self.tail
        return self.spell("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))

    def sign(self, name, message):
        private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(self.keys[name]["seed"]))
        return f"ed25519:{self.keys[name]['key']['id']}:{base64url(private.sign(message))}"

    def body(self, position):
        return base64.b64decode(self.lines[position - 1]["body"])

    def fact(self, position):
        return json.loads(self.body(position))

    def digest(self, position):
        line = self.lines[position - 1]
        message = b"canonry/ledger/v1\0" + line["subject"].encode() + b"\0" + self.body(position)
        return hashlib.sha256(message).digest()

    def put(self, position, body):
        self.lines[position - 1]["body"] = base64.b64encode(body).decode()

    def rehash(self, position):
        self.lines[position - 1]["headers"][1][1] = "sha256:" + self.digest(position).hex()

    def reseal(self, position, by=None):
        self.rehash(position)
        by = by or (RECORD if position < 9 else NEXT_RECORD)
        self.lines[position - 1]["headers"][2][1] = self.sign(by, b"canonry/sig/v1\0" + self.digest(position))

    def edit(self, position, old, new, seal=True):
        """Replaces bytes of a body and seals it as the holder of the record key could."""
        body = self.body(position)
        assert old in body, (old, body)
        self.put(position, body.replace(old, new, 1))
        if seal:
            self.reseal(position)

    def alter(self, position, change):
        """Changes a body's value and seals it as the holder of the record key could."""
        fact = self.fact(position)
        change(fact)
        self.put(position, json.dumps(fact, separators=(",", ":"), ensure_ascii=False).encode())
        self.reseal(position)

    def renumber(self):
        for seq, line in enumerate(self.lines, 1):
            line["seq"] = seq

    def sign_head(self, by="checkpoint", position=None):
        last = len(self.lines)
        self.head["head"].update(position=str(position or last), hash=self.digest(last).hex())
        self.head["signature"] = self.sign(by, b"canonry/head/v1\0" + canonical(self.head["head"]))

    def authorize(self, data, by, keyhead=None):
        """Authorises a change of keys anew, by any test key."""
        keyhead = keyhead or data["authorization"]["keyhead"]
        lists = hashlib.sha256(canonical({"keys": data["keys"], "revoked": data["revoked"]})).digest()
        parts = [b"canonry/key/v1", b"acme", bytes.fromhex(keyhead), lists]
        data["authorization"] = {"keyhead": keyhead, "signature": self.sign(by, b"\0".join(parts))}

    def change(self, by, alter=lambda data: None, keyhead=None, at=3):
        def both(fact):
            alter(fact["data"])
            self.authorize(fact["data"], by, keyhead)
        self.alter(at, both)


def swap(export, a, b):
    export.lines[a - 1], export.lines[b - 1] = export.lines[b - 1], export.lines[a - 1]


def flip(export):
    body = bytearray(export.body(7))
    body[len(body) // 2] ^= 4
    export.put(7, bytes(body))


def swap_renumbered(export):
    swap(export, 5, 7)
    export.renumber()


def remove_renumbered(export):
    del export.lines[4]
    export.renumber()


def remove_rewritten(export):
    del export.lines[4]
    export.renumber()
    for position in range(5, len(export.lines) + 1):
        old, new = f'"position":"{position + 1}"'.encode(), f'"position":"{position}"'.encode()
        export.put(position, export.body(position).replace(old, new))
        export.rehash(position)


def change_field(export):
    export.edit(5, b'"priority":2', b'"priority":1', seal=False)
    export.rehash(5)


def change_subject(export):
    export.lines[4]["subject"] = "ledger.acme.ticket.closed"


def change_subject_rehashed(export):
    change_subject(export)
    export.rehash(5)


def foreign_signature(export):
    export.lines[4]["headers"][2][1] = export.lines[6]["headers"][2][1]


def foreign_tenant(export):
    export.lines[4]["subject"] = "ledger.beta.ticket.assigned"
    export.put(5, export.body(5).replace(b"acme", b"beta"))
    export.reseal(5)


def repeat_header(export):
    export.lines[4]["headers"].append(["canonry-hash", "sha256:" + "0" * 64])


def move_key(export):
    moved = dict(export.keys["ines-member"]["key"], actor="bob")
    export.change("enrol", lambda data: data.update(keys=[moved]))


def expires(notafter):
    """The new record key, authorised so, with another end."""
    return lambda export: export.change("root", lambda data: data["keys"][0].update(notafter=notafter), at=8)


def weak_key(export):
    public = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
    key = dict(export.keys["bob-member"]["key"], id=hashlib.sha256(public).hexdigest()[:16], public=base64url(public))
    export.change("enrol", lambda data: data.update(keys=[key]))


def both_uses(export):
    export.change("root", lambda data: data["keys"][0].update(use=["member", "login"]))


def step_up(by, **members):
    """Bob's first key is one to step up with, authorised so."""
    members = {"use": ["stepup"], "level": 2} | members
    def alter(data):
        data["keys"][0].update(members)
        [data["keys"][0].pop(name) for name in members if members[name] is ...]
    return lambda export: export.change(by, alter)


def step_up_key(by_own=None, ends=None, ended_by=None):
    """A root key gives bob a key to step up with at 3, or bob's own one does at 6; at 6 or 10 it ends."""
    def tamper(export):
        key = dict(export.keys["stranger"]["key"], actor="bob", use=["stepup"], level=3)
        add = lambda data: data["keys"].append(key)
        end = lambda data: data["revoked"].append(key["id"])
        rechain(export, {6: (by_own, add)} if by_own else {3: ("root", add), ends: (ended_by, end)})
    return tamper


def rotate_by_enrol(export):
    export.change("enrol", at=8)


def keys_elsewhere(export):
    export.alter(5, lambda fact: fact["data"].update(keys=[export.keys["stranger"]["key"]]))


def invalid_utf8(export):
    export.edit(4, "ü".encode(), b"\xff")


def append(export):
    export.tail = [export.lines[0]]


def no_head(export):
    export.head = None


def shorten(export):
    export.lines.pop()
    export.sign_head()


def rewrite_last(export):
    export.edit(12, b'"priority":2', b'"priority":1')
    export.sign_head()


def resign_all(export):
    export.edit(1, b'"name":"Acme"', b'"name":"Acmi"')
    rechain(export)


def rechain(export, changes={}):
    """Signs everything anew, with other changes of keys where `changes` has (who, what) for a position."""
    keyhead = None
    for position in range(1, len(export.lines) + 1):
        fact = export.fact(position)
        if "authorization" in fact["data"]:
            by = {3: "enrol", 6: "bob-member", 8: "root", 10: "enrol"}[position]
            by, alter = changes.get(position, (by, lambda data: None))
            alter(fact["data"])
            export.authorize(fact["data"], by, keyhead)
            export.put(position, json.dumps(fact, separators=(",", ":"), ensure_ascii=False).encode())
        fact = export.fact(position)
        fact["prevhash"] = export.digest(position - 1).hex() if position > 1 else "0" * 64
        export.put(position, json.dumps(fact, separators=(",", ":"), ensure_ascii=False).encode())
        export.reseal(position)
        if "keys" in fact["data"]:
            keyhead = export.digest(position).hex()
    export.sign_head()


def repaired(**how):
    return lambda export: export.repair(**how)


def repair_hides(export):
    """The records that it says are lost are still there."""
    kept = export.lines[9:11]
    export.repair()
    export.lines[9:9] = kept


def repaired_twice(export):
    export.repair()
    export.lines.append(copy.deepcopy(export.lines[9]))


def without_repair(export):
    """The record after a repair stands, the repair itself is taken away."""
    export.repair()
    export.edit(10, b"tenant.repaired", b"tenant.restored")
    export.lines[9]["subject"] = "ledger.acme.tenant.restored"
    export.put(10, export.body(10).replace(b"tenant.repaired", b"tenant.restored"))
    export.reseal(10, NEXT_RECORD)
    export.sign_head(position=41)


def spelled(how):
    """The same lines, written otherwise."""
    return lambda export: setattr(export, "spell", how)


def head_with(**members):
    return lambda export: export.head["head"].update(members)


# name, position at which it must be found (None: it must pass), how it is done, what is pinned
CASES = [
    ("healthy", None, lambda e: None, ""),
    ("healthy, pinned", None, lambda e: None, "tenant head"),
    ("flipped bit", 7, flip, ""),
    ("changed field", 5, change_field, ""),
    ("changed field, sealed by the record key", 6, lambda e: e.edit(5, b'"priority":2', b'"priority":1'), ""),
    ("swapped", 5, lambda e: swap(e, 5, 7), ""),
    ("swapped and renumbered", 5, swap_renumbered, ""),
    ("removed", 5, lambda e: e.lines.pop(4), ""),
    ("removed and renumbered", 5, remove_renumbered, ""),
    ("removed, renumbered in the bodies and hashed anew", 5, remove_rewritten, ""),
    ("first removed", 1, lambda e: e.lines.pop(0), ""),
    ("repeated", 6, lambda e: e.lines.insert(5, copy.deepcopy(e.lines[4])), ""),
    ("changed subject", 5, change_subject, ""),
    ("changed subject, hashed anew", 5, change_subject_rehashed, ""),
    ("foreign tenant, sealed by the record key", 5, foreign_tenant, ""),
    ("foreign signature", 5, foreign_signature, ""),
    ("unknown key", 5, lambda e: e.reseal(5, "stranger"), ""),
    ("key without use", 5, lambda e: e.reseal(5, "checkpoint"), ""),
    ("key before its enrolment", 8, lambda e: e.reseal(8, NEXT_RECORD), ""),
    ("revoked key", 9, lambda e: e.reseal(9, RECORD), ""),
    ("a record signed by an expired key", 12, lambda e: e.alter(12, lambda f: f.update(time="2030-01-01T00:00:00.000000Z")), ""),
    ("a key that expires at no time", 8, expires("never"), ""),
    ("a key that expires at null", 8, expires(None), ""),
    ("a change of keys authorised by a revoked key", 10, lambda e: e.change("bob-member", at=10), ""),
    ("duplicate key", 5, lambda e: e.edit(5, b'"n":4', b'"n":4,"n":5'), ""),
    ("duplicate key under an escape", 5, lambda e: e.edit(5, b'"n":4', b'"n":4,"\\u006e":5'), ""),
    ("invalid UTF-8", 4, invalid_utf8, ""),
    ("integer beyond 2^53-1", 5, lambda e: e.edit(5, b'"n":4', b'"n":9007199254740992'), ""),
    ("float", 5, lambda e: e.edit(5, b'"n":4', b'"n":4.0'), ""),
    ("unknown attribute", 5, lambda e: e.edit(5, b'"workspace"', b'"workplace"'), ""),
    ("empty attribute", 5, lambda e: e.edit(5, b'"workspace":"main"', b'"workspace":""'), ""),
    ("unsorted touches", 4, lambda e: e.edit(4, b"role/rol_1 run/run_1", b"run/run_1 role/rol_1"), ""),
    ("falling epoch", 5, lambda e: e.edit(5, b'"epoch":"1"', b'"epoch":"0"'), ""),
    ("falling time", 5, lambda e: e.edit(5, b'"time":"2026', b'"time":"2025'), ""),
    ("broken chain", 5, lambda e: e.alter(5, lambda f: f.update(prevhash="0" * 64)), ""),
    ("missing header", 5, lambda e: e.lines[4]["headers"].pop(1), ""),
    ("repeated header in another case", 5, repeat_header, ""),
    ("header unlike the body", 5, lambda e: e.lines[4]["headers"][0].__setitem__(1, "rec00009"), ""),
    ("traceparent header removed", 4, lambda e: e.lines[3]["headers"].pop(3), ""),
    ("keys enrolled by the record key", 3, lambda e: e.change(RECORD), ""),
    ("keys enrolled by a stranger", 3, lambda e: e.change("stranger"), ""),
    ("keys enrolled by another member", 3, lambda e: e.change("ines-member"), ""),
    ("keys enrolled without authorization", 3, lambda e: e.alter(3, lambda f: f["data"].pop("authorization")), ""),
    ("keys changed after their authorization", 3,
     lambda e: e.alter(3, lambda f: f["data"]["keys"][0].update(actor="mallory")), ""),
    ("keys authorised against another key head", 3, lambda e: e.change("enrol", keyhead="0" * 64), ""),
    ("record key rotated by the enrol key", 8, rotate_by_enrol, ""),
    ("a key moved to another actor", 3, move_key, ""),
    ("a key for login and signatures", 3, both_uses, ""),
    ("a small-order key", 3, weak_key, ""),
    # Position 4 no longer follows the changed record 3, which itself stands.
    ("a stepup key by a root key", 4, step_up("root"), ""),
    ("a stepup key by the enrol key", 3, step_up("enrol"), ""),
    ("a stepup key by another member", 3, step_up("ines-member"), ""),
    ("a stepup key that is a member key too", 3, step_up("root", use=["stepup", "member"]), ""),
    ("a stepup key that is a member key too, without a level", 3,
     step_up("root", use=["stepup", "member"], level=...), ""),
    ("a stepup key without a level", 3, step_up("root", level=...), ""),
    ("a stepup key of level 0", 3, step_up("root", level=0), ""),
    ("a stepup key of level 10", 3, step_up("root", level=10), ""),
    ("a stepup key whose level is text", 3, step_up("root", level="2"), ""),
    ("a stepup key whose level is no number", 3, step_up("root", level=True), ""),
    ("a stepup key of level null", 3, step_up("root", level=None), ""),
    ("a member key with a level", 3, step_up("root", use=["member"]), ""),
    ("a stepup key by its member's own key", 6, step_up_key(by_own="bob-member"), ""),
    ("a stepup key by the enrol key in a rotation", 6, step_up_key(by_own="enrol"), ""),
    ("a stepup key by a root key in a rotation", None, step_up_key(by_own="root"), ""),
    ("a stepup key ended by its member's own key", None, step_up_key(ends=6, ended_by="bob-member"), ""),
    ("a stepup key ended by the enrol key", None, step_up_key(ends=10, ended_by="enrol"), ""),
    ("a stepup key ended by another member", 6, step_up_key(ends=6, ended_by="ines-member"), ""),
    ("keys in a record of another type", 5, keys_elsewhere, ""),
    ("missing head line", 12, no_head, ""),
    ("head line of another end", 11, lambda e: e.lines.pop(), ""),
    ("head line by a key without use", 12, lambda e: e.sign_head(NEXT_RECORD), ""),
    ("a line after the head line", 13, append, ""),
    ("head line with a position that is no decimal", 13, head_with(position="012"), ""),
    ("head line with a time that is none", 13, head_with(time="yesterday"), ""),
    ("head line with a number", 13, lambda e: e.head.update(signature=1), ""),
    ("head line signed by nobody", 12, lambda e: e.head.update(signature="x"), ""),
    ("a broken head line and a line after it", 13, lambda e: (head_with(position="11")(e), append(e)), ""),
    ("without the last line break", None, spelled(lambda text: text.rstrip("\n")), ""),
    ("with white space", None, spelled(lambda text: text.replace("{", " { ", 1).replace("\n", "\r\n")), ""),
    ("with an empty line", 2, spelled(lambda text: text.replace("\n", "\n\n", 1)), ""),
    ("with a line too long", 3, lambda e: e.lines[2]["headers"].append(["X", "x" * (1 << 23)]), ""),
    ("with another member", 4, lambda e: e.lines[3].update(note="x"), ""),
    ("only a head line", 1, lambda e: e.lines.clear(), ""),
    ("empty", 1, spelled(lambda text: ""), ""),
    ("shortened with a forged head line", None, shorten, "tenant"),
    ("shortened with a forged head line, head pinned", 11, shorten, "head"),
    ("last record rewritten with a forged head line, head pinned", 12, rewrite_last, "head"),
    ("repaired", None, repaired(), ""),
    ("repaired, pinned", None, repaired(), "tenant repaired"),
    ("repaired, a head that was lost pinned", 10, repaired(), "head"),
    ("repaired without a root key", 10, repaired(by="enrol"), ""),
    ("repaired by the record key", 10, repaired(by=NEXT_RECORD), ""),
    ("repaired without authorization", 10, repaired(forge=lambda d: d.pop("authorization")), ""),
    ("repair changed after its authorization", 10, repaired(forge=lambda d: d.update(given="13")), ""),
    ("repair of another head", 10, repaired(alter=lambda d: d["after"].update(hash="0" * 64)), ""),
    ("repair of another position", 10, repaired(alter=lambda d: d["after"].update(position="8")), ""),
    ("repair that names too few positions", 10, repaired(alter=lambda d: d["lost"].update(to="12")), ""),
    ("repair that names too many positions", 10, repaired(alter=lambda d: d["lost"].update({"from": "9"})), ""),
    ("repair that leaves out nothing", 10, repaired(to=9, alter=lambda d: d.update(given="9")), ""),
    ("repair of positions beyond its own", 10, repaired(alter=lambda d: d.update(given="41")), ""),
    ("repair with another member", 10, repaired(alter=lambda d: d.update(note="x")), ""),
    ("repair that hides records", 12, repair_hides, ""),
    ("repair by an old record key", 10, repaired(seal=RECORD), ""),
    ("a repair repeated", 42, repaired_twice, ""),
    ("a gap without a repair", 10, without_repair, ""),
    ("whole chain signed anew", None, resign_all, ""),
    ("whole chain signed anew, tenant pinned", 1, resign_all, "tenant"),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", default=[HERE / "fixtures/healthy.jsonl", HERE / "fixtures/test-keys.json"])
    parser.add_argument("--write", type=pathlib.Path, help="keep the tampered exports in this folder")
    parser.add_argument("--verifier", default=shlex.join([sys.executable, str(HERE / "verify.py")]))
    given = parser.parse_args()
    text, keys = (pathlib.Path(name).read_text() for name in given.files)
    healthy, wrong = Export(text, json.loads(keys)), 0
    pins = {"tenant": f"sha256:{healthy.digest(1).hex()}",
            "head": f"{healthy.head['head']['position']}:{healthy.head['head']['hash']}"}
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.write or pathlib.Path(scratch)
        os.makedirs(folder, exist_ok=True)
        for number, (name, position, tamper, pinned) in enumerate(CASES):
            export = copy.deepcopy(healthy)
            tamper(export)
            file = folder / f"{number:02}-{name.replace(' ', '-').replace(',', '')}.jsonl"
            file.write_text(export.text())
            options = [part for pin in pinned.split() if pin in pins for part in (f"--{pin}", pins[pin])]
            run = subprocess.run([*shlex.split(given.verifier), str(file), *options], stdout=subprocess.PIPE)
            answer = json.loads(run.stdout)
            whole = 4 if "repaired" in pinned else 0 if "tenant" in pinned else 3
            status = whole if position is None else 1
            good = answer["ok"] == (position is None) and run.returncode == status
            good = good and position in (None, answer["position"])
            wrong += not good
            print(f"{'ok   ' if good else 'WRONG'} {name}: position {position}, answer {json.dumps(answer)}")
    print(f"{len(CASES) - wrong} of {len(CASES)} as they must be")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
