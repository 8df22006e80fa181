"""The main programs, compiled for an accelerator that this machine does not have.

JAX is told before it is imported to run on the CPU and to look for no TPU.
"""

import os

for name, value in {
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    # Nobody has a TPU here whom another process could disturb.
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    # Else libtpu writes that it did not find out.
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
}.items():
    os.environ.setdefault(name, value)

# Before jaxvae is imported, whose modules compile with `jax.jit`.
from benchmarks.aot import recording as recording  # noqa: E402
