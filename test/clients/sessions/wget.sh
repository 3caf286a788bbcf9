# wget: get, put, and the challenge.
set -eu
wget() { command wget -q --no-proxy --timeout=60 --tries=1 "$@"; }
head -c 3000000 /dev/urandom > body
wget --header "Authorization: Bearer $TOKEN" --method=PUT --body-file=body -O - "$ONE/v1/objects/wget/a"
wget --header "Authorization: Bearer $TOKEN" -O got "$TWO/v1/objects/wget/a" && cmp got body
wget --user any --password "$TOKEN" -O got "$TWO/v1/objects/wget/a" && cmp got body
! wget -O got "$TWO/v1/objects/wget/a"
command wget --version | head -1
