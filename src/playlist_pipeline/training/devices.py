"""The mesh of devices: tables are sharded by rows, batches by playlists, everything else is everywhere.

One device is a mesh of one, and takes the same way. With several processes (``jax.distributed``) each makes every batch
whole, which costs little beside a step, and keeps the part of its own devices: all processes then have the same state
of the loader, and a checkpoint does not depend on their number.
"""

from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from playlist_pipeline.errors import UserError
from playlist_pipeline.training.state import ROW_MULTIPLE, TrainState

AXIS = "data"


def is_first_process() -> bool:
    """Return whether this process is the one that writes files that all share; alone it is."""
    return jax.process_index() == 0


def wait_for_all(place: str) -> None:
    """Wait until all processes have come to the same place of the program."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(place)


def is_true_anywhere(flag: bool) -> bool:
    """Return whether ``flag`` is true in any process; all must ask."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.array(flag))))


def make_mesh(*, batch_size: int) -> Mesh:
    """Return a mesh of all devices, of all processes.

    Raises:
        UserError: They cannot share a batch or a table evenly.
    """
    count = jax.device_count()
    if batch_size % count or ROW_MULTIPLE % count:
        raise UserError(
            f"{count} devices cannot share a batch of {batch_size} playlists and tables of a multiple of "
            f"{ROW_MULTIPLE} rows: give a train.batch_size (cut by train.micro_batches) that {count} divides, on 1, 2, "
            f"4, ... {ROW_MULTIPLE} devices"
        )
    return jax.make_mesh((count,), (AXIS,), axis_types=(jax.sharding.AxisType.Auto,))


def everywhere(mesh: Mesh) -> NamedSharding:
    """Return the sharding of what every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def shard_rows(mesh: Mesh) -> NamedSharding:
    """Return the sharding of arrays that are cut along their first axis."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def shard_state(state: TrainState, mesh: Mesh) -> TrainState:
    """Return the shardings of a state, in its form: tables and what belongs to their rows are cut by rows."""
    num_rows = {name: table.values.shape[0] for name, table in state.tables.items()}

    def choose(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
        table = next((key.key for key in path if getattr(key, "key", None) in num_rows), None)
        is_cut = table is not None and leaf.ndim > 0 and leaf.shape[0] == num_rows[table]
        return shard_rows(mesh) if is_cut else everywhere(mesh)

    return jax.tree_util.tree_map_with_path(choose, state)


def place(arrays: Any, shardings: Any) -> Any:
    """Bring a tree of arrays that every process holds whole to the devices, by a tree of shardings or one for all."""
    if jax.process_count() == 1:
        return jax.device_put(arrays, shardings)
    if isinstance(shardings, NamedSharding):
        return jax.tree.map(lambda array: _place_part(array, shardings), arrays)
    return jax.tree.map(_place_part, arrays, shardings)


def _place_part(array: Any, sharding: NamedSharding) -> jax.Array:
    """Do what ``jax.device_put`` does, but compare nothing between processes: it would move whole tables for that."""
    if jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(_place_part(jax.random.key_data(array), sharding))
    host = np.asarray(array)
    return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])


def place_batch(batch: Any, mesh: Mesh) -> Any:
    """Bring a batch, a tree of host arrays [B, ...] that every process holds whole, to the devices."""
    return jax.tree.map(lambda array: _place_part(array, shard_rows(mesh)), batch)
