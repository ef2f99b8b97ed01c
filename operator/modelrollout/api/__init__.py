"""The resource and the words for it; every other room may import this one, and it imports none.

spec, status (the fields) → wire (how they are written) → rules, schema → crd (the CRD made of them).

    model, traffic,
    strategy, analysis         the parts of the spec
    conditions                 the reasons and their sentences
    stages                     a step of the plan, read once into one kind of thing
    names, objects             our own names in Kubernetes, and those of others
    quantities, times          durations, fractions and moments as text
"""
