"""Every family's tiny models: the config keys `transformers` makes them from.

One entry a family, several variants each: heads grouped and not, tied and
not, with and without a window, kinds of scaling, experts. The parity tests
(test_parity.py) go over all of them. A new family is its file in `zoo/`, its
entry here, and its golden file: `python tests/golden/make_parity.py NAME`.
"""

# Small on purpose. Time is 24 in the tests: windows and original contexts
# are shorter than that, or they would say nothing.
LLAMA = dict(
    vocab_size=48,
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=4,
    max_position_embeddings=64,
    tie_word_embeddings=False,
)
GPT2 = dict(vocab_size=48, n_positions=32, n_embd=16, n_layer=2, n_head=4)
NEOX = dict(
    vocab_size=48,
    hidden_size=32,
    intermediate_size=40,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=32,
)
GROUPED = dict(num_key_value_heads=2)
TIED = dict(tie_word_embeddings=True)

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 300.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
YARN_ROPE = {
    "rope_type": "yarn",
    "rope_theta": 100.0,
    "factor": 4.0,
    "original_max_position_embeddings": 16,
}
LONG_ROPE = {
    "rope_type": "longrope",
    "rope_theta": 300.0,
    "short_factor": [1.0, 1.5],
    "long_factor": [2.0, 5.0],
}
GEMMA = LLAMA | TIED | dict(head_dim=6)
GEMMA2 = GEMMA | dict(
    query_pre_attn_scalar=9,
    sliding_window=7,
    attn_logit_softcapping=2.0,
    final_logit_softcapping=3.0,
)
GPT_OSS = LLAMA | dict(
    head_dim=8, sliding_window=7, num_local_experts=4, num_experts_per_tok=2
)
LOCAL, GLOBAL = "sliding_attention", "full_attention"


def variants(shared: dict, **differences: dict) -> dict[str, dict]:
    """Variant -> all its config keys."""
    return {name: shared | keys for name, keys in differences.items()}


EXPERTS = dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=8)
WINDOWED = dict(sliding_window=5, use_sliding_window=True)


# Family (its model_type) -> variant -> keys.
FAMILIES: dict[str, dict[str, dict]] = {
    "gpt2": variants(
        GPT2,
        tied={},
        untied_exact_gelu=dict(
            tie_word_embeddings=False, activation_function="gelu", n_inner=24
        ),
    ),
    "llama": variants(
        LLAMA,
        grouped_scaled=GROUPED | dict(rope_parameters=LLAMA3_ROPE),
        tied=TIED,
        one_kv_head_linear=dict(
            num_key_value_heads=1,
            rope_parameters={"rope_type": "linear", "factor": 3.0},
        ),
        yarn=dict(rope_parameters=YARN_ROPE),
        yarn_set=dict(
            rope_parameters=YARN_ROPE
            | dict(attention_factor=1.3, beta_fast=8.0, beta_slow=0.5)
        ),
        older_form=dict(rope_scaling=LLAMA3_ROPE, rope_theta=300.0),
        biases_wide_heads=dict(attention_bias=True, mlp_bias=True, head_dim=6),
    ),
    "gemma": variants(
        GEMMA,
        one_kv_head=dict(num_key_value_heads=1),
        untied_grouped=GROUPED | dict(tie_word_embeddings=False, head_dim=4),
    ),
    "gemma2": variants(
        GEMMA2,
        grouped=GROUPED,
        no_caps_head_scale=dict(
            attn_logit_softcapping=None,
            final_logit_softcapping=None,
            query_pre_attn_scalar=6,
        ),
        global_then_local=dict(
            layer_types=[GLOBAL, LOCAL], tie_word_embeddings=False
        ),
    ),
    "gemma3_text": variants(
        GEMMA | dict(query_pre_attn_scalar=9, sliding_window=7),
        grouped=GROUPED | dict(num_hidden_layers=7),
        scaled=dict(
            layer_types=[LOCAL, GLOBAL],
            rope_parameters={
                GLOBAL: {
                    "rope_type": "linear",
                    "factor": 8.0,
                    "rope_theta": 500.0,
                },
                LOCAL: {"rope_type": "default", "rope_theta": 50.0},
            },
        ),
        older_form=dict(
            rope_theta=500.0,
            rope_local_base_freq=50.0,
            rope_scaling={"rope_type": "linear", "factor": 4.0},
            layer_types=[LOCAL, GLOBAL],
            final_logit_softcapping=3.0,
        ),
        global_only=dict(layer_types=[GLOBAL] * 2),
    ),
    "phi3": variants(
        LLAMA,
        long=GROUPED
        | dict(rope_parameters=LONG_ROPE, original_max_position_embeddings=8),
        short=TIED
        | dict(rope_scaling=LONG_ROPE, original_max_position_embeddings=32),
        longer_factor=dict(
            rope_scaling=LONG_ROPE | dict(factor=2.5),
            original_max_position_embeddings=8,
        ),
        attention_factor=dict(
            rope_scaling=LONG_ROPE | dict(attention_factor=1.7),
            original_max_position_embeddings=8,
        ),
        window=dict(sliding_window=7),
        half_turned=dict(partial_rotary_factor=0.5),
        half_turned_long=dict(
            partial_rotary_factor=0.5,
            rope_scaling=LONG_ROPE
            | dict(short_factor=[1.0], long_factor=[3.0]),
            original_max_position_embeddings=8,
        ),
    ),
    "gpt_oss": variants(
        GPT_OSS,
        grouped=GROUPED,
        tied_yarn=TIED
        | dict(rope_parameters=YARN_ROPE | dict(truncate=False), head_dim=6),
        all_global_top_one=dict(
            layer_types=[GLOBAL] * 2, num_experts_per_tok=1
        ),
        # Wide enough for activations that reach the clamps.
        clamped=dict(
            hidden_size=96, num_hidden_layers=1, num_experts_per_tok=4
        ),
    ),
    "olmo2": variants(
        LLAMA,
        grouped=GROUPED,
        tied_scaled=TIED | dict(rope_parameters=YARN_ROPE),
    ),
    "gpt_neox": variants(
        NEOX,
        parallel={},
        in_turn_tied_tanh=TIED
        | dict(use_parallel_residual=False, hidden_act="gelu_fast"),
        all_channels_turn=dict(rotary_pct=1.0, rotary_emb_base=100.0),
    ),
    "smollm3": variants(
        LLAMA | TIED | dict(num_hidden_layers=4),
        every_fourth=GROUPED,
        listed_untied=dict(
            no_rope_layers=[0, 1, 1, 0], tie_word_embeddings=False
        ),
        yarn=dict(no_rope_layer_interval=2, rope_parameters=YARN_ROPE),
    ),
    "mistral": variants(
        LLAMA,
        window=GROUPED | dict(sliding_window=5),
        no_window_wide_heads=dict(sliding_window=None, head_dim=6),
        tied=TIED | dict(sliding_window=7, num_key_value_heads=1),
    ),
    "mixtral": variants(
        LLAMA | GROUPED,
        two_of_four=dict(num_local_experts=4, sliding_window=None),
        one_of_three_window=dict(
            num_local_experts=3, num_experts_per_tok=1, sliding_window=6
        ),
        tied=TIED | dict(num_local_experts=4, num_experts_per_tok=4),
    ),
    "qwen2": variants(
        LLAMA | dict(num_hidden_layers=3),
        grouped_tied=GROUPED | TIED,
        untied_yarn=dict(rope_parameters=YARN_ROPE),
        window_in_last_layers=WINDOWED | dict(max_window_layers=1),
        window_listed=WINDOWED
        | dict(
            layer_types=[
                *("sliding_attention", "full_attention", "sliding_attention"),
            ]
        ),
        window_switched_off=dict(sliding_window=5, max_window_layers=0),
    ),
    "qwen3": variants(
        LLAMA | dict(head_dim=8),
        grouped=GROUPED,
        tied_window=TIED | WINDOWED | dict(max_window_layers=1),
    ),
    "qwen3_moe": variants(
        LLAMA | dict(head_dim=8),
        grouped_normalized=GROUPED | EXPERTS | dict(norm_topk_prob=True),
        tied_as_they_are=TIED | EXPERTS,
        window=EXPERTS | WINDOWED,
    ),
}
CASES = [(family, name) for family in FAMILIES for name in FAMILIES[family]]
# The first variant of each family shows the most.
FIRST = [(family, next(iter(FAMILIES[family]))) for family in FAMILIES]
