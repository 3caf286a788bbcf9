#!/usr/bin/env bash
# versitygw 1.8.0: CompleteMultipartUpload of an upload that was aborted is answered 200, and the object
# stays the old one.
#
# If the upload is not there and the key has an object, the answer is the ETag that the parts of the
# request would have had together, whatever the object is and whatever If-Match or If-None-Match says. It
# is meant for a client that completes once more since it lost the answer. A client whose upload was
# aborted meanwhile, by a lifecycle rule, by an operator or by itself, is told that its bytes are stored.
set -euo pipefail
dir=$(mktemp -d)
pid=
trap 'if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; fi; rm -rf "$dir"' EXIT
GOBIN="$dir" go install github.com/versity/versitygw/cmd/versitygw@v1.8.0 2>/dev/null
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile --disable-pip-version-check boto3==1.44.5
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir -p "$dir/data/bucket"
echo "versitygw $(go version -m "$dir/versitygw" | awk '$1 == "mod" { print $3 }')"
"$dir/versitygw" --access key --secret secret --port "127.0.0.1:$port" posix "$dir/data" > "$dir/log" 2>&1 &
pid=$!
timeout 180 bash -c "until echo > /dev/tcp/127.0.0.1/$port; do sleep 0.1; done" 2>/dev/null
timeout 180 "$dir/venv/bin/python" - "$port" <<'EOF'
import sys
import boto3
from botocore.exceptions import ClientError

s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{sys.argv[1]}", region_name="us-east-1",
                  aws_access_key_id="key", aws_secret_access_key="secret")
key = dict(Bucket="bucket", Key="prices")

def complete(upload, tag, **condition):
    try:
        done = s3.complete_multipart_upload(**key, UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": tag}]}, **condition)
        return done["ResponseMetadata"]["HTTPStatusCode"], done["ETag"]
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]

seen = []
for there in False, True:
    if there:
        s3.put_object(**key, Body=b"old")
    upload = s3.create_multipart_upload(**key)["UploadId"]
    tag = s3.upload_part(**key, UploadId=upload, PartNumber=1, Body=b"new")["ETag"]
    s3.abort_multipart_upload(**key, UploadId=upload)
    print("the key has an object" if there else "the key has no object")
    for condition in {}, {"IfMatch": '"0123"'}, {"IfNoneMatch": "*"}:
        seen.append(complete(upload, tag, **condition))
        print("  complete what was aborted", condition or "", *seen[-1])
object = s3.get_object(**key)
body = object["Body"].read()
print("the object is", body, object["ETag"])
if [status for status, _ in seen] != [404] * 3 + [200] * 3 or body != b"old" or object["ETag"] == seen[-1][1]:
    sys.exit("changed: versitygw completes no upload that is gone")
EOF
