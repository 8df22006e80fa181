"""The page of what was compiled."""

from pathlib import Path

from benchmarks.aot.table import Record, markdown

PAGE = Path(__file__).parents[2] / "docs" / "accelerators.md"
_TEXT = """# What the TPU compiler says

This page is written by `python -m benchmarks.aot`. libtpu, the compiler for TPUs, needs no TPU:
it runs on any x86 machine with Linux (`pip install -e '.[aot]'`). Every program below is what a
{target} would run, fully compiled. The numbers are those of the compiler and not timings: no
program was run, and how long a loop or a kernel takes on the device is unknown. Versions are
{compiler} and JAX {jax}, and the topology is {topology};
`benchmarks/results/aot-{topology}.json` also has the machine and the parts of every program.

A metric consists of several programs, which the host calls one after another. The row of a metric
is the sum over all its calls for Gaussian points. In a row "traced" the metric is called inside of
`jit`, and is one program. The first space has 784 features, the second 16 and the third 64; those
of CCA have 16 and 8, because singular value decompositions of wider spaces take minutes to
compile. The work of NumPy on the host is not counted, nor are single operations outside of `jit`.

- **parts**: the programs that a row consists of.
- **CPU s**: time to compile the parts, up to twice as long where the machine was busy; a part that
  two rows share is counted in both.
- **GiB of HBM**: memory of a device for the largest part, with its arguments.
- **GFLOP, GB**: operations, and bytes read and written, as XLA counts them; a loop over the steps
  of an epoch or the layers of a resolution is counted once, and a gather with all that it may read.
- **products**: matrix products, by their precision. Those of metrics have precision
  `highest`, float32 by six passes of bfloat16; those of networks have `default`, one pass on a TPU.
- **convolutions**: native convolutions. For NVIDIA GPUs convolutions are written as products, and
  on CPU the gradients by their kernels are; on a TPU all are native.
- **collectives**: exchanges between devices, in a step whose batch is split over four chips.

No program uses float64.

{table}

## Hierarchies of many layers

`deep_hvae` compiles the layers of a resolution as one loop over their parameters. With 40 layers
and 384 channels, in bfloat16 and with `remat`, a step with the 16 images a device of Child (2021)
takes the compiler 103 seconds of a core and needs 3.5 GiB of a v5e's 16; written out, layer after
layer, it took 1,127 seconds and 6.7 GiB, with 667 MiB of code in place of 69. The 15 layers of the
defaults, for images of 32 x 32, take 60 seconds instead of 484, and 1.9 GiB instead of 1.5.

What such a loop keeps for the gradient has the examples or the channels as its last axis, because
the compiler fills up that axis to 128: with the few columns or channels of images there, the
defaults needed 5.9 GiB. Between the convolutions of a block nothing else is kept: on a CPU, a
step of the defaults with 32 images of 28 x 28 pixels needs 305 MB of temporary memory instead of
663.

## Models of several sizes in one program

Models of a sweep over bottlenecks that are of similar size are trained in one program, whose
arrays have room for the largest of them (`jaxvae.training.group_members`). The rows "2 to 128
latents" are an epoch of sizes 2, 4, 8, 16, 32, 64 and 128, in seven programs one by one and in
one as an ensemble. Of the programs that train, without those that initialize, stack and shuffle,
the one has 1.09 times the operations of the seven together for `dense_vae` and 1.04 times for
`convolutional_vae`, moves 1.13 and 1.03 times the bytes, and takes the compiler two thirds and an
eighth of the time. On an NVIDIA H100 eight models
of `dense_vae` in one program took 0.22 of their time one by one ([speed](speed.md)), so the room
that smaller models do not use costs far less than one program gains.

`--topology` takes other TPUs (`v6e:1x1`, `v5p:2x2x1`, `v4:2x2x1`), and a GPU by a file
`NAME.txtpb` in which XLA's sources describe it, with JAX's plugin for CUDA installed (`pip
install 'jax[cuda12]'`, in an environment of its own); the compiler for GPUs counts no operations
or bytes. `tests/test_aot.py` checks that a few programs stay within limits of bytes and code.
"""


def write_page(machine: Record, records: list[Record]) -> None:
    """The page of a complete run."""
    PAGE.write_text(_TEXT.format(**machine, table=markdown(records)))
