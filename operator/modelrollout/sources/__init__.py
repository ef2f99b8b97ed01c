"""Where evidence comes from: metrics servers, asked for raw counters at the two ends of each look.

provider (the port) ← prometheus ← transport (HTTP with bounds), access (which servers may be asked, and with
which credentials), answer (the JSON, row by row).

    counters, shared, stretch  one question for all rollouts that ask the same
    looks                      what both arms did in one closed interval
    alerts                     which alerts fire, and whether their rules are evaluated
    receiver, alertmanager     what Alertmanager posts, and what is kept of it
    history, lasting, learning what the control's past says before the first look
    forecast                   how long a plan's steps will take
    quality/                   what an evaluation talks to
"""
