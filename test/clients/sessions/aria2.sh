# aria2: one file over four connections.
set -eu
head -c 9000000 /dev/urandom > body
curl -sS --fail-with-body --noproxy '*' -H "Authorization: Bearer $TOKEN" -T body "$ONE/v1/objects/aria2/a"
aria2c -q --no-conf --all-proxy= -x4 -k1M --header "Authorization: Bearer $TOKEN" -o got "$TWO/v1/objects/aria2/a"
cmp got body
aria2c -q --no-conf --all-proxy= -x4 -k1M --http-user any --http-passwd "$TOKEN" -o again "$TWO/v1/objects/aria2/a"
cmp again body
aria2c --version | head -1
