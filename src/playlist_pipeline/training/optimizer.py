"""How weights move: learning rates, AdamW for the small weights, and row rules for the embedding tables.

A row rule updates gathered rows [U, D] of a table [V, D] and their share of its state. Its cost follows from U.

``RowAdamW`` equals dense AdamW (Loshchilov & Hutter 2019, as in ``optax.adamw``) although it sees a row only when a
batch reads it. While a row gets no gradient, dense AdamW still moves it: with the moments m, v that were left at step
a, step s changes it to

    p <- (1 - lr_s wd) p - lr_s m b1^(s-a) / (1 - b1^s) / sqrt(v b2^(s-a) / (1 - b2^s)).

All of that is the row's own m / sqrt(v) times a number that depends on steps alone. With r = b1 / sqrt(b2),
c_s = sqrt(1 - b2^s) / (1 - b1^s), D_s the product of (1 - lr_i wd) for i up to s, and

    A_a = sum over s > a of r^(s-a) lr_s c_s D_a / D_s,   so that   A_a = r (lr_(a+1) c_(a+1) + A_(a+1)) D_a / D_(a+1),

a row that was last moved at step a stands at step t at

    p_t = D_t / D_a p_a - (D_t / D_a A_a - r^(t-a) A_t) m / sqrt(v).

A and log D are tables with one number a step, made once in float64. Epsilon, which stands beside sqrt(v), is carried
along as it counted at step a.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

from playlist_pipeline.config import TrainConfig

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
# Terms of A fall by 0.9 a step; so many past the end are as good as all.
MOMENTUM_HORIZON = 1000

Slots = Any


def make_schedule(config: TrainConfig, total_steps: int, *, peak: float | None = None) -> Callable[[Any], Any]:
    """Return the learning rate by the number of steps taken before.

    Args:
        config: ``schedule`` and ``warmup_steps``.
        total_steps: Where ``cosine`` ends at 0.
        peak: The highest rate; None takes ``learning_rate``.
    """
    peak = config.learning_rate if peak is None else peak
    warmup = min(config.warmup_steps, total_steps)
    if config.schedule == "constant":
        after = optax.constant_schedule(peak)
    else:
        after = optax.cosine_decay_schedule(peak, max(total_steps - warmup, 1))
    # The first step of the rise is not zero, as it would change nothing.
    rise = optax.linear_schedule(peak / (warmup + 1), peak, max(warmup, 1))
    return optax.join_schedules([rise, after], [warmup])


def make_optimizer(config: TrainConfig, total_steps: int) -> optax.GradientTransformation:
    """Return AdamW with the configured rate and decay, for all but the tables."""
    schedule = make_schedule(config, total_steps)
    return optax.adamw(schedule, b1=BETA1, b2=BETA2, eps=EPSILON, weight_decay=config.weight_decay)


def clip_gradients(gradients: Any, highest_norm: float | None) -> Any:
    """Scale gradients, a tree, down to a global norm of ``highest_norm``; None leaves them as they are."""
    if highest_norm is None:
        return gradients
    norm = optax.tree.norm(gradients)
    return jax.tree.map(
        lambda gradient: gradient * jnp.minimum(1.0, highest_norm / jnp.maximum(norm, 1e-30)), gradients
    )


def is_finite(loss: jax.Array, by_params: Any, by_tables: Any) -> jax.Array:
    """Return whether the loss and all gradients, two trees, are finite: bool scalar."""
    # One check of all parameters, laid end to end: XLA compiles one for each of them more than twice as long.
    flat = jnp.concatenate([gradient.ravel() for gradient in jax.tree.leaves(by_params)])
    finite = jnp.isfinite(loss) & jnp.all(jnp.isfinite(flat))
    for gradient in jax.tree.leaves(by_tables):
        finite &= jnp.all(jnp.isfinite(gradient))
    return finite


def round_stochastically(values: jax.Array, key: jax.Array) -> jax.Array:
    """Round float32 to bfloat16, up or down with the probability that makes the mean right.

    Rounding to nearest would never let a second moment decay: 0.999 of a number is the same bfloat16.

    Args:
        values: float32, finite.
        key: Of the draw.
    """
    bits = jax.lax.bitcast_convert_type(values, jnp.uint32)
    noise = jax.random.bits(key, values.shape, jnp.uint16).astype(jnp.uint32)
    rounded = (bits + noise) & jnp.uint32(0xFFFF0000)
    return jax.lax.bitcast_convert_type(rounded, jnp.float32).astype(jnp.bfloat16)


class RowRule(Protocol):
    """Updates rows of a table. Steps are counted from 1, by updates that were made."""

    def init(self, table: jax.Array) -> Slots:
        """Return the state of a table [V, D]: a tree of arrays whose first axis is V."""

    def catch_up(self, rows: jax.Array, slots: Slots, step: jax.Array) -> tuple[jax.Array, Slots]:
        """Return rows [U, D] and their state as they are after ``step`` steps, the last ones without a gradient."""

    def update(
        self,
        rows: jax.Array,
        slots: Slots,
        gradients: jax.Array,
        step: jax.Array,
        key: jax.Array,
        *,
        gate: jax.Array | float = 1.0,
    ) -> tuple[jax.Array, Slots]:
        """Return rows [U, D] and their state after step ``step``, which is the one of the gradients given.

        Args:
            rows: float32 [U, D], caught up with ``step - 1``.
            slots: Their state, from ``catch_up``.
            gradients: float32 [U, D].
            step: int32.
            key: Of stochastic rounding.
            gate: 1, or 0 to change nothing; gradients are finite in any case.
        """


def store_moments(moments: jax.Array) -> jax.Array:
    """Return what a table keeps: float32 as it is, bfloat16 as its bits (uint16).

    Tables of bfloat16 itself would be converted whole by XLA's CPU backend at every scatter.
    """
    return moments if moments.dtype == jnp.float32 else jax.lax.bitcast_convert_type(moments, jnp.uint16)


def load_moments(stored: jax.Array) -> jax.Array:
    """Return float32 of what ``store_moments`` returned."""
    if stored.dtype == jnp.float32:
        return stored
    return jax.lax.bitcast_convert_type(stored, jnp.bfloat16).astype(jnp.float32)


class Moments(NamedTuple):
    """AdamW's state of rows.

    Attributes:
        mean: First moments [U, D]; in a table as ``store_moments`` has them.
        square: Second moments [U, D]; likewise.
        last_step: int32 [U], the step that moved the row last, 0 for none.
    """

    mean: jax.Array
    square: jax.Array
    last_step: jax.Array


@dataclass(frozen=True, eq=False)
class RowAdamW:
    """AdamW on rows; see the head of this module.

    Attributes:
        rates: float64, the learning rate of each step.
        weight_decay: Decoupled decay.
        moment_dtype: What moments are kept in, ``float32`` or ``bfloat16``; the second is rounded stochastically.
        lazy: Leave out the catching up: rows stand still, and their moments too, while no batch reads them.
    """

    rates: np.ndarray
    weight_decay: float
    moment_dtype: str = "float32"
    lazy: bool = False

    @cached_property
    def _log_decay(self) -> np.ndarray:
        """Log D by step, from step 0 on."""
        return np.concatenate([[0.0], np.cumsum(np.log1p(-self.rates * self.weight_decay))])

    @cached_property
    def _momentum(self) -> np.ndarray:
        """A by step, from step 0 on."""
        ratio = BETA1 / np.sqrt(BETA2)
        rates = np.concatenate([self.rates, np.full(MOMENTUM_HORIZON, self.rates[-1])])
        steps = np.arange(1, len(rates) + 1)
        pulls = rates * np.sqrt(1 - BETA2**steps) / (1 - BETA1**steps)
        decays = 1 - rates * self.weight_decay
        sums = np.zeros(len(rates) + 1)
        for step in range(len(rates), 0, -1):
            sums[step - 1] = ratio * (pulls[step - 1] + sums[step]) / decays[step - 1]
        return sums[: len(self.rates) + 1]

    def init(self, table: jax.Array) -> Moments:
        """Return zero moments."""
        zeros = jnp.zeros(table.shape, jnp.float32 if self.moment_dtype == "float32" else jnp.uint16)
        return Moments(zeros, zeros.copy(), jnp.zeros(len(table), jnp.int32))

    def catch_up(self, rows: jax.Array, slots: Moments, step: jax.Array) -> tuple[jax.Array, Moments]:
        """Make the steps that the rows have missed, in closed form; moments come out in float32."""
        mean, square = load_moments(slots.mean), load_moments(slots.square)
        if self.lazy:
            return rows, Moments(mean, square, slots.last_step)
        last = slots.last_step
        missed = (step - last).astype(jnp.float32)[:, None]
        log_decay = jnp.asarray(self._log_decay, jnp.float32)
        momentum = jnp.asarray(self._momentum, jnp.float32)
        decay = jnp.exp(log_decay[step] - log_decay[last])[:, None]
        distance = decay * momentum[last][:, None] - jnp.exp(missed * np.log(BETA1 / np.sqrt(BETA2))) * momentum[step]
        epsilon = EPSILON * jnp.sqrt(1 - BETA2 ** last.astype(jnp.float32))[:, None]
        direction = jnp.where(square > 0, mean / (jnp.sqrt(square) + epsilon), 0.0)
        moments = Moments(
            mean * jnp.exp(missed * np.log(BETA1)),
            square * jnp.exp(missed * np.log(BETA2)),
            jnp.full_like(last, step),
        )
        return decay * rows - distance * direction, moments

    def update(
        self,
        rows: jax.Array,
        slots: Moments,
        gradients: jax.Array,
        step: jax.Array,
        key: jax.Array,
        *,
        gate: jax.Array | float = 1.0,
    ) -> tuple[jax.Array, Moments]:
        """Take AdamW's step."""
        mean = slots.mean + gate * (1 - BETA1) * (gradients - slots.mean)
        square = slots.square + gate * (1 - BETA2) * (jnp.square(gradients) - slots.square)
        corrected = jnp.sqrt(square / (1 - BETA2**step)) + EPSILON
        rate = gate * jnp.asarray(self.rates, jnp.float32)[step - 1]
        rows = rows - rate * (mean / (1 - BETA1**step) / corrected + self.weight_decay * rows)
        if self.moment_dtype == "bfloat16":
            mean, square = mean.astype(jnp.bfloat16), round_stochastically(square, key)
        return rows, Moments(
            store_moments(mean), store_moments(square), slots.last_step + (step - slots.last_step) * jnp.int32(gate)
        )


@dataclass(frozen=True, eq=False)
class RowAdagrad:
    """Adagrad with one accumulator a row, the mean of its squared gradients; no decay.

    Source: Duchi et al. 2011; kept a row at a time as in DLRM (Naumov et al. 2019).

    Attributes:
        rates: float64, the learning rate of each step.
    """

    rates: np.ndarray

    def init(self, table: jax.Array) -> jax.Array:
        """Return zero accumulators [V]."""
        return jnp.zeros(len(table), jnp.float32)

    def catch_up(self, rows: jax.Array, slots: jax.Array, step: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return all as it is: without a gradient Adagrad does not move."""
        return rows, slots

    def update(
        self,
        rows: jax.Array,
        slots: jax.Array,
        gradients: jax.Array,
        step: jax.Array,
        key: jax.Array,
        *,
        gate: jax.Array | float = 1.0,
    ) -> tuple[jax.Array, jax.Array]:
        """Take Adagrad's step."""
        slots = slots + gate * jnp.mean(jnp.square(gradients), axis=-1)
        rate = gate * jnp.asarray(self.rates, jnp.float32)[step - 1]
        return rows - rate * gradients / (jnp.sqrt(slots) + EPSILON)[:, None], slots


def make_row_rule(config: TrainConfig, total_steps: int) -> RowRule:
    """Return the rule for the embedding tables."""
    schedule = make_schedule(config, total_steps, peak=config.table_learning_rate)
    # vmap: optax's schedules take one step at a time.
    rates = np.asarray(jax.vmap(schedule)(jnp.arange(total_steps + 1)), np.float64)
    if config.optimizer == "adagrad":
        return RowAdagrad(rates)
    return RowAdamW(rates, config.weight_decay, config.moment_dtype, lazy=config.optimizer == "lazy_adamw")
