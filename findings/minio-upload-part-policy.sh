#!/usr/bin/env bash
# MinIO, built from its commit 7aac2a2c5b7c of 2026-02-12: where a policy demands encryption, boto3's
# upload_file with ServerSideEncryption stores small files, and is denied large ones.
#
# The usual policy denies s3:PutObject unless s3:x-amz-server-side-encryption is AES256. Amazon S3 takes that
# from CreateMultipartUpload: "Unless you are using a customer-provided encryption key, you don't need to
# specify the encryption parameters in each UploadPart request." (its API reference, UploadPart.) MinIO judges
# each UploadPart, and CompleteMultipartUpload, by its own headers. boto3 has no parameter for it there, so
# a file that upload_file sends in parts, from 8 MB on, cannot be stored.
set -euo pipefail
dir=$(mktemp -d)
pid=
trap 'if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; fi; rm -rf "$dir"' EXIT
GOBIN="$dir" GOFLAGS= go install github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c 2>/dev/null
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile --disable-pip-version-check boto3==1.44.5
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir -p "$dir/data/bucket"
echo "minio $(go version -m "$dir/minio" | awk '$1 == "mod" { print $3 }')"
MINIO_ROOT_USER=key MINIO_ROOT_PASSWORD=secret-of-root MINIO_KMS_SECRET_KEY=own:$(head -c 32 /dev/urandom | base64) \
  "$dir/minio" server --quiet --address "127.0.0.1:$port" "$dir/data" > "$dir/log" 2>&1 &
pid=$!
timeout 180 bash -c "until echo > /dev/tcp/127.0.0.1/$port; do sleep 0.1; done" 2>/dev/null
timeout 180 "$dir/venv/bin/python" - "$port" "$dir" <<'EOF'
import json
import sys

import boto3
from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError

port, dir = sys.argv[1:]
endpoint = dict(endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1")
root = dict(endpoint, aws_access_key_id="key", aws_secret_access_key="secret-of-root")
policy = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "s3:*", "Resource": ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*"]},
    {"Effect": "Deny", "Action": "s3:PutObject", "Resource": ["arn:aws:s3:::bucket/*"],
     "Condition": {"StringNotEquals": {"s3:x-amz-server-side-encryption": "AES256"}}}]}
given = boto3.client("sts", **root).assume_role(
    RoleArn="arn:aws:iam::123456789012:role/any", RoleSessionName="any", Policy=json.dumps(policy))["Credentials"]
limited = dict(endpoint, aws_access_key_id=given["AccessKeyId"], aws_secret_access_key=given["SecretAccessKey"],
               aws_session_token=given["SessionToken"])
s3 = boto3.client("s3", **limited)
print("boto3", boto3.__version__)

def upload(client, size, **extra):
    with open(f"{dir}/file", "wb") as file:
        file.truncate(size)
    try:
        client.upload_file(f"{dir}/file", "bucket", "k", ExtraArgs=extra)
    except S3UploadFailedError as error:
        return str(error).rpartition("bucket/k: ")[2]
    return "stored, encrypted with " + client.head_object(Bucket="bucket", Key="k")["ServerSideEncryption"]

asked = dict(ServerSideEncryption="AES256")
results = [upload(s3, 1 << 20), upload(s3, 1 << 20, **asked), upload(s3, 9 << 20, **asked)]
print("upload_file of 1 MB without ServerSideEncryption:", results[0])
print("upload_file of 1 MB with AES256:", results[1])
print("upload_file of 9 MB with AES256:", results[2])

again = boto3.client("s3", **limited)
for operation in "UploadPart", "CompleteMultipartUpload":
    again.meta.events.register(f"before-sign.s3.{operation}", lambda request, **_: request.headers.add_header(
        "x-amz-server-side-encryption", "AES256"))
results.append(upload(again, 9 << 20, **asked))
print("the same, with the header on each part and the completion:", results[3])

if "AccessDenied" not in results[0] or "AES256" not in results[1] or "AccessDenied" not in results[2] \
        or "UploadPart" not in results[2] or "AES256" not in results[3]:
    sys.exit("changed: parts of an upload need not ask for encryption, or may not")
EOF
