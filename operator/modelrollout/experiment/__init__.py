"""Experiments: is the canary better, not only no worse? Pure: no network, no clock.

The way of the data:

    assignment.py   a user's arm, from a hash of the user's name
    plan.py         the experiment as people write it, the users it needs, and the lock on both
    outcomes.py     rows of an outcome log -> one outcome per user
    comparison.py   one metric in both arms -> effect, interval, p-value
    report.py       all of it -> a result, with a sentence for people
    markdown.py     the report as Markdown
    picture.py      the effect over the users so far, drawn
"""
