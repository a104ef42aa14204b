"""The transformer over tracks: helpers, blocks, model, folding of side tables, in this order.

Shape letters: B playlists, T tokens, D embed_dim, H heads, K = D / H, F feedforward_dim, V vocabulary.

Pre-layer-norm blocks in two kinds: ``relu``, as in GPT-2 (Radford et al. 2019) with a ReLU feed-forward, is the
published model; ``ligr`` multiplies what each sub-layer adds by a gate, sigmoid(W x), and has a SwiGLU feed-forward
(Borisyuk et al. 2025; as in eSASRec, Tikhonovich et al. 2025). Dropout acts on the summed embeddings and on the output
of each sub-layer; the attention weights have none. The output head shares its table with the input (Press & Wolf 2017)
unless ``tied_output`` is off.

Weights start as in GPT-2: normal with standard deviation 0.02, the two projections that write into the residual stream
divided by sqrt(2 * num_layers), biases zero. The final layer norm gives hidden states of variance 1, so the first
logits have standard deviation 0.02 * sqrt(D) (0.23 for D = 128): nearly uniform, a first loss close to log V.
"""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx

from playlist_pipeline.config import ModelConfig
from playlist_pipeline.corpus.vocabulary import EOP
from playlist_pipeline.model.embedding import SideIndex, TrackEmbedding

INIT_STDDEV = 0.02
# Keys and values of the tokens that an attention has seen, each [B, T, H, K].
KeyValueCache = tuple[jax.Array, jax.Array]


def make_linear(
    cfg: ModelConfig, in_features: int, out_features: int, *, stddev: float = INIT_STDDEV, rngs: nnx.Rngs
) -> nnx.Linear:
    """Return a linear layer with normal weights of the given standard deviation and zero bias."""
    return nnx.Linear(
        in_features, out_features, kernel_init=nnx.initializers.normal(stddev), dtype=cfg.compute_dtype, rngs=rngs
    )


def make_norm(cfg: ModelConfig, *, rngs: nnx.Rngs) -> nnx.LayerNorm:
    """Return a layer norm over the residual stream."""
    return nnx.LayerNorm(cfg.embed_dim, dtype=cfg.compute_dtype, rngs=rngs)


def residual_stddev(cfg: ModelConfig) -> float:
    """Return the standard deviation of projections into the residual stream, so that its variance stays put."""
    return INIT_STDDEV / math.sqrt(2 * cfg.num_layers)


class Attention(nnx.Module):
    """Multi-head self-attention over the tokens that the mask lets a token see."""

    def __init__(self, cfg: ModelConfig, *, rngs: nnx.Rngs) -> None:
        self.num_heads = cfg.num_heads
        self.query_key_value = make_linear(cfg, cfg.embed_dim, 3 * cfg.embed_dim, rngs=rngs)
        self.output = make_linear(cfg, cfg.embed_dim, cfg.embed_dim, stddev=residual_stddev(cfg), rngs=rngs)

    def __call__(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
        """Attend over ``x`` [B, T, D], where ``mask`` [B, 1, 1, T] holds or, if None, causally; return [B, T, D]."""
        query, key, value = self._project(x)
        mixed = jax.nn.dot_product_attention(query, key, value, mask=mask, is_causal=mask is None)  # [B, T, H, K]
        return self.output(mixed.reshape(x.shape))  # [B, T, D]

    def extend(self, x: jax.Array, positions: jax.Array, cache: KeyValueCache) -> tuple[jax.Array, KeyValueCache]:
        """Attend causally from new tokens ``x`` [B, N, D] at ``positions`` [B, N]; see ``Transformer.extend``."""
        query, key, value = self._project(x)
        rows = jnp.arange(len(x))[:, None]
        keys, values = cache[0].at[rows, positions].set(key), cache[1].at[rows, positions].set(value)
        mask = jnp.arange(keys.shape[1]) <= positions[:, None, :, None]  # [B, 1, N, T]
        mixed = jax.nn.dot_product_attention(query, keys, values, mask=mask)  # [B, N, H, K]
        return self.output(mixed.reshape(x.shape)), (keys, values)

    def _project(self, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return queries, keys and values of ``x`` [B, T, D], each [B, T, H, K]."""
        projected = self.query_key_value(x).reshape(*x.shape[:2], 3, self.num_heads, -1)  # [B, T, 3, H, K]
        return projected[:, :, 0], projected[:, :, 1], projected[:, :, 2]


class FeedForward(nnx.Module):
    """Two linear layers at each position alone: ReLU between them, or SwiGLU: SiLU(gate x) * (up x)."""

    def __init__(self, cfg: ModelConfig, *, rngs: nnx.Rngs) -> None:
        self.up = make_linear(cfg, cfg.embed_dim, cfg.feedforward_dim, rngs=rngs)
        self.gate = make_linear(cfg, cfg.embed_dim, cfg.feedforward_dim, rngs=rngs) if cfg.block == "ligr" else None
        self.down = make_linear(cfg, cfg.feedforward_dim, cfg.embed_dim, stddev=residual_stddev(cfg), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Transform ``x`` [B, T, D]; return [B, T, D]."""
        if self.gate is None:
            return self.down(jax.nn.relu(self.up(x)))  # [B, T, D] -> [B, T, F] -> [B, T, D]
        return self.down(jax.nn.silu(self.gate(x)) * self.up(x))  # the same shapes


class Block(nnx.Module):
    """Attention, then feed-forward; each reads a layer norm of the residual stream and adds to the stream."""

    def __init__(self, cfg: ModelConfig, *, rngs: nnx.Rngs) -> None:
        self.attention_norm = make_norm(cfg, rngs=rngs)
        self.attention = Attention(cfg, rngs=rngs)
        self.feedforward_norm = make_norm(cfg, rngs=rngs)
        self.feedforward = FeedForward(cfg, rngs=rngs)
        gated = cfg.block == "ligr"
        self.attention_gate = make_linear(cfg, cfg.embed_dim, cfg.embed_dim, rngs=rngs) if gated else None
        self.feedforward_gate = make_linear(cfg, cfg.embed_dim, cfg.embed_dim, rngs=rngs) if gated else None
        # No rngs here: the caller brings them, so that a model's whole state is its weights.
        self.dropout = nnx.Dropout(cfg.dropout)

    def __call__(
        self, x: jax.Array, mask: jax.Array | None, *, rngs: nnx.Rngs | None, deterministic: bool
    ) -> jax.Array:
        """Transform the residual stream ``x`` [B, T, D]; return [B, T, D]."""
        attended = self.dropout(self.attention(self.attention_norm(x), mask), rngs=rngs, deterministic=deterministic)
        x = x + open_gate(self.attention_gate, x) * attended
        transformed = self.dropout(self.feedforward(self.feedforward_norm(x)), rngs=rngs, deterministic=deterministic)
        return x + open_gate(self.feedforward_gate, x) * transformed

    def extend(self, x: jax.Array, positions: jax.Array, cache: KeyValueCache) -> tuple[jax.Array, KeyValueCache]:
        """Transform new tokens ``x`` [B, N, D] at ``positions`` [B, N]; see ``Transformer.extend``."""
        attended, cache = self.attention.extend(self.attention_norm(x), positions, cache)
        x = x + open_gate(self.attention_gate, x) * attended
        return x + open_gate(self.feedforward_gate, x) * self.feedforward(self.feedforward_norm(x)), cache


def open_gate(gate: nnx.Linear | None, x: jax.Array) -> jax.Array | float:
    """Return how much of a sub-layer's output passes, [B, T, D] between 0 and 1; without a gate all of it."""
    return 1.0 if gate is None else jax.nn.sigmoid(gate(x))


class Transformer(nnx.Module):
    """Predicts the next tracks of a playlist; what is trained is ``nnx.Param``, the tables ``TableParam``.

    Attributes:
        cfg: The shape.
        embedding: The vectors of tokens [V, D], side information included.
        head: The vectors that score tokens, logits being ``hidden @ head.vectors().T``; None if ``embedding`` does.
    """

    def __init__(
        self,
        cfg: ModelConfig,
        *,
        vocabulary_size: int,
        side: Mapping[str, SideIndex] | None = None,
        rngs: nnx.Rngs,
    ) -> None:
        """Make a model with first weights.

        Args:
            cfg: The shape.
            vocabulary_size: V.
            side: What the side tables are about, by name; exactly those that ``cfg`` asks for.
            rngs: Holds the stream ``params``.

        Raises:
            ValueError: ``side`` is not what ``cfg`` asks for.
        """
        if set(side or {}) != set(wanted := list_side_tables(cfg)):
            raise ValueError(f"side information must be given for {wanted}, not {sorted(side or {})}")
        self.cfg = cfg
        self.embedding = TrackEmbedding(vocabulary_size, cfg.embed_dim, stddev=INIT_STDDEV, side=side, rngs=rngs)
        self.head = (
            None
            if cfg.tied_output
            else TrackEmbedding(vocabulary_size, cfg.embed_dim, stddev=INIT_STDDEV, side=side, rngs=rngs)
        )
        self.positions = (
            nnx.Param(nnx.initializers.normal(INIT_STDDEV)(rngs.params(), (cfg.context_length, cfg.embed_dim)))
            if cfg.positions
            else None
        )
        self.dropout = nnx.Dropout(cfg.dropout)
        self.blocks = nnx.List([Block(cfg, rngs=rngs) for _ in range(cfg.num_layers)])
        self.final_norm = make_norm(cfg, rngs=rngs)

    @property
    def scoring(self) -> TrackEmbedding:
        """The embedding whose vectors score tokens."""
        return self.embedding if self.head is None else self.head

    def __call__(
        self,
        tokens: jax.Array,
        visible: jax.Array | None = None,
        *,
        rngs: nnx.Rngs | None = None,
        deterministic: bool = True,
    ) -> jax.Array:
        """Return the hidden states after the final layer norm.

        With ``cfg.causal`` position t has seen tokens 0..t. Without it every position has seen all visible tokens.

        Args:
            tokens: int32 [B, T], T at most ``context_length``.
            visible: bool [B, T], the tokens that may be seen where the model is not causal; None means all before
                the padding, that is all but ``<eop>``. A causal model does not look at it.
            rngs: Holds the stream ``dropout``; needed when ``deterministic`` is false.
            deterministic: Leave dropout out.

        Returns:
            [B, T, D] in ``cfg.compute_dtype``.

        Raises:
            ValueError: More tokens than the context holds.
        """
        length = tokens.shape[1]
        if length > self.cfg.context_length:
            raise ValueError(f"{length} tokens do not fit the model's context of {self.cfg.context_length}")
        mask = None
        if not self.cfg.causal:
            mask = (tokens != EOP if visible is None else visible)[:, None, None, :]  # [B, 1, 1, T]
        x = self.embedding(tokens)  # [B, T, D]
        if self.positions is not None:
            x = x + self.positions[:length]  # [B, T, D] + [T, D]
        x = self.dropout(x.astype(self.cfg.compute_dtype), rngs=rngs, deterministic=deterministic)
        for block in self.blocks:
            x = block(x, mask, rngs=rngs, deterministic=deterministic)
        return self.final_norm(x)  # [B, T, D]

    def make_cache(self, batch_size: int, length: int) -> list[KeyValueCache]:
        """Return an empty cache for :meth:`extend`: ``length`` tokens of ``batch_size`` playlists, for each block."""
        num_heads = self.cfg.num_heads
        shape, dtype = (batch_size, length, num_heads, self.cfg.embed_dim // num_heads), self.cfg.compute_dtype
        return [(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype)) for _ in self.blocks]

    def extend(
        self, tokens: jax.Array, positions: jax.Array, cache: list[KeyValueCache]
    ) -> tuple[jax.Array, list[KeyValueCache]]:
        """Return the hidden states of new tokens of a causal model, which reads earlier ones from a cache.

        Args:
            tokens: int32 [B, N].
            positions: int32 [B, N], the place of each in its playlist; all before it have been given, here or earlier.
                The same token may be given again at the same place.
            cache: From :meth:`make_cache`, or from an earlier call.

        Returns:
            Hidden states [B, N, D] in ``cfg.compute_dtype``, equal to those of :meth:`__call__` on whole playlists but
            for rounding, and the cache with these tokens in it.
        """
        x = self.embedding(tokens)  # [B, N, D]
        if self.positions is not None:
            x = x + self.positions[...][positions]
        x, extended = x.astype(self.cfg.compute_dtype), []
        for block, seen in zip(self.blocks, cache, strict=True):
            x, extended_by_block = block.extend(x, positions, seen)
            extended.append(extended_by_block)
        return self.final_norm(x), extended


def list_side_tables(cfg: ModelConfig) -> list[str]:
    """Return the names of the side tables that a model has."""
    wanted = {
        "artist": cfg.artist_embeddings,
        "album": cfg.album_embeddings,
        "popularity": cfg.popularity_buckets > 0,
        "duration": cfg.duration_buckets > 0,
    }
    return [name for name, is_wanted in wanted.items() if is_wanted]


def fold_side_information(model: Transformer) -> Transformer:
    """Return a model that gives the same hidden states and logits and has no side tables.

    Each token's side vectors are added to its own once and for all, which makes lookups and search plain. A model
    without side tables is returned as it is.
    """
    if not model.embedding.side:
        return model
    no_side = {"artist_embeddings": False, "album_embeddings": False, "popularity_buckets": 0, "duration_buckets": 0}
    cfg = ModelConfig(**(model.cfg.to_dict() | no_side))
    vocabulary_size = model.embedding.table.shape[0]
    folded = nnx.eval_shape(lambda: Transformer(cfg, vocabulary_size=vocabulary_size, rngs=nnx.Rngs(0)))
    state = nnx.to_flat_state(nnx.state(model))
    kept = [(path, value) for path, value in state if "side" not in path]
    nnx.update(folded, nnx.from_flat_state(kept))
    folded.embedding.table.set_value(jax.jit(lambda m: m.embedding.vectors())(model))
    if model.head is not None and folded.head is not None:
        folded.head.table.set_value(jax.jit(lambda m: m.head.vectors())(model))
    return folded


def score_tokens(hidden: jax.Array, rows: jax.Array) -> jax.Array:
    """Return float32 logits of ``hidden`` [..., D] and ``rows`` [S, D]: [..., S], multiplied in hidden's type."""
    return jnp.matmul(hidden, rows.astype(hidden.dtype).T, preferred_element_type=jnp.float32)
