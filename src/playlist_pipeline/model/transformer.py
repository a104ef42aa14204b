"""The causal transformer over tracks: configuration, helpers, blocks, model, in this order.

Shape letters: B playlists, T tokens, D embed_dim, H heads, K = D / H, F feedforward_dim, V vocabulary.

Pre-layer-norm blocks as in GPT-2 (Radford et al. 2019), ReLU feed-forward, learned positions, and an output head that
shares its table with the input (Press & Wolf 2017). Dropout acts on the summed embeddings and on the output of each
sub-layer; the attention weights have none.

Weights start as in GPT-2: normal with standard deviation 0.02, the two projections that write into the residual stream
divided by sqrt(2 * num_layers), biases zero. The final layer norm gives hidden states of variance 1, so the first
logits have standard deviation 0.02 * sqrt(D) (0.23 for D = 128): nearly uniform, a first loss close to log V.
"""

import math

import jax
from flax import nnx

from playlist_pipeline.config import ModelConfig
from playlist_pipeline.model.embedding import TrackEmbedding

INIT_STDDEV = 0.02


def make_linear(in_features: int, out_features: int, *, stddev: float = INIT_STDDEV, rngs: nnx.Rngs) -> nnx.Linear:
    """Return a linear layer with normal weights of the given standard deviation and zero bias."""
    return nnx.Linear(in_features, out_features, kernel_init=nnx.initializers.normal(stddev), rngs=rngs)


def residual_stddev(cfg: ModelConfig) -> float:
    """Return the standard deviation of projections into the residual stream, so that its variance stays put."""
    return INIT_STDDEV / math.sqrt(2 * cfg.num_layers)


class CausalAttention(nnx.Module):
    """Multi-head self-attention in which a token sees itself and what comes before it."""

    def __init__(self, cfg: ModelConfig, *, rngs: nnx.Rngs) -> None:
        self.num_heads = cfg.num_heads
        self.query_key_value = make_linear(cfg.embed_dim, 3 * cfg.embed_dim, rngs=rngs)
        self.output = make_linear(cfg.embed_dim, cfg.embed_dim, stddev=residual_stddev(cfg), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Attend over ``x`` [B, T, D]; return [B, T, D]."""
        batch, length, width = x.shape
        projected = self.query_key_value(x).reshape(batch, length, 3, self.num_heads, -1)  # [B, T, 3, H, K]
        query, key, value = projected[:, :, 0], projected[:, :, 1], projected[:, :, 2]  # each [B, T, H, K]
        mixed = jax.nn.dot_product_attention(query, key, value, is_causal=True)  # [B, T, H, K]
        return self.output(mixed.reshape(batch, length, width))  # [B, T, D]


class FeedForward(nnx.Module):
    """Two linear layers with a ReLU between them, at each position alone."""

    def __init__(self, cfg: ModelConfig, *, rngs: nnx.Rngs) -> None:
        self.up = make_linear(cfg.embed_dim, cfg.feedforward_dim, rngs=rngs)
        self.down = make_linear(cfg.feedforward_dim, cfg.embed_dim, stddev=residual_stddev(cfg), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Transform ``x`` [B, T, D]; return [B, T, D]."""
        return self.down(jax.nn.relu(self.up(x)))  # [B, T, F] -> [B, T, D]


class Block(nnx.Module):
    """Attention, then feed-forward; each reads a layer norm of the residual stream and adds to the stream."""

    def __init__(self, cfg: ModelConfig, *, rngs: nnx.Rngs) -> None:
        self.attention_norm = nnx.LayerNorm(cfg.embed_dim, rngs=rngs)
        self.attention = CausalAttention(cfg, rngs=rngs)
        self.feedforward_norm = nnx.LayerNorm(cfg.embed_dim, rngs=rngs)
        self.feedforward = FeedForward(cfg, rngs=rngs)
        # No rngs here: the caller brings them, so that a model's whole state is its weights.
        self.dropout = nnx.Dropout(cfg.dropout)

    def __call__(self, x: jax.Array, *, rngs: nnx.Rngs | None, deterministic: bool) -> jax.Array:
        """Transform the residual stream ``x`` [B, T, D]; return [B, T, D]."""
        attended = self.attention(self.attention_norm(x))
        x = x + self.dropout(attended, rngs=rngs, deterministic=deterministic)
        transformed = self.feedforward(self.feedforward_norm(x))
        return x + self.dropout(transformed, rngs=rngs, deterministic=deterministic)


class Transformer(nnx.Module):
    """Predicts the next track of a playlist; all its state is ``nnx.Param``.

    Attributes:
        cfg: The shape.
        embedding: The table [V, D] of tokens, input and output head at once: logits are ``hidden @ table.T``.
    """

    def __init__(self, cfg: ModelConfig, *, vocabulary_size: int, rngs: nnx.Rngs) -> None:
        self.cfg = cfg
        self.embedding = TrackEmbedding(vocabulary_size, cfg.embed_dim, stddev=INIT_STDDEV, rngs=rngs)
        self.positions = nnx.Param(
            nnx.initializers.normal(INIT_STDDEV)(rngs.params(), (cfg.context_length, cfg.embed_dim))
        )
        self.dropout = nnx.Dropout(cfg.dropout)
        self.blocks = nnx.List([Block(cfg, rngs=rngs) for _ in range(cfg.num_layers)])
        self.final_norm = nnx.LayerNorm(cfg.embed_dim, rngs=rngs)

    def __call__(self, tokens: jax.Array, *, rngs: nnx.Rngs | None = None, deterministic: bool = True) -> jax.Array:
        """Return the hidden states after the final layer norm; position t has seen tokens 0..t.

        Args:
            tokens: int32 [B, T], T at most ``context_length``.
            rngs: Holds the stream ``dropout``; needed when ``deterministic`` is false.
            deterministic: Leave dropout out.

        Returns:
            float32 [B, T, D].

        Raises:
            ValueError: More tokens than the context holds.
        """
        return self.transform(self.embedding(tokens), rngs=rngs, deterministic=deterministic)

    def transform(self, embedded: jax.Array, *, rngs: nnx.Rngs | None = None, deterministic: bool = True) -> jax.Array:
        """Return what ``__call__`` returns, from tokens that are looked up already: float32 [B, T, D] to [B, T, D]."""
        length = embedded.shape[1]
        if length > self.cfg.context_length:
            raise ValueError(f"{length} tokens do not fit the model's context of {self.cfg.context_length}")
        x = embedded + self.positions[:length]  # [B, T, D] + [T, D]
        x = self.dropout(x, rngs=rngs, deterministic=deterministic)
        for block in self.blocks:
            x = block(x, rngs=rngs, deterministic=deterministic)
        return self.final_norm(x)  # [B, T, D]
