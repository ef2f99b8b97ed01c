"""What the commands for people show: text from a ModelRollout's status, without a clock or a client.

`lines` is the text and its styles, `tree` one rollout, `table` many; `live` and `output` print them.
"""
