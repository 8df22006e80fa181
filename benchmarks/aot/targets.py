"""The devices that programs are compiled for."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding

TPU = "v5e:2x2"
# By platform the packages that compile for it, of which one is needed, and how to get it.
_COMPILERS = {
    "tpu": (("libtpu",), "pip install -e '.[aot]', on Linux on x86"),
    "gpu": (
        ("jax-cuda13-plugin", "jax-cuda12-plugin"),
        "pip install 'jax[cuda12]', 5 GB, in an environment of its own",
    ),
}


class Target(NamedTuple):
    """The device that programs are compiled for.

    Attributes:
        name: name of the topology.
        platform: `tpu` or `gpu`.
        devices: that need not be here.
        compiler: its package and version.
    """

    name: str
    platform: str
    devices: list[Any]
    compiler: str

    @property
    def one(self) -> SingleDeviceSharding:
        """All arrays on the first device."""
        return SingleDeviceSharding(self.devices[0])


def target_of(topology: str) -> Target:
    """The devices of a topology.

    Args:
        topology: of TPUs, such as `v5e:2x2`, or a file `NAME.txtpb` in which XLA describes a GPU,
            as its sources hold one for every kind.

    Raises:
        ValueError: for one that there is not, and where what compiles for it is not installed.
    """
    platform = "gpu" if topology.endswith(".txtpb") else "tpu"
    compiler = _compiler(platform)
    try:
        devices = _described(Path(topology)) if platform == "gpu" else _tpus(topology)
    except Exception as error:
        raise ValueError(
            "expected a topology such as v5e:2x2, v6e:1x1, v5p:2x2x1 or v4:2x2x1, or a GPU as XLA "
            f"describes it in a file .txtpb, got {topology}: {str(error)[:200]}"
        ) from error
    return Target(Path(topology).stem.replace(":", "-"), platform, devices, compiler)


def _compiler(platform: str) -> str:
    packages, install = _COMPILERS[platform]
    for package in packages:
        try:
            return f"{package} {version(package)}"
        except PackageNotFoundError:
            continue
    wanted = " or ".join(packages)
    raise ValueError(f"expected {wanted}, to compile for {platform.upper()}, got none: {install}")


def _tpus(topology: str) -> list[Any]:
    return list(topologies.get_topology_desc(topology, "tpu").devices)


def _described(path: Path) -> list[Any]:
    options = {"target_config": path.read_text(), "topology": "1x1x1"}
    return list(topologies.get_topology_desc("1x1x1", "cuda", **options).devices)
