#!/usr/bin/env python3
"""Checks an offline proof (C2SP tlog-proof) of a Canonry record, from docs/checkpoints.md alone.

usage: proof.py FILE LOG-KEY [WITNESS-KEY ...]
Exit codes: 0 the record is in the log and every witness named cosigned; 1 not; 2 bad usage.
"""
import base64
import hashlib
import json
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Refused(Exception): ...


def sha(data):
    return hashlib.sha256(data).digest()


def b64(text):
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise Refused("base64 is not in its only form")
    return data


def number(text):
    value = int(text)
    if str(value) != text or value < 0:
        raise Refused("a number is not in its only form")
    return value


def verifier_key(text, kind):
    name, key_id, key = text.split("+", 2)
    key = b64(key)
    if key[0] != kind or len(key) != 33 or sha(name.encode() + b"\n" + key)[:4].hex() != key_id:
        raise Refused("not a key of this kind")
    return name, bytes.fromhex(key_id), Ed25519PublicKey.from_public_bytes(key[1:])


def signed(note_text, lines, key, kind):
    name, key_id, public = key
    found = False
    for dash, who, data in (line.split(" ") for line in lines):
        data = b64(data)
        if dash != "\u2014" or who != name or data[:4] != key_id:
            continue
        message, signature = note_text.encode(), data[4:]
        if kind == 4:
            time = int.from_bytes(signature[:8], "big")
            message = b"cosignature/v1\ntime %d\n" % time + message
            signature = signature[8:]
        public.verify(signature, message)
        found = True
    return found


def root_of(leaf, index, size, proof):
    if index >= size:
        raise Refused("no such leaf")
    at, last, node = index, size - 1, leaf
    for step in proof:
        if last == 0:
            raise Refused("the proof is too long")
        if at & 1 or at == last:
            node = sha(b"\x01" + step + node)
            while at & 1 == 0 and at != 0:
                at, last = at >> 1, last >> 1
        else:
            node = sha(b"\x01" + node + step)
        at, last = at >> 1, last >> 1
    if last != 0:
        raise Refused("the proof is too short")
    return node


def check(text, log_key, witness_keys):
    head, note = text.split("\n\n", 1)
    lines = head.split("\n")
    if lines[0] != "c2sp.org/tlog-proof@v1" or not lines[1].startswith("extra "):
        raise Refused("not a proof that holds its record")
    record = json.loads(json.loads(b64(lines[1][6:]))["record"])
    if not lines[2].startswith("index "):
        raise Refused("no index")
    index, proof = number(lines[2][6:]), [b64(line) for line in lines[3:]]
    note_text, signatures = note.rsplit("\n\n", 1)
    note_text += "\n"
    origin, size, root = note_text.split("\n")[:3]
    body = base64.b64decode(record["body"], validate=True)
    record_hash = sha(b"canonry/ledger/v1\0" + record["subject"].encode() + b"\0" + body)
    if root_of(sha(b"\0" + record_hash), index, number(size), proof) != b64(root):
        raise Refused("the record is not in this tree")
    log = verifier_key(log_key, 1)
    lines = signatures.strip("\n").split("\n")
    if log[0] != origin or not signed(note_text, lines, log, 1):
        raise Refused("the checkpoint is not signed by this log")
    for key in witness_keys:
        if not signed(note_text, lines, verifier_key(key, 4), 4):
            raise Refused("a witness did not cosign")
    return f"{json.loads(body)['type']} is leaf {index} of {size} in {origin}"


def main(words):
    if len(words) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        with open(words[0], encoding="utf-8") as file:
            print(check(file.read(), words[1], words[2:]))
        return 0
    except (Refused, InvalidSignature, ValueError, KeyError, IndexError, TypeError) as why:
        print(f"refused: {why or type(why).__name__}")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
