#!/usr/bin/env python3
"""Builds evidence bundles that were touched in every way of a table and asks a verifier about each.

tamper_bundle.py [--write DIR] [--verifier 'COMMAND']

It forges with the keys of fixtures/test-keys.json, from the ledger in fixtures/bundle.tar. COMMAND is
run with the file and, where a case needs them, --tenant and --witness; it prints JSON with `ok` and
`why`. Without it, bundle.py is asked. Exit status: 0 when every answer is right.
"""
import argparse, base64, copy, hashlib, json, os, pathlib, re, shlex, subprocess, sys, tempfile
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from proof import sha
from records import KEYS, Concern, kind_of
from tamper import HERE, NEXT_RECORD, RECORD, Export, base64url
from ustar import content, entry, header
from verify import canonical

TICKET, OTHER, SIZE, WITNESS = "tkt_00000000000000000000000001", 7, 14, "witness.example/w1"


def entries_of(raw):
    with tempfile.TemporaryFile() as file:
        file.write(raw)
        file.seek(0)
        found = []
        while at := entry(file):
            parts = []
            content(file, at[1], parts.append)
            found.append([at[0], b"".join(parts)])
    return found


def root(leaves):
    if len(leaves) == 1:
        return leaves[0]
    at = 1 << (len(leaves) - 1).bit_length() - 1
    return sha(b"\1" + root(leaves[:at]) + root(leaves[at:]))


def path(leaves, index):
    if len(leaves) == 1:
        return []
    at = 1 << (len(leaves) - 1).bit_length() - 1
    near, far, index = (leaves[:at], leaves[at:], index) if index < at else (leaves[at:], leaves[:at], index - at)
    return path(near, index) + [root(far)]


def note_line(name, kind, seed, message, before=b""):
    private = Ed25519PrivateKey.from_private_bytes(seed)
    tag = kind + private.public_key().public_bytes_raw()
    data = sha(name.encode() + b"\n" + tag)[:4] + before + private.sign(message)
    return f"\u2014 {name} {base64.b64encode(data).decode()}\n"


class Bundle:
    """What a bundle is made of, at every stage a place to touch it."""

    def __init__(self, export):
        self.export, self.size, self.whole, self.about = export, SIZE, True, TICKET
        self.signer, self.cosigned, self.tree, self.extra = "checkpoint", True, None, ()
        self.stages = {}

    def leaves(self, export=None):
        export = export or self.export
        return [sha(b"\0" + export.digest(n)) for n in range(1, self.size + 1)]

    def note(self):
        origin = f"canonry/acme/{self.export.digest(1).hex()}"
        top = base64.b64encode(root(self.leaves(self.tree))).decode()
        text = f"{origin}\n{self.size}\n{top}\n"
        seed = bytes.fromhex(self.export.keys[self.signer]["seed"])
        note = text + "\n" + note_line(origin, b"\1", seed, text.encode())
        moment = 1_769_860_801
        message = f"cosignature/v1\ntime {moment}\n{text}".encode()
        line = note_line(WITNESS, b"\4", sha(b"test key witness"), message, moment.to_bytes(8, "big"))
        return note + line * self.cosigned

    def files(self):
        export, note, leaves = self.export, self.note(), self.leaves()
        concern, keys, records, proofs = Concern(self.about), [], [], {}
        for n, line in enumerate(export.lines[:self.size]):
            fact, text = export.fact(n + 1), json.dumps(line, separators=(",", ":"), ensure_ascii=False)
            of_keys, concerned = kind_of(fact) in KEYS, concern.takes(fact) or n + 1 in self.extra
            keys += [text] if of_keys else []
            records += [text] if concerned else []
            if of_keys or concerned:
                hashes = "".join(base64.b64encode(h).decode() + "\n" for h in path(leaves, n))
                head = f"c2sp.org/tlog-proof@v1\nindex {n}\n{hashes}\n"
                proofs[f"proofs/{line['seq']:020}.tlog-proof"] = (head + note).encode()
        files = proofs | {"checkpoint": note.encode(), "keys.jsonl": "".join(l + "\n" for l in keys).encode(),
                          "records.jsonl": "".join(l + "\n" for l in records).encode()}
        lines = [json.dumps(l, separators=(",", ":"), ensure_ascii=False) + "\n" for l in export.lines + [export.head]]
        return files | ({"ledger.jsonl": "".join(lines).encode()} if self.whole else {})

    def touch(self, stage, value):
        done = self.stages.get(stage, lambda same: same)(value)
        return done if type(value) is bytes else value  # all else is changed in place

    def manifest(self, files):
        listed = [{"name": name, "bytes": str(len(files[name])), "sha256": hashlib.sha256(files[name]).hexdigest()}
                  for name in sorted(files)]
        positions = [str(json.loads(line).get("seq")) for line in files["records.jsonl"].splitlines()]
        return {"form": "canonry/evidence-bundle/v1", "tenant": "acme", "identity": self.export.digest(1).hex(),
                "about": self.about, "size": str(self.size), "positions": positions, "files": listed}

    def raw(self):
        files = self.touch("files", self.files())
        manifest = self.touch("manifest", self.manifest(files))
        text = self.touch("text", canonical(manifest))
        entries = self.touch("entries", [["manifest.json", text]] + [[name, files[name]] for name in sorted(files)])
        blocks = [header(name.encode(), len(body)) + body + bytes(-len(body) % 512) for name, body in entries]
        return self.touch("raw", b"".join(blocks) + bytes(1024))


def at(stage, work):
    """Touches the finished parts of one stage."""
    return lambda bundle: bundle.stages.update({stage: work})


def both(*works):
    return lambda bundle: [work(bundle) for work in works] and None


def parts(bundle):
    """Without the whole ledger."""
    bundle.whole = False


def change(name, old, new):
    def work(files):
        assert old in files[name], (old, files[name])
        files[name] = files[name].replace(old, new, 1)
    return at("files", work)


def in_records(position, alter):
    """Changes a line of the records, not what is signed of it."""
    def work(files):
        lines = [json.loads(line) for line in files["records.jsonl"].splitlines()]
        for line in lines:
            if line["seq"] == position:
                alter(line)
        files["records.jsonl"] = "".join(json.dumps(line) + "\n" for line in lines).encode()
    return at("files", work)


def flip(line):
    body = bytearray(base64.b64decode(line["body"]))
    body[len(body) // 2] ^= 4
    line["body"] = base64.b64encode(body).decode()


def rechain(export, position):
    """Chains what follows a position anew, with the real keys."""
    for n in range(position + 1, len(export.lines) + 1):
        def again(fact):
            fact["prevhash"] = export.digest(n - 1).hex()
        export.alter(n, again)
    export.sign_head()


def rewritten(position, alter, by=None):
    """A history in which a record is another, sealed and chained with the real keys."""
    def work(bundle):
        bundle.export.alter(position, alter)
        if by:
            bundle.export.reseal(position, by)
        rechain(bundle.export, position)
    return work


def other_priority(fact):
    fact["data"]["priority"] = 9


def fork(bundle):
    """The checkpoint of another history than the records are of."""
    other = copy.deepcopy(bundle.export)
    other.alter(12, other_priority)
    rechain(other, 12)
    bundle.tree = other


def resealed(bundle):
    """One record changed by the holder of the record key; the checkpoint is that of the old one."""
    bundle.tree, bundle.whole = copy.deepcopy(bundle.export), False
    bundle.export.alter(12, other_priority)


def left_out(position, name="records.jsonl"):
    def work(files):
        lines = files[name].splitlines(keepends=True)
        files[name] = b"".join(line for line in lines if json.loads(line)["seq"] != position)
        del files[f"proofs/{position:020}.tlog-proof"]
    return at("files", work)


def foreign(fact):
    for name in ("tenant", "source", "subject"):
        fact[name] = fact[name].replace("acme", "globex")


def of_globex(bundle):
    bundle.export.lines[11]["subject"] = bundle.export.lines[11]["subject"].replace("acme", "globex")
    rewritten(12, foreign)(bundle)


def approval(alter, by="ines-member"):
    """The approval in record 11 made anew, and the rest chained after it."""
    def work(fact, bundle):
        head, claims, _ = fact["data"]["approval"].split(".")
        claims = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        alter(claims)
        keys = bundle.export.keys[by]
        head = json.dumps({"alg": "EdDSA", "typ": "JWT", "kid": keys["key"]["id"]}).encode()
        text = base64url(head) + "." + base64url(json.dumps(claims).encode())
        signature = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(keys["seed"])).sign(text.encode())
        fact["data"]["approval"] = text + "." + base64url(signature)
    return lambda bundle: rewritten(11, lambda fact: work(fact, bundle))(bundle)


ACTION = "action/act_00000000000000000000000001"
STRONG = ("stranger", "ines")  # the key that steps up in these cases, and whose it is


def acted(kind, claims=lambda c: None, by=STRONG[0], asks=2, reach=3, data=lambda d: None, key=lambda k: None):
    """Record 10 holds an action, 11 is an answer about it; a root key gave ines a key at 4."""
    def work(bundle):
        export, keyhead = bundle.export, bundle.export.digest(1).hex()
        for n in range(4, len(export.lines) + 1):
            fact = export.fact(n)
            fact["prevhash"] = export.digest(n - 1).hex()
            if n == 4:
                strong = dict(export.keys[STRONG[0]]["key"], actor=STRONG[1], use=["stepup"], level=reach)
                key(strong)
                fact["data"]["keys"].append(strong)
            if n in (10, 11):
                name = "action.held" if n == 10 else f"action.{kind}"
                subject = export.lines[n - 1]["subject"] = f"ledger.acme.{name}"
                fact.update(subject=subject, type=f"canonry.{name}.v1", entity=ACTION,
                            dataschema=f"schemas/records/{name}.v1.json")
                fact.update({"touches": f"run/{TICKET.replace('tkt', 'run')} ticket/{TICKET}"} if n == 10 else {})
                level = {} if asks is None else {"level": asks}
                fact["data"] = {"approvals": {"groups": [], **level}} if n == 10 else answer(export, fact, kind, claims, by)
                data(fact["data"]) if n == 11 else None
            if "authorization" in fact["data"]:
                export.authorize(fact["data"], {4: "root", 8: "root", 14: "enrol"}[n], keyhead)
            export.put(n, json.dumps(fact, separators=(",", ":"), ensure_ascii=False).encode())
            export.reseal(n)
            keyhead = export.digest(n).hex() if "authorization" in fact["data"] else keyhead
        export.sign_head()
    return work


def answer(export, fact, kind, alter, by):
    step, moment = kind == "stepped-up", 1_769_860_800
    claims = {"iss": "ines", "aud": "canonry/acme/" + ("step-up" if step else "approval"), "sub": ACTION,
              "intent": fact["intentid"], "iat": moment - 5, "exp": moment + 110, "position": 10,
              "hash": export.digest(10).hex()} | ({"level": 3} if step else {"decision": "approve"})
    alter(claims)
    head = json.dumps({"alg": "EdDSA", "typ": "JWT", "kid": export.keys[by]["key"]["id"]}).encode()
    text = base64url(head) + "." + base64url(json.dumps(claims).encode())
    signature = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(export.keys[by]["seed"])).sign(text.encode())
    token = text + "." + base64url(signature)
    return {"id": ACTION[7:]} | ({"assertion": token, "level": claims["level"]} if step else {"approval": token})


def revoked_log_key(bundle):
    export = bundle.export
    data = export.fact(14)["data"]
    data["revoked"].append(export.keys["checkpoint"]["key"]["id"])
    export.authorize(data, "root")
    rewritten(14, lambda fact: fact.update(data=data))(bundle)


def repaired(bundle):
    bundle.export.repair(at=14, to=40, alter=lambda data: data.update(given="20"))
    bundle.size = 15


def add(name, body=b"x"):
    return at("entries", lambda entries: entries.append([name, body]))


def listed(name, body=b"x"):
    return at("files", lambda files: files.update({name: body}))


def swapped(files):
    first, second = [f"proofs/{n:020}.tlog-proof" for n in (12, 13)]
    files[first], files[second] = files[second], files[first]


def oversize(raw):
    name = raw.index(b"checkpoint" + bytes(90))
    return raw[:name] + header(b"checkpoint", 8**11 - 1) + raw[name + 512:]


def ledger_of_a_fork(bundle):
    other = Bundle(copy.deepcopy(bundle.export))
    rewritten(12, other_priority)(other)
    ledger = other.files()["ledger.jsonl"]
    bundle.stages["files"] = lambda files: files.update({"ledger.jsonl": ledger})


PROOF_12 = f"proofs/{12:020}.tlog-proof"
CASES = [  # a name, the reason of which one is enough (None: it stands), how it is made, what is pinned
    ("untouched", None, lambda bundle: None, ""),
    ("untouched, tenant pinned", None, lambda bundle: None, "tenant"),
    ("untouched, a witness named", None, lambda bundle: None, "tenant witness"),
    ("without the whole ledger", None, parts, "tenant witness"),
    ("a repaired ledger", None, repaired, "tenant repaired"),
    ("a record changed", "hash-mismatch", in_records(12, flip), ""),
    ("a record changed, its file not listed anew", "entry-changed",
     at("entries", lambda e: e[-1].__setitem__(1, e[-1][1].replace(b"ticket", b"tucket"))), ""),
    ("a file of another length", "entry-changed", at("entries", lambda e: e[-1].__setitem__(1, e[-1][1] + b"\n")), ""),
    ("a record changed with the record key", "proof-wrong", resealed, "tenant"),
    ("a record of another position", "gap|hash-mismatch|position|prev|body|chain|fall|records-order",
     in_records(12, lambda l: l.update(seq=13)), ""),
    ("a file dropped", "entry-missing", at("entries", lambda entries: entries.pop(3)), ""),
    ("the last file dropped", "entry-missing", at("entries", lambda entries: entries.pop()), ""),
    ("a proof dropped", "proof-missing", at("files", lambda files: files.pop(PROOF_12)), ""),
    ("no manifest", "entry-missing", at("entries", lambda entries: entries.pop(0)), ""),
    ("files in another order", "entry-missing", at("entries", lambda entries: entries.insert(1, entries.pop(2))), ""),
    ("a record left out", None, both(parts, left_out(12)), "tenant"),
    ("a record left out of a whole bundle", "records-missing", left_out(12), "tenant"),
    ("the last record of keys left out of a whole bundle", "keys-missing", left_out(14, "keys.jsonl"), ""),
    ("a record of keys left out", "keys-moved", both(parts, left_out(4, "keys.jsonl")), ""),
    ("no record 1", "gap|keys", both(parts, left_out(1, "keys.jsonl")), ""),
    ("a file not listed", "entry-unlisted", add("proofs/00000000000000000099.tlog-proof"), ""),
    ("a file of another name", "entry-name", add("readme"), ""),
    ("a file of another name, listed", "entry-name", listed("zz"), ""),
    ("a name that climbs", "entry-name", add("../../../etc/cron.d/x"), ""),
    ("a name that climbs, listed", "entry-name", listed("../x"), ""),
    ("a name from the root, listed", "entry-name", listed("/etc/x"), ""),
    ("a file twice", "entry-twice", at("entries", lambda entries: entries.append(entries[-1])), ""),
    ("a manifest twice", "entry-twice", at("entries", lambda entries: entries.append(entries[0])), ""),
    ("a file too large", "entry-too-large", listed(PROOF_12, bytes((1 << 20) + 1)), ""),
    ("a manifest too large", "entry-too-large", at("text", lambda text: text + bytes(16 << 20)), ""),
    ("a size of eight gigabytes", "entry-changed", at("raw", oversize), ""),
    ("cut", "archive-truncated", at("raw", lambda raw: raw[:-700]), ""),
    ("cut in the middle", "archive-truncated", at("raw", lambda raw: raw[:len(raw) // 2]), ""),
    ("something behind the end", "archive-malformed", at("raw", lambda raw: raw + b"x"), ""),
    ("a link for a file", "archive-malformed", at("raw", lambda raw: raw[:156] + b"2" + raw[157:]), ""),
    ("a wrong proof", "proof-wrong", at("files", swapped), ""),
    ("a proof of another leaf", "proof-wrong", change(PROOF_12, b"index 11\n", b"index 10\n"), ""),
    ("a proof that does not read", "proof-malformed", change(PROOF_12, b"index 11\n", b"index 011\n"), ""),
    ("a proof against another checkpoint", "proof-of-another-checkpoint", change(PROOF_12, b"\n14\n", b"\n13\n"), ""),
    ("a proof of nothing here", "proof-unused", at("files", lambda files: files.update(
        {f"proofs/{7:020}.tlog-proof": files[PROOF_12]})), ""),
    ("a record of something else", "record-unrelated", lambda b: setattr(b, "extra", (OTHER,)), ""),
    ("a foreign tenant's record", "foreign-tenant|fall", of_globex, ""),
    ("signed with a key revoked before", "signer-revoked|'[0-9a-f]{16}'", rewritten(12, other_priority, RECORD), ""),
    ("signed with a key of another use", "signer-use", rewritten(12, other_priority, "ines-member"), ""),
    ("signed by a stranger", "signer-unknown|'[0-9a-f]{16}'", rewritten(12, other_priority, "stranger"), ""),
    ("the checkpoint of a fork", "proof-wrong", fork, "tenant"),
    ("a fork signed with all real keys", None, both(rewritten(12, other_priority), lambda b: setattr(b, "cosigned", False)), "tenant"),
    ("the same, a witness named", "cosignature-missing",
     both(rewritten(12, other_priority), lambda b: setattr(b, "cosigned", False)), "tenant witness"),
    ("the ledger of a fork", "ledger-differs", ledger_of_a_fork, ""),
    ("the ledger cut", "head-mismatch", at("files", lambda files: files.update({"ledger.jsonl": b"".join(
        line for n, line in enumerate(files["ledger.jsonl"].splitlines(keepends=True)) if n != 15)})), ""),
    ("a checkpoint signed by another key", "note-unsigned", lambda b: setattr(b, "signer", "record"), ""),
    ("a checkpoint signed with a revoked key", "note-unsigned", revoked_log_key, ""),
    ("a checkpoint that does not read", "note-malformed", change("checkpoint", b"\n14\n", b"\n014\n"), ""),
    ("an approval by somebody else", "approval-wrong", approval(lambda c: None, "bob-member"), ""),
    ("an approval of another ticket", "approval-wrong", approval(lambda c: c.update(sub="ticket/x")), ""),
    ("an approval that was a rejection", "approval-wrong", approval(lambda c: c.update(decision="reject")), ""),
    ("an approval of another record", "approval-wrong", approval(lambda c: c.update(position=12)), ""),
    ("an approval that had expired", "approval-wrong", approval(lambda c: c.update(exp=c["iat"] + 1)), ""),
    ("what was approved changed after it", "approval-wrong", rewritten(10, other_priority), ""),
    ("an action agreed to", None, acted("approved", by="ines-member"), "tenant"),
    ("an action agreed to by somebody else", "approval-wrong", acted("approved", by="bob-member"), ""),
    ("an action agreed to with the key that steps up", "approval-wrong", acted("approved"), ""),
    ("an action stepped up for", None, acted("stepped-up"), "tenant"),
    ("a higher level than was asked for", None, acted("stepped-up", asks=1), "tenant"),
    ("a step-up with a member key", "assertion-wrong", acted("stepped-up", by="ines-member"), ""),
    ("a step-up with another's key", "assertion-wrong", acted("stepped-up", key=lambda k: k.update(actor="bob")), ""),
    ("a step-up in another's name", "assertion-wrong", acted("stepped-up", lambda c: c.update(iss="bob")), ""),
    ("a step-up for another action", "assertion-wrong", acted("stepped-up", lambda c: c.update(sub=ACTION[:-1] + "2")), ""),
    ("a step-up for another tenant", "assertion-wrong", acted("stepped-up", lambda c: c.update(aud="canonry/globex/step-up")), ""),
    ("an approval for a step-up", "assertion-wrong", acted("stepped-up", lambda c: c.update(aud="canonry/acme/approval")), ""),
    ("a step-up of another record", "assertion-wrong", acted("stepped-up", lambda c: c.update(position=9)), ""),
    ("a step-up of another hash", "assertion-wrong", acted("stepped-up", lambda c: c.update(hash="0" * 64)), ""),
    ("a step-up of another intent", "assertion-wrong", acted("stepped-up", lambda c: c.update(intent="x")), ""),
    ("a step-up for three minutes", "assertion-wrong", acted("stepped-up", lambda c: c.update(exp=c["iat"] + 180)), ""),
    ("a step-up that had expired", "assertion-wrong", acted("stepped-up", lambda c: c.update(exp=c["iat"] + 1)), ""),
    ("a step-up with a claim more", "assertion-wrong", acted("stepped-up", lambda c: c.update(note="x")), ""),
    ("a step-up of another level than the record's", "assertion-wrong", acted("stepped-up", data=lambda d: d.update(level=2)), ""),
    ("a step-up whose level is no number", "assertion-wrong", acted("stepped-up", lambda c: c.update(level=True), asks=1), ""),
    ("a step-up lower than was asked for", "assertion-wrong", acted("stepped-up", asks=4), ""),
    ("a step-up beyond its key", "assertion-wrong", acted("stepped-up", reach=2), ""),
    ("a step-up that nobody asked for", "assertion-wrong", acted("stepped-up", asks=None), ""),
    ("a step-up with a key that had expired", "assertion-wrong",
     acted("stepped-up", key=lambda k: k.update(notafter="2026-01-31T11:59:59.000000Z")), ""),
    ("a manifest about the run", "record-unrelated",
     at("manifest", lambda m: m.update(about=TICKET.replace("tkt", "run"))), ""),
    ("a manifest of another identity", "manifest-differs", at("manifest", lambda m: m.update(identity="0" * 64)), ""),
    ("a manifest of another size", "manifest-differs", at("manifest", lambda m: m.update(size="15")), ""),
    ("a manifest that leaves a position out", "manifest-differs", at("manifest", lambda m: m["positions"].pop()), ""),
    ("a manifest of another tenant", "foreign-tenant", at("manifest", lambda m: m.update(tenant="globex")), ""),
    ("a manifest with a member more", "manifest-malformed", at("manifest", lambda m: m.update(note="x")), ""),
    ("a manifest of another form", "manifest-malformed", at("manifest", lambda m: m.update(form=m["form"][:-1] + "2")), ""),
    ("a manifest written otherwise", "manifest-malformed", at("text", lambda text: text + b"\n"), ""),
    ("a manifest with a name twice", "manifest-malformed", at("text", lambda text: b'{"about":"x",' + text[1:]), ""),
    ("a manifest that lists a file twice", "manifest-malformed",
     at("manifest", lambda m: m["files"].append(m["files"][-1])), ""),
    ("records of keys among the records", "record-unrelated", lambda b: setattr(b, "extra", (4,)), ""),
    ("a line that does not read", "line-malformed", change("records.jsonl", b'{"seq"', b'{"sec"'), ""),
    ("records in another order", "records-order", at("files", lambda files: files.update(
        {"records.jsonl": b"".join(reversed(files["records.jsonl"].splitlines(keepends=True)))})), ""),
    ("no record", "line-malformed|records-missing", at("files", lambda files: files.update({"records.jsonl": b""})), ""),
    ("another tenant pinned", "tenant-pin", lambda bundle: None, "other"),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=pathlib.Path, help="keep the touched bundles in this folder")
    parser.add_argument("--verifier", default=shlex.join([sys.executable, str(HERE / "bundle.py")]))
    given, wrong = parser.parse_args(), 0
    fixture = (HERE / "fixtures/bundle.tar").read_bytes()
    keys = json.loads((HERE / "fixtures/test-keys.json").read_text())
    healthy = Export(dict(entries_of(fixture))["ledger.jsonl"].decode(), keys)
    assert Bundle(healthy).raw() == fixture, "this program does not write what the fixture is"
    public = Ed25519PrivateKey.from_private_bytes(sha(b"test key witness")).public_key().public_bytes_raw()
    witness = f"{sha(WITNESS.encode() + bytes([10, 4]) + public)[:4].hex()}+{base64.b64encode(bytes([4]) + public).decode()}"
    pins = {"tenant": ["--tenant", f"sha256:{healthy.digest(1).hex()}"],
            "witness": ["--witness", f"{WITNESS}+{witness}"], "other": ["--tenant", "sha256:" + "0" * 64]}
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.write or pathlib.Path(scratch)
        os.makedirs(folder, exist_ok=True)
        for number, (name, reason, tamper, pinned) in enumerate(CASES):
            bundle = Bundle(copy.deepcopy(healthy))
            tamper(bundle)
            file = folder / f"{number:02}-{re.sub('[^a-z0-9]+', '-', name)}.tar"
            file.write_bytes(bundle.raw())
            options = [part for pin in pinned.split() for part in pins.get(pin, [])]
            run = subprocess.run([*shlex.split(given.verifier), str(file), *options], stdout=subprocess.PIPE)
            answer = json.loads(run.stdout)
            stands = 4 if "repaired" in pinned else 0 if "tenant" in pinned else 3
            good = answer["ok"] == (reason is None) and run.returncode == (1 if reason else stands)
            good = good and (reason is None or bool(re.search(reason, answer["why"])))
            wrong += not good
            print(f"{'ok   ' if good else 'WRONG'} {name}: {reason}, answer {run.returncode} {json.dumps(answer)}")
    print(f"{len(CASES) - wrong} of {len(CASES)} as they must be")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
