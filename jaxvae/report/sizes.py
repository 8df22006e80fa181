"""Numbers of bytes in units that are easy to read."""


def in_bytes(count: int) -> str:
    """A number of bytes as a text such as `3.8 GiB` or `1.2 MiB`, never 0.0 of a unit."""
    size, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:,.0f} B" if unit == "B" else f"{size:,.1f} {unit}"
