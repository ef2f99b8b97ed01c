"""What can be said before the first look: how long steps take (planner), and what the control's own past says
about noise and false alarms (calibration). No verdict depends on it.
"""
