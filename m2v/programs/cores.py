"""How many cores are ours."""


def n_cores() -> int:
    """Count the cores that this process may use, at least 1, by its affinity and a container's quota."""
    # Here, since most of what imports us never asks.
    from joblib import cpu_count

    return cpu_count()
