"""Asks OPA's own engine, a shared library written in Go: `opa.py LIBRARY < request.json`.

A request has `modules` (name to text) and `queries`, each with a `query` that binds `x` and an
`input`. The answer is a list: the value of `x`, or null where the query has no result.
"""
import ctypes
import json
import sys

opa = ctypes.CDLL(sys.argv[1])
opa.OpaNew.restype = ctypes.c_uint64
text, number = ctypes.c_char_p, ctypes.c_int
for name, kinds in {"OpaAddPolicy": [text, text], "OpaEvalQuery": [text, text, number, number]}.items():
    function = getattr(opa, name)
    function.restype, function.argtypes = ctypes.c_void_p, [ctypes.c_uint64, *kinds]
opa.OpaFreeString.argtypes = [ctypes.c_void_p]


def taken(pointer):
    answer = json.loads(ctypes.string_at(pointer))
    opa.OpaFreeString(pointer)
    if answer.get("error"):
        sys.exit(json.dumps(answer["error"]))
    return answer["result"]


request = json.load(sys.stdin)
engine = opa.OpaNew()
for name, module in request["modules"].items():
    taken(opa.OpaAddPolicy(engine, name.encode(), module.encode()))
answers = []
for one in request["queries"]:
    found = taken(opa.OpaEvalQuery(engine, one["query"].encode(), json.dumps(one["input"]).encode(), 0, 0))
    answers.append(found[0]["bindings"]["x"] if found else None)
print(json.dumps(answers))
