"""The statistics: whether the counts of two arms prove that the canary is not worse, or that it is.

inputs (what is judged, what was seen) → kinds (one test per kind of metric, made of bets and their noise) →
evidence (the tests of a rollout together) → verdict. Each folder imports only from those after it:

    records   a rollout's evidence as a file, and judging it again
    planning  how long steps take, and what the control's own past says before a rollout
    packs     metrics by name, as data
    counters  from raw counter samples to observations
    evidence  the tests of one rollout, and the rule that makes one verdict of them
    kinds     the test of each kind of metric: shares, latency, rare events, single numbers
    noise     how much noisier the counts are than independent requests would be
    contest   which of two arms is the better one: experiments and bandits
    betting   e-processes: margins, factors, mixtures, intervals
    inputs    metrics, plan, looks and observations
    packing   numbers as text in status
"""
