#!/bin/bash
# One share of a sweep a task of a SLURM array. From a clone, with its environment active:
#
#   sbatch examples/clusters/slurm.sh python -m experiments.bottleneck mnist --members 2 --out results/mnist
#
# and, when the array has ended, the same command with --report, anywhere.
#SBATCH --job-name=jaxvae
#SBATCH --array=0-7
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=4
#SBATCH --time=08:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@120
set -euo pipefail
# In place of this shell, so that it is the command that SLURM tells to end.
exec "$@" --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"
