"""When passes are made, and in which order each one observes, decides, records and acts.

`loop` → `one_pass`: `observe` makes a `snapshot` of what the cache holds (`fetch` reads what is missing,
`reader` parses, `gateways` looks at what a route points to) → `observed` and `obstacles` turn it into what
the brain decides on → `status_writer` → `act` (`write` and `leave` are its hands) → `announce`. Beside them
`looks` keeps one `trial` per `case` under judgement, `alarms` asks which alerts fire, `outlooks` says what
the traffic can decide, and `own_past` compares what serves with its past.
"""
