"""The brain: `decide(spec, status, observed, now) -> Plan`. It knows no client, no clock and no kopf.

model (what was observed, what can be done) → view (what all policies ask) → decide (the policies in
their order) → converge (the acts that follow from the status reached) → report (what people read).

    install, begin, advance, promote   the way in
    revert, carry, farewell            the way out, and what keeps users served meanwhile
    alarms                             alerts that hold steps and send revisions home
    judge, gate, standing              what passes a step, and what a served revision must go on passing
    contest, contest_report            experiments and bandits, and what they came to
    handover, drain, capacity, fit     how users move, and how many pods that takes
    equal_load, rotation, unequal      whether the pods of both arms carry the same load
    drift, named, relocate             other writers, and other routes
    commands, orders, insistence       what people ask for by annotation
    phase, notes, facts                what people are shown
"""
