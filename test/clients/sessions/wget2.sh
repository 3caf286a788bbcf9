# wget2: one file in chunks at once.
set -eu
head -c 9000000 /dev/urandom > body
curl -sS --fail-with-body --noproxy '*' -H "Authorization: Bearer $TOKEN" -T body "$ONE/v1/objects/wget2/a"
wget2 -q --no-proxy --header "Authorization: Bearer $TOKEN" --chunk-size=1M -O got "$TWO/v1/objects/wget2/a"
cmp got body
wget2 --version | head -1
