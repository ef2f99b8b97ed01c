"""What the API server refuses at `kubectl apply`, and the sentence it says: CEL rules on `api.spec`.

One file for each part of the spec; `whole` has the rules that need several parts, `formats` what to write in
place of an ill-formed text, and `rule` what all of them are made of.

Each sentence says what to write instead. Rules read durations and decimals only where they are well
formed, so that one mistake brings one sentence. Each rule has a row in `tests/apiserver/`.

The API server bounds the cost of a rule before it runs, from maxItems and maxLength. It loses these
bounds in `a.?b.orValue(c)`, so rules ask `has(a.b)` first.
"""
