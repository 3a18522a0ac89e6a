#!/bin/sh
# Write infra/.env for compose.yaml, readable by you alone: fresh passwords, keys and Ray's token. It never overwrites one, because the
# volumes remember their passwords.
set -eu
file="$(dirname "$0")/.env"
if [ -e "$file" ]; then
  echo "expected no $file: the volumes of compose.yaml belong to it; remove both (docker compose down --volumes) for fresh ones" >&2
  exit 2
fi
umask 077
random() { openssl rand -hex "$1"; }
cat > "$file" << END
POSTGRES_PASSWORD=$(random 24)
AWS_ACCESS_KEY_ID=$(random 10)
AWS_SECRET_ACCESS_KEY=$(random 20)
MLFLOW_PASSWORD=$(random 24)
MLFLOW_FLASK_SERVER_SECRET_KEY=$(random 32)
RAY_AUTH_TOKEN=$(random 32)
END
