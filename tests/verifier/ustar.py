"""The archive of an evidence bundle, after docs/evidence.md: ustar in one form only. A header is made
anew from its name and size and compared, so that no two readers can see different archives."""
import hashlib, re
from verify import LINE, need
def header(name, size):
    block = bytearray(512)
    for at, text in [(0, name), (100, b"0000644\0" + b"0000000\0" * 2), (124, b"%011o\0" % size),
                     (136, b"0" * 11 + b"\0        0"), (257, b"ustar\x0000")]:
        block[at:at + len(text)] = text
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)
def take(file, size):
    data = file.read(size)
    return need(len(data) == size, "archive-truncated", data)
def entry(file):  # name and size of the next entry; None at the end
    block = take(file, 512)
    if block == bytes(512):
        return need(take(file, 512) == bytes(512) and not file.read(1), "archive-malformed")
    name, size = block[:100].split(b"\0")[0], block[124:135]
    need(re.fullmatch(b"[!-~]+", name) and re.fullmatch(b"[0-7]{11}", size)
         and block == header(name, int(size, 8)), "archive-malformed")
    return name.decode(), int(size, 8)
def content(file, size, each):  # gives every line, answers SHA-256
    whole, left = hashlib.sha256(), size
    while left:
        line = need(raw := file.readline(min(left, LINE)), "archive-truncated", raw)
        whole.update(line)
        each(line)
        left -= len(line)
    need(not any(take(file, -size % 512)), "archive-malformed")
    return whole.hexdigest()
