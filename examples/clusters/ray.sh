#!/bin/bash
# A sweep on a Ray cluster whose head is this machine. In a clone, with `pip install -e '.[ray]'`:
#
#   examples/clusters/ray.sh python -m experiments.bottleneck mnist --out /shared/mnist
#
# Other machines, with the same clone and /shared, join it and leave it at any time:
#
#   RAY_AUTH_MODE=token ray start --block --address=HEAD:6379
#
# Who has the token in ~/.ray/auth_token can run anything on the cluster: copy the file to
# machines that do not share this home.
set -euo pipefail
export RAY_AUTH_MODE=token
ray get-auth-token --generate >/dev/null 2>&1
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
