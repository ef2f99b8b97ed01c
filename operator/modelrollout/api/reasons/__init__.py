"""What a ModelRollout gives as reasons, each with its sentence, by the part of a rollout that they belong to.

coming → step, proof → serving or leaving; order is what people ask for, others what comes from elsewhere.
A reason has the same sentence wherever it shows: as a condition, an Event, a log line and `status.message`.
"""
