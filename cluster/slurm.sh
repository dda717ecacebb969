#!/usr/bin/env bash
# Slurm: a study on whole nodes of one allocation. What is not done at the time limit is done by the next submission.
#
#     sbatch cluster/slurm.sh studies/capacity.py /shared/results
#     python -m equistudy launch cluster/slurm.sh studies/capacity.py --results /shared/results    # the same
#
# Needs the environment in which equistudy is installed, on a disk that all nodes share, as are the results.

#SBATCH --job-name=equistudy
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --gpus-per-node=4
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120

set -euo pipefail

study=${1:?the study, such as studies/capacity.py}
results=${2:?a folder that all nodes share, or a URL}

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 10000))  # two jobs may share a head

# one token for the nodes of this job alone
RAY_AUTH_TOKEN=$(python -c "import secrets; print(secrets.token_hex(32))")
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN

# Ray ends with the command, on every node
srun ray symmetric-run --address "$head:$port" --min-nodes "$SLURM_NNODES" -- \
    python -m equistudy run "$study" --address auto --results "$results"
