"""What Prometheus says of a rollout: one task per rollout and question, and no pass waits for any of them.

case says what is judged and what is asked about it. looks runs the tasks that count both arms and keeps one
trial per case, which folds the counts. Beside them three kinds of
tasks are following a rollout: alarms asks which alerts fire, outlooks forecasts what the traffic can decide,
and own_past compares the revision that serves with its past.
"""
