"""What the statistics are given: the plan and its metrics, fixed before the first look; the looks on the
clock; and what each look observed of both arms.

observation, metric → plan; schedule says when looks begin and end.
"""
