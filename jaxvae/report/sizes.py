"""Bytes in words."""


def in_bytes(count: int) -> str:
    """Such as `3.8 GiB` or `1.2 MiB`, so that no size is 0.0 of its unit but none at all."""
    size, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:,.0f} B" if unit == "B" else f"{size:,.1f} {unit}"
