"""The test bed: real Kubernetes parts on this machine, started and ended by whoever uses them.

`python -m tests.bed --help` is the command, `tests.bed.plugin` the pytest side; `README.md` beside this
file tells what each tier needs.
"""
