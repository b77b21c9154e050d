#!/usr/bin/env bash
# `make run`: from a fresh machine to an answer. MODEL and PROMPT come in the environment.
set -euo pipefail
cd "$(dirname "$0")/../.."
tools/setup/packages.sh run
echo "sigma: building"
tools/setup/build.sh release sigma_cli

sigma=build/release/apps/sigma
model=${MODEL:-smollm2}
[[ -e $model ]] || "$sigma" pull "$model"
if [[ -n ${PROMPT:-} ]]; then
  exec "$sigma" generate -m "$model" --chat --max-tokens 512 --prompt="$PROMPT"
fi
exec "$sigma" chat -m "$model"
