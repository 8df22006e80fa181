"""Files that a disk has damaged."""


def flip(file, bit=None):
    """Another bit of a file, without a number one in its midst."""
    content = bytearray(file.read_bytes())
    byte, place = divmod(4 * len(content) if bit is None else bit, 8)
    content[byte] ^= 1 << place
    file.write_bytes(content)
