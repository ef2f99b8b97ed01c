"""Evidence as bets against a hypothesis: how the stake multiplies is the e-value.

ladder, edges (which margin is tested) → block, stratified (the factor of one look) → mixture (many bets over
all looks) → two_sided (for and against the canary); interval (where the difference lies), information (how
much evidence a unit of traffic carries).
"""
