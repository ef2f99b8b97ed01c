"""What can be said before the first look: how long steps take (planner), what the control's own past says
about noise and false alarms (calibration), and how long a step waits until it has settled (settling).
"""
