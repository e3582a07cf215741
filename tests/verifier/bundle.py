"""Check an evidence bundle, after docs/evidence.md. Whatever is raised is a break; reasons of the
bundle itself are those of `canonry evidence verify`, and records are checked by verify.py."""
import argparse, json, re, sys
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from proof import b64, number, sha, signed, verifier_key
from records import Part, lines, proof_of, under, walk
from ustar import content, entry
from verify import COUNT, HEAD, HEX64, canonical, need, strict_json
ENTRIES, TEXT, NOTE = 65_536, 256 << 20, 64 << 10
MOST = {"manifest.json": 16 << 20, "checkpoint": NOTE, "keys.jsonl": TEXT, "ledger.jsonl": 8**11 - 1,
        "records.jsonl": TEXT}
PROOF = "proofs/([0-9]{20}).tlog-proof"
def manifest_of(raw):
    value = strict_json(raw)
    names = [file["name"] for file in value["files"]]
    forms = {"tenant": HEAD["tenant"], "identity": HEX64, "size": COUNT, "about":
             "(tkt|run)_[0-7][0-9a-hjkmnp-tv-z]{25}", "form": "canonry/evidence-bundle/v1"}
    need(canonical(value) == raw and {*value} == {*forms, "positions", "files"} and
         all(re.fullmatch(form, value[name]) for name, form in forms.items()) and
         all(type(position) is str for position in value["positions"]) and
         all({*f} == {"name", "bytes", "sha256"} and re.fullmatch(f"0|{COUNT}", f["bytes"]) and
             re.fullmatch(HEX64, f["sha256"]) for f in value["files"]) and len(names) < ENTRIES and
         names == sorted({*names}) and {"checkpoint", "keys.jsonl", "records.jsonl"} <= {*names}, "x")
    return value, names
def misplaced(names, name):
    known = "entry-unlisted" if name in MOST or re.fullmatch(PROOF, name) else "entry-name"
    raise ValueError("entry-twice" if name in ["manifest.json", *names] else known)
def whole_entry(file, name, size, wanted=None, each=None):
    need(name in MOST or re.fullmatch(PROOF, name), "entry-name")
    need(size <= MOST.get(name, 1 << 20), "entry-too-large")
    parts = []
    need(content(file, size, each or parts.append) == wanted or not wanted, "entry-changed")
    return b"".join(parts)
def note_of(data):
    text, lines = data.decode().rsplit("\n\n", 1)
    origin, size, root = need(lines.endswith("\n"), "x", text).split("\n")
    lines = [line for line in lines[:-1].split("\n") if b64(line.split(" ")[2])]
    return origin, number(size), b64(root), text + "\n", lines
def cosigned(note, key, kind, wrong, absent):
    try:
        need(signed(note[3], note[4], key, kind), absent)
    except InvalidSignature as error:
        raise ValueError(wrong) from error
def check(file, pin, witnesses):
    name, size = entry(file) or ("", 0)
    need(name == "manifest.json", "entry-missing")
    manifest, names = under("manifest-malformed", manifest_of, whole_entry(file, name, size))
    data, proofs, ledger, note = {}, {}, None, None
    for listed in manifest["files"]:
        name, found = listed["name"], entry(file)
        need(found and (found[0] <= name or found[0] not in names), "entry-missing")
        need(found[0] == name or misplaced(names, found[0]), "x")
        need(found[1] == int(listed["bytes"]), "entry-changed")
        if name == "ledger.jsonl":
            ledger = Part(manifest["about"], note[1])
        each = ledger.feed if name == "ledger.jsonl" else None
        data[name] = whole_entry(file, name, found[1], listed["sha256"], each)
        if name == "checkpoint":
            note = under("note-malformed", note_of, data[name])
        elif proof := re.fullmatch(PROOF, name):
            need(data[name].decode().split("\n\n", 1)[1:] == [data["checkpoint"].decode()],
                 "proof-of-another-checkpoint")
            proofs[int(proof[1])] = under("proof-malformed", proof_of, data.pop(name))
    if found := entry(file):
        misplaced(names, found[0])
    part, (origin, size, root) = Part(manifest["about"]), note[:3]
    keys, records = lines(data["keys.jsonl"]), lines(data["records.jsonl"])
    approvals = walk(part, keys, records, proofs, size, root)
    founder = part.found["keys.jsonl"][0][1]
    need(pin in (None, founder), "tenant-pin")
    need(origin == f"canonry/{part.tenant}/{founder}", "proof-of-another-log")
    tags = [b"\1" + key["bytes"] for key in part.keys.values() if "checkpoint" in key["use"]]
    ids = {sha(f"{origin}\n".encode() + tag)[:4]: tag for tag in tags}
    own = [(origin, i, Ed25519PublicKey.from_public_bytes(tag[1:])) for i, tag in ids.items()]
    used = [key for key in own if any(l.split(" ")[1] == origin and b64(l.split(" ")[2])[:4] == key[1]
                                      for l in note[4])]
    need(used, "note-unsigned")
    for key in used:
        cosigned(note, key, 1, "note-signature", "note-unsigned")
    for key in witnesses:
        cosigned(note, key, 4, "cosignature-missing", "cosignature-missing")
    found = part.found["records.jsonl"]
    need(found, "records-missing")
    need(manifest["tenant"] == part.tenant, "foreign-tenant")
    need((manifest["identity"], manifest["size"], manifest["positions"]) ==
         (founder, str(size), [str(at) for at, _ in found]), "manifest-differs")
    if ledger:
        if ledger.error:
            raise ledger.error
        ledger.end([])
        need(ledger.root == root and ledger.found["keys.jsonl"][0][1] == founder, "ledger-differs")
        need(ledger.found["records.jsonl"] == found, "records-missing")
        need(ledger.found["keys.jsonl"] == part.found["keys.jsonl"], "keys-missing")
    return {"records": len(found), "keys": len(keys), "approvals": approvals, "size": size,
            "tenant": f"sha256:{founder}", "complete": bool(ledger), "repairs": part.lost}
if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("file", type=argparse.FileType("rb"))
    parser.add_argument("--tenant", type=lambda t: re.fullmatch(f"sha256:({HEX64})", t)[1])
    parser.add_argument("--witness", type=lambda t: verifier_key(t, 4), action="append", default=[])
    args, shown, why = parser.parse_args(), {}, None
    try:
        shown = check(args.file, args.tenant, args.witness)
    except Exception as error:
        why = str(error)[:100] or type(error).__name__
    print(json.dumps({"ok": not why, "why": why} | shown))
    sys.exit(1 if why else 3 if not args.tenant else 4 if shown["repairs"] else 0)
