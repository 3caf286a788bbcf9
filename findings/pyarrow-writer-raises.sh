#!/usr/bin/env bash
# pyarrow 26.0.1: a Parquet writer whose with block raises replaces the object by a valid, shorter one.
#
# On S3 nothing is visible before the upload is completed, so an error could leave what was there.
# ParquetWriter.__exit__ closes the writer whether or not the block raised: the footer is written over
# the rows so far and the upload is completed. Readers get fewer rows and no error. The stream of
# open_output_stream does the same with half a file.
set -euo pipefail
dir=$(mktemp -d)
pid=
trap 'if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; fi; rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile --disable-pip-version-check pyarrow==26.0.1 'moto[s3,server]==5.2.5'
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$dir/venv/bin/python" -m moto.server -H 127.0.0.1 -p "$port" > "$dir/log" 2>&1 &
pid=$!
timeout 180 bash -c "until echo > /dev/tcp/127.0.0.1/$port; do sleep 0.1; done" 2>/dev/null
timeout 180 "$dir/venv/bin/python" - "$port" <<'EOF'
import sys
import pyarrow as pa, pyarrow.fs, pyarrow.parquet as pq

s3 = pa.fs.S3FileSystem(endpoint_override=f"127.0.0.1:{sys.argv[1]}", scheme="http", region="us-east-1",
                        access_key="key", secret_key="secret", allow_bucket_creation=True)
s3.create_dir("bucket")
print("pyarrow", pa.__version__)
year, quarter = pa.table({"day": range(252)}), pa.table({"day": range(63)})
pq.write_table(year, "bucket/returns", filesystem=s3)
before = pq.read_table("bucket/returns", filesystem=s3).num_rows
try:
    with pq.ParquetWriter("bucket/returns", year.schema, filesystem=s3) as writer:
        writer.write_table(quarter)
        raise ConnectionError("the second quarter did not arrive")
except ConnectionError as error:
    print("the block of the ParquetWriter raised:", error)
after = pq.read_table("bucket/returns", filesystem=s3).num_rows
print("rows before:", before, " rows after:", after)

with s3.open_output_stream("bucket/model") as stream:
    stream.write(b"a whole model")
try:
    with s3.open_output_stream("bucket/model") as stream:
        stream.write(b"half")
        raise ConnectionError("the block of the stream raised as well")
except ConnectionError as error:
    print(error)
with s3.open_input_stream("bucket/model") as stream:
    model = stream.read()
print("the object was b'a whole model' and is", model)
if (before, after, model) != (252, 63, b"half"):
    sys.exit("changed: what a block that raises leaves behind")
EOF
