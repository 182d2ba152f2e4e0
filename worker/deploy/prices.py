"""What a GPU costs, in dollars an hour: RunPod's list prices for serverless workers, by pool.

Rule: these are for a plan that is made without asking RunPod. With a key, the catalog is asked.
Source: https://www.runpod.io/pricing, November 2026, where prices are by the second. Pods are
cheaper, and have prices by GPU and by cloud, which only the catalog has.
"""

PER_HOUR = {
    pool: round(per_second * 3600, 2)
    for pool, per_second in {
        "AMPERE_24": 0.00019,
        "ADA_24": 0.00031,
        "ADA_48_PRO": 0.00053,
        "AMPERE_80": 0.00076,
        "BLACKWELL_96": 0.00111,
        "ADA_80_PRO": 0.00116,
        "HOPPER_141": 0.00155,
        "BLACKWELL_180": 0.00240,
    }.items()
}
