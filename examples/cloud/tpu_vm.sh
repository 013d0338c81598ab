#!/usr/bin/env bash
# Trains on a TPU VM with eight v5e chips. See docs/cloud.md. Not run on a TPU.
# Usage: tpu_vm.sh PROJECT ZONE, in the folder of the source, beside runs/.
# After a lost connection run it again: the training goes on meanwhile.
set -euo pipefail
project=$1 zone=$2 name=keras-llm
tpu() { gcloud compute tpus tpu-vm "$@" --project "$project" --zone "$zone"; }
remind() {
    echo "The machine $name was not deleted, and costs while it stands."
    echo "gcloud compute tpus tpu-vm delete $name --project $project --zone $zone"
}
trap remind EXIT

tpu describe "$name" >/dev/null 2>&1 ||
    tpu create "$name" --accelerator-type v5litepod-8 --version v2-alpha-tpuv5-lite

git archive --format tar.gz --output /tmp/keras_llm.tar.gz HEAD
tpu ssh "$name" --command 'mkdir -p runs source'
tpu scp /tmp/keras_llm.tar.gz "$name":
tpu scp --recurse runs/rows runs/tokenizer "$name":runs
# The image may have Python 3.10, and keras_llm needs 3.11: uv brings 3.12.
tpu ssh "$name" --command '
    set -e
    tar -xzf keras_llm.tar.gz -C source
    python3 -m pip install --quiet --user uv
    ~/.local/bin/uv venv --quiet --allow-existing --python 3.12
    ~/.local/bin/uv pip install --quiet "./source[data]" "jax[tpu]"'

# With nohup it outlives this connection. A run that is there goes on.
tpu ssh "$name" --command '
    { kill -0 "$(cat train.pid)"; } 2>/dev/null && exit
    . .venv/bin/activate
    export KERAS_BACKEND=jax
    nohup sh -c "
        keras-llm train runs/rows --size small --steps 5000 \
            --batch-size 256 --strategy data_parallel
    " </dev/null >train.log 2>&1 &
    echo $! >train.pid'
while tpu ssh "$name" --command 'tail -n 1 train.log; kill -0 "$(cat train.pid)"'; do
    sleep 60
done

# The model stands in runs/model/lm; generate, export and serve it anywhere.
tpu ssh "$name" --command 'test -d runs/model/lm || { tail train.log; exit 1; }'
tpu scp --recurse "$name":runs/model runs/tpu_model
tpu delete "$name" --quiet
trap - EXIT
