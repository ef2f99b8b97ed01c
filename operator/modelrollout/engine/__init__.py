"""When passes are made, and in which order each one observes, decides, records and acts.

`loop` wakes and repeats → `one_pass` makes a pass: `observing` turns what the cache holds into a `snapshot`,
and that into what the brain decides on → `writing` stores the status → `act` carries the plan out → `sinks`
announce it. Each folder imports only from those after it:

    loop         when passes are made
    one_pass     what a pass does
    act          the actions of a plan, one by one
    evaluations  Jobs that measure how good a revision's answers are
    judging      looks, alerts, forecasts: what Prometheus says of a rollout
    sinks        where people hear of transitions
    writing      requests that change objects and status
    observing    from the cache to a snapshot, and from it to what the brain decides on
    registries   what a model's address stands for, and what registries are to say
    snapshot     one rollout's objects at one moment
    secrets      credentials that rollouts keep in a Secret
"""
