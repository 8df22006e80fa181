"""The page of what was compiled."""

from pathlib import Path

from benchmarks.aot.table import Record, markdown

PAGE = Path(__file__).parents[2] / "docs" / "accelerators.md"
_TEXT = """# What the TPU compiler says

A page that `python -m benchmarks.aot` writes. libtpu compiles for a TPU without one, on any x86
machine with Linux (`pip install -e '.[aot]'`): every program below is what a {target} would run,
compiled to the end. It is a compiler's account, not a timing: nothing ran, and what a loop or a
kernel takes on the device is not in it. {compiler}, JAX {jax}, topology {topology}; with the
machine and the parts of every program in `benchmarks/results/aot-{topology}.json`.

Metrics are driven from the host: a line sums all that runs one after another on Gaussian points,
as often as it is called, and a line "traced" is the one program inside of a user's `jit`. Spaces
are 784 wide, and 16 and 64 where there are more; of CCA 16 and 8, since singular value
decompositions of wider ones take minutes to compile. What NumPy prepares and settles on the host
is not counted, nor are single operations outside of `jit`.

- **CPU s**: to compile the parts; what two programs share is in both.
- **GiB of HBM**: of a device, of the largest part, with its arguments.
- **GFLOP, GB**: operations, and bytes read and written, as XLA counts them; a loop that ends by
  its numbers, such as an epoch, counts once, and a gather as much as it may touch.
- **products**: of matrices, by the precision that they ask for. All of the metrics are `highest`,
  float32 by six passes of bfloat16; `default`, of networks, is one pass on a TPU.
- **convolutions**: native ones. None is written as products, as on CPU and NVIDIA GPUs.
- **collectives**: of a step whose batch is split over four chips.

There is no float64 in any of them.

{table}

What is listed by `python -m benchmarks.aot nothing` and not here was not compiled yet: `--resume`
goes on. A step of the hierarchy of 40 layers, 384 channels, in bfloat16, with 32 images on a device
asks for 22.8 GiB even so, and does not fit on a v5e; the program of that name has 16 images.

`--topology` takes others (`v6e:1x1`, `v5p:2x2x1`, `v4:2x2x1`), and a GPU by a file `NAME.txtpb` in
which XLA's sources describe it, with JAX's plugin for CUDA installed (`pip install 'jax[cuda12]'`,
in an environment of its own); its compiler counts no operations or bytes. `tests/test_aot.py` holds
a few programs to limits of bytes and code.
"""


def write_page(machine: Record, records: list[Record]) -> None:
    """The page of a complete run."""
    PAGE.write_text(_TEXT.format(**machine, table=markdown(records)))
