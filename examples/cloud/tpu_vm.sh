#!/usr/bin/env bash
# Trains on a TPU VM with eight v5e chips. See docs/cloud.md. Not run here.
# Usage: tpu_vm.sh PROJECT ZONE, in the folder of the source, beside runs/.
set -euo pipefail
project=$1 zone=$2 name=keras-llm
tpu() { gcloud compute tpus tpu-vm "$@" --project "$project" --zone "$zone"; }

tpu create "$name" --accelerator-type v5litepod-8 --version v2-alpha-tpuv5-lite

git archive --format tar.gz --output /tmp/keras_llm.tar.gz HEAD
tpu scp /tmp/keras_llm.tar.gz "$name":
tpu scp --recurse runs "$name":
tpu ssh "$name" --command '
    mkdir -p source && tar -xzf keras_llm.tar.gz -C source
    python3 -m venv .venv && . .venv/bin/activate
    pip install -q "./source[data]" "jax[tpu]"
    KERAS_BACKEND=jax keras-llm train runs/rows --size small --steps 5000 \
        --batch-size 256 --strategy data_parallel'

# The model stands in runs/model/lm; generate, export and serve it anywhere.
tpu scp --recurse "$name":runs/model runs/tpu_model
tpu delete "$name" --quiet
