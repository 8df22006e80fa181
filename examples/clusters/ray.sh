#!/bin/bash
# A sweep on a Ray cluster whose head is this machine. In a clone, with `pip install -e '.[ray]'`:
#
#   examples/clusters/ray.sh python -m experiments.bottleneck mnist --out /shared/mnist
#
# Other machines, with the same clone and /shared, join it and leave it at any time:
#
#   ray start --block --address=HEAD:6379
set -euo pipefail
address=$(hostname -I | cut -d' ' -f1):${PORT:-6379}
ray start --head --block --node-ip-address="${address%:*}" --port="${address##*:}" \
  --include-dashboard=false --disable-usage-stats &
head=$!
trap 'kill "$head"; wait "$head" || true' EXIT
until ray status --address="$address" >/dev/null 2>&1; do
  kill -0 "$head" # the head has not ended
  sleep 1
done
"$@" --ray "$address"
