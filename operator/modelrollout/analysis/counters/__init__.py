"""From raw counter samples to observations: pure, repeatable, per series.

expression (which series) → targets (what was scraped, when, how old) → growth (how far each counter moved
in a look) → observe (both arms of a metric).
"""
