"""How routing APIs say a split: pure functions from Kubernetes objects to weights and back.

router (the port) ← registry (which router a spec asks for) ← one file per router: gateway, istio,
istio_subsets, service.

    rules, dialect, shares     what routers with named rules share
    ownership                  patches that touch only what is ours
    requirements               what a plan asks of its router, and the refusal
    claims, neighbours         other rollouts with the same traffic, and what a split leaves behind
"""
