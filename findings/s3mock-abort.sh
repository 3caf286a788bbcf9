#!/usr/bin/env bash
# Adobe S3Mock 4.11.0: AbortMultipartUpload removes the object that the key had before the upload.
#
# The usual clean-up after a refused CompleteMultipartUpload (If-Match, If-None-Match) or a failed
# part is to abort. S3Mock then deletes the key's object along with the upload, and answers 204.
set -euo pipefail
dir=$(mktemp -d)
pid=
trap 'if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; fi; rm -rf "$dir"' EXIT
mvn -q -B dependency:copy -Dartifact=com.adobe.testing:s3mock:4.11.0:jar:exec -DoutputDirectory="$dir" >&2
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --no-compile --disable-pip-version-check boto3==1.44.5
java -XX:TieredStopAtLevel=1 -Djava.io.tmpdir="$dir" -jar "$dir/s3mock-4.11.0-exec.jar" --server.port=0 \
    --com.adobe.testing.s3mock.httpPort=0 > "$dir/log" 2>&1 &
pid=$!
for _ in $(seq 3000); do
    port=$(sed -n 's/.*Tomcat started on ports [0-9]* (https), \([0-9]*\) (http).*/\1/p' "$dir/log")
    [ -z "$port" ] || break
    sleep 0.1
done
echo "S3Mock 4.11.0"
timeout 180 "$dir/venv/bin/python" - "$port" <<'EOF'
import sys
import boto3
from botocore.exceptions import ClientError

s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{sys.argv[1]}", region_name="us-east-1",
                  aws_access_key_id="key", aws_secret_access_key="secret")
s3.create_bucket(Bucket="bucket")

def get(key):
    try:
        return s3.get_object(Bucket="bucket", Key=key)["Body"].read()
    except ClientError as error:
        return error.response["Error"]["Code"]

def upload(key):
    number = s3.create_multipart_upload(Bucket="bucket", Key=key)["UploadId"]
    tag = s3.upload_part(Bucket="bucket", Key=key, UploadId=number, PartNumber=1, Body=b"new")["ETag"]
    return number, {"Parts": [{"PartNumber": 1, "ETag": tag}]}

def abort(key, number):
    answer = s3.abort_multipart_upload(Bucket="bucket", Key=key, UploadId=number)
    return answer["ResponseMetadata"]["HTTPStatusCode"]

s3.put_object(Bucket="bucket", Key="plain", Body=b"old")
number, _ = upload("plain")
before, plain = get("plain"), abort("plain", number)
print("an object, an upload that is not completed:", before, " abort:", plain, " object:", get("plain"))

s3.put_object(Bucket="bucket", Key="refused", Body=b"old")
number, parts = upload("refused")
try:
    s3.complete_multipart_upload(Bucket="bucket", Key="refused", UploadId=number, MultipartUpload=parts, IfMatch='"0"')
    sys.exit("changed: If-Match of another version is taken")
except ClientError as error:
    print("CompleteMultipartUpload with If-Match:", error.response["Error"]["Code"], " object:", get("refused"))
print("abort after that:", abort("refused", number), " object:", get("refused"))
if (before, get("plain"), get("refused")) != (b"old", "NoSuchKey", "NoSuchKey"):
    sys.exit("changed: the object outlives the abort")
EOF
