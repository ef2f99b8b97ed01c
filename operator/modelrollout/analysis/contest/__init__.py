"""Which of two arms is better, from counts of users and of those who did what is hoped for.

shares      two shares -> the difference, its interval, how likely it is by chance, and the users it takes
sums        two means or two ratios, from sums over users: the same
sequential  the same question with an answer that holds at any time
anytime     an interval that holds at any time, from that of one look
strata      the difference while weights and habits change, and how probable it is that the canary leads
tally       all looks of one experiment or bandit, and its ending
"""
