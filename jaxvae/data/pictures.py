"""One image file -> pixels: PNG, JPEG, TIFF, WebP, BMP and GIF, turned as their camera says.

Colors of a palette, CMYK and the like become red, green and blue; what is transparent lies on
white. Depth is kept: 16 bits stay 16 bits. Of animations the first picture is read; pages of a
TIFF are images of their own.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".gif")
"""Of the files that are taken for images, in small or capital letters."""

TIFF = (".tif", ".tiff")
"""Of those, the files of which one may hold a whole data set, its pages."""

_WIDTH, _HEIGHT, _ORIENTATION = 0x0100, 0x0101, 0x0112
# By orientation the axes of [pages, h, w, c] that are flipped, after h and w were exchanged.
_FLIPS = {2: (2,), 3: (1, 2), 4: (1,), 5: (), 6: (2,), 7: (1, 2), 8: (1,)}
_LYING = (5, 6, 7, 8)
_GRAY = ("1", "L", "LA", "La")
_DEEP = {"I;16": np.uint16, "I;16L": np.uint16, "I;16B": np.uint16, "I": np.int32, "F": np.float32}
_COLORS = ("RGB", "RGBA", "RGBX", "RGBa", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV")
_WHITE = 255
_TURNED = "rotated by their EXIF orientation"
_LEFT_OUT = "with pages of other sizes or types, which are left out"


class Header(NamedTuple):
    """The shape and type of the image in a file.

    Attributes:
        height: in pixels, as it is turned.
        width: in pixels.
        channels: 1 or 3.
        dtype: type of the pixels.
        pages: images in the file.
        remarks: what is done to it.
    """

    height: int
    width: int
    channels: int
    dtype: np.dtype
    pages: int
    remarks: tuple[str, ...]


class Picture(NamedTuple):
    """The images of a file.

    Attributes:
        pixels: `[pages, h, w, c]`.
        remarks: what was done to them that their header does not tell.
    """

    pixels: np.ndarray
    remarks: tuple[str, ...]


class PictureError(ValueError):
    """A file that gives no image; the message says why."""


def header_of(file: Path) -> Header:
    """The shape and type of the image in a file, without decoding it.

    Raises:
        PictureError: for what is no image, or of a kind that is not read.
    """
    return _opened(file, file)[0]


def picture(content: bytes, file: Path) -> Picture:
    """The images of a file, as its header announced them.

    Raises:
        PictureError: for a file that is cut off or damaged.
    """
    header, read = _opened(io.BytesIO(content), file)
    try:
        decoded: Picture = read()
    except Exception as error:  # libraries raise anything over bytes that are damaged
        raise PictureError(_reason(error)) from error
    shape = decoded.pixels.shape
    if shape != (header.pages, header.height, header.width, header.channels):
        raise PictureError(f"its header states other sizes than the {shape} that it holds")
    return decoded


def _opened(source: Any, file: Path) -> tuple[Header, Any]:
    """The header, and what reads the pixels."""
    try:
        if file.suffix.lower() in TIFF and (stack := _stack(source)):
            return stack
        return _single(_from_start(source))
    except PictureError:
        raise
    except Exception as error:
        raise PictureError(_reason(error)) from error


def _single(source: Any, pages: Sequence[int] = (0,)) -> tuple[Header, Any]:
    """An image as Pillow reads it; of a TIFF also pages that are alike in size and type."""
    from PIL import Image, ImageOps  # noqa: PLC0415

    image: Any = Image.open(source)
    if pages[0] != image.tell():
        image.seek(pages[0])
    # To ask a PNG for what is not in its head would decode it.
    known = image.format != "PNG" or "exif" in image.info
    turned = image.getexif().get(_ORIENTATION, 1) if known else 1
    # Some versions of Pillow give the size of a TIFF as it will be turned.
    size = (image.tag_v2[_WIDTH], image.tag_v2[_HEIGHT]) if image.format == "TIFF" else image.size
    width, height = size[::-1] if turned in _LYING else size
    deep = image.mode in _DEEP
    transparent = image.has_transparency_data and not deep
    gray = image.mode in _GRAY or deep or _has_gray_palette(image)
    if not gray and image.mode not in _COLORS:
        raise PictureError(f"expected gray or color, got an image of mode {image.mode}")
    moves = image.format in ("GIF", "WEBP", "PNG") and getattr(image, "is_animated", False)
    done = {
        _TURNED: turned in _FLIPS,
        f"{image.mode} made red, green and blue": image.mode in ("CMYK", "YCbCr", "LAB", "HSV"),
        "animated, of which the first picture is read": moves,
        "transparent, which is left out": image.has_transparency_data and deep,
        "of 16 bits, of which 8 are read": not deep and _is_deep_png(image),
    }
    remarks = tuple(remark for remark, is_so in done.items() if is_so)
    dtype = np.dtype(_DEEP.get(image.mode, np.uint8))
    header = Header(height, width, 1 if gray else 3, dtype, len(pages), remarks)

    def read_page() -> Picture:
        remarks: tuple[str, ...] = ()
        upright: Any = image if turned == 1 else ImageOps.exif_transpose(image)
        if deep:
            return Picture(np.asarray(upright).astype(dtype)[None, ..., None], remarks)
        if transparent:
            upright = upright.convert("RGBA")
            # An alpha channel may be full everywhere.
            if upright.getextrema()[3][0] < _WHITE:
                remarks = ("transparent, put on white",)
            paper = Image.new("RGBA", upright.size, (_WHITE,) * 4)
            upright = Image.alpha_composite(paper, upright)
        pixels = np.asarray(upright.convert("RGB").convert("L") if gray else upright.convert("RGB"))
        return Picture(pixels[None, ..., None] if gray else pixels[None], remarks)

    def read() -> Picture:
        pictures = []
        for page in pages:
            if page != image.tell():
                image.seek(page)
            pictures.append(read_page())
        pixels = np.concatenate([each.pixels for each in pictures])
        return Picture(pixels, pictures[0].remarks)

    return header, read


def _is_deep_png(image: Any) -> bool:
    """Whether an image is a PNG of 16 bits, of which Pillow keeps 8 for colors."""
    return image.format == "PNG" and any(str(tile[3]).endswith(";16B") for tile in image.tile)


def _has_gray_palette(image: Any) -> bool:
    if image.mode != "P" or image.palette is None:
        return False
    colors = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    return bool((colors == colors[:, :1]).all())


def _stack(source: Any) -> tuple[Header, Any] | None:
    """A TIFF of several pages, of 1 bit or more than 8; None for others, which Pillow reads."""
    import tifffile  # noqa: PLC0415

    # Files of OME may refer to others, which are images of their own here.
    with tifffile.TiffFile(source, _multifile=False) as tiff:
        series, page = tiff.series[0], tiff.series[0].keyframe
        bytes_alone = page.dtype == np.uint8 and page.samplesperpixel in (1, 3, 4)
        # One directory may describe a whole stack.
        plain = len(tiff.pages) == 1 and series.size == page.size and bytes_alone
        if plain:
            return None
        left_out = (_LEFT_OUT,) * (len(tiff.series) > 1)
        if page.bitspersample == 1:
            # Pillow knows the ways in which faxes are compressed.
            pages = [each.index for each in series if each is not None]
            stored, read_pages = _single(_from_start(source), pages)
            return stored._replace(remarks=(*stored.remarks, *left_out)), read_pages
        colors = tifffile.PHOTOMETRIC(page.photometric)
        if colors not in (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB):
            raise PictureError(
                f"expected a TIFF in which 0 is black, or RGB, got {colors.name} of "
                f"{page.dtype}; save it as such"
            )
        shape, axes = series.shape, series.axes
        order = _axes_of(axes)
        turned = page.tags.valueof(_ORIENTATION, 1)
        stored = _of_stack(shape, axes, np.dtype(series.dtype).newbyteorder("="))
        turns = (_TURNED,) * (turned in _FLIPS)
    height, width = stored.height, stored.width
    header = stored._replace(
        height=width if turned in _LYING else height,
        width=height if turned in _LYING else width,
        remarks=(*stored.remarks, *turns, *left_out),
    )

    def read() -> Picture:
        with tifffile.TiffFile(_from_start(source), _multifile=False) as again:
            pixels = again.series[0].asarray().transpose(order)
        pixels = pixels.reshape(stored.pages, height, width, -1)[..., : stored.channels]
        upright = pixels.swapaxes(1, 2) if turned in _LYING else pixels
        return Picture(np.flip(upright, _FLIPS.get(turned, ())), ())

    return header, read


def _from_start(source: Any) -> Any:
    """A file again, of which the beginning may have been read."""
    if isinstance(source, io.BytesIO):
        source.seek(0)
    return source


def _axes_of(axes: str) -> list[int]:
    """Pages first, then height, width, and channels or samples."""
    channels = next((axis for axis in "SC" if axis in axes), "")
    pages = [index for index, axis in enumerate(axes) if axis not in f"YX{channels}"]
    return [*pages, axes.index("Y"), axes.index("X"), *([axes.index(channels)] if channels else [])]


def _of_stack(shape: tuple[int, ...], axes: str, dtype: np.dtype) -> Header:
    size = dict(zip(axes, shape, strict=True))
    if "Y" not in size or "X" not in size:
        raise PictureError(f"expected height and width in a TIFF, got axes {axes}")
    channels = size.get("S", size.get("C", 1))
    if channels not in (1, 3, 4) or (channels == 4 and "S" not in size):
        raise PictureError(
            f"expected 1 or 3 channels, got {channels}; save those that you want as images [n, h, "
            "w, c] in a .npy"
        )
    pages = int(np.prod(shape)) // (size["Y"] * size["X"] * channels)
    if dtype.kind not in "uif":
        raise PictureError(f"expected pixels of whole or real numbers, got {dtype}")
    remarks = ("whose fourth channel is left out",) if channels == 4 else ()
    return Header(size["Y"], size["X"], min(channels, 3), dtype, pages, remarks)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    if "imagecodecs" in text:
        return "its compression is read with the package imagecodecs: pip install imagecodecs"
    if "cannot identify image file" in text:
        return "its content is that of no image"
    return f"{text or type(error).__name__}"
