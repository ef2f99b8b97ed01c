"""The tests of all metrics of one rollout, folded look by look, and the one verdict that they give.

evidence (Evidence.fold) → decision (the rule) → sentences (its words) → verdict (what people get). Each for
one question: load (do pods of both arms carry the same load?), split (does traffic follow the weight?),
quiet (does nothing speak against a canary that is not proven?), guard (has a promoted revision broken down?).
"""
