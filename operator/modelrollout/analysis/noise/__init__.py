"""How much noisier counts are than independent requests would be; evidence is divided by it.

design_effect (from a finished past, before the rollout) → noise (what is known before the first look) →
dispersion (what the looks of the rollout show). Breakdowns alone are divided by what
beside_breakdowns knows.
"""
