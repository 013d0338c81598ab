"""Muon: orthogonal updates for matrices, AdamW for everything else."""

from typing import Any

import keras

from keras_llm.train.updates import Updates, is_kernel


@keras.saving.register_keras_serializable("keras_llm")
class Muon(Updates, keras.optimizers.Muon):
    """Muon for kernels; AdamW for embeddings, head, norms, biases, routers.

    The momentum of a kernel `(n, m)` is made nearly orthogonal by five
    Newton-Schulz steps in float32 and scaled by `0.2 * sqrt(max(n, m))`, so
    that an element moves as much as with AdamW: one learning rate and one
    weight decay for both. Newton-Schulz is Keras'. What is different from
    `keras.optimizers.Muon`:

    - Kernels are chosen by the rule of `decay_groups`, so biases with two
      axes go to AdamW, and the matrices of experts `(count, n, m)` to Muon,
      each alone.
    - Only kernels decay, also after saving (Keras decays all by 0.004).
    - Decay is applied by each device, not communicated, under `tf.distribute`.

    Args:
        learning_rate: A number or a schedule. Default: 1e-3.
        weight_decay: Of kernels. Default: 0.1.
        beta_1, beta_2, epsilon: Of AdamW. Defaults: 0.9, 0.95, 1e-8.
        momentum: Of Muon, in Nesterov's form. Default: 0.95.
        **kwargs: See `Updates`.

    Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon;
    Liu et al. 2025, https://arxiv.org/abs/2502.16982 (scale, decay).

    Example:

    >>> Muon(1e-3).momentum
    0.95
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        weight_decay: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.95,
        epsilon: float = 1e-8,
        momentum: float = 0.95,
        name: str = "muon",
        **kwargs: Any,
    ):
        super().__init__(
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            adam_beta_1=beta_1,
            adam_beta_2=beta_2,
            epsilon=epsilon,
            momentum=momentum,
            name=name,
            **kwargs,
        )

    def lr_adjust(self, x: Any) -> Any:
        """Scales an update by its last two axes; the others are experts."""
        return x * (0.2 * max(x.shape[-2:]) ** 0.5)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config = super().get_config()
        names = {"learning_rate", "weight_decay", "epsilon", "momentum", "name"}
        names |= {"ema", "state_dtype", "rate_scales", "guard"}
        names |= {"loss_scale"}
        own = {name: config[name] for name in names}
        return {**own, "beta_1": self.adam_beta_1, "beta_2": self.adam_beta_2}

    def _should_use_adamw(self, variable: Any) -> bool:
        return not is_kernel(variable) or "router" in variable.path

    def _apply_weight_decay(self, variables: Any) -> None:
        if self.starts:
            return self._decay_begun(variables)
        keras.Optimizer._apply_weight_decay(self, variables)
