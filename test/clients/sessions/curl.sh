# curl: put, get, ranges, ETags, several at once, user and password, netrc.
set -eu
auth="Authorization: Bearer $TOKEN"
curl() { command curl -sS --fail-with-body --noproxy '*' --max-time 60 "$@"; }
seq 400000 > body
curl -H "$auth" -T body "$ONE/v1/objects/curl/a"
curl -H "$auth" "$TWO/v1/objects/curl/a" | cmp - body
curl -H "$auth" -T - "$ONE/v1/objects/curl/stdin" < body
curl -u "ada:$TOKEN" -r 100-199 "$TWO/v1/objects/curl/stdin" | cmp - <(tail -c +101 body | head -c 100)
curl --anyauth -u "ada:$TOKEN" -o part "$TWO/v1/objects/curl/a" && cmp part body
printf 'machine 127.0.0.1 login ada password %s\n' "$TOKEN" > netrc
curl --netrc-file netrc -o named "$TWO/v1/objects/curl/a" && cmp named body
# A file that is still right is not sent again, and one that was replaced is.
curl -H "$auth" --etag-save tag -o kept "$TWO/v1/objects/curl/a"
test "$(curl -H "$auth" --etag-compare tag -o again -w '%{http_code}' "$TWO/v1/objects/curl/a")" = 304
echo new | curl -H "$auth" -T - "$ONE/v1/objects/curl/a"
test "$(curl -H "$auth" --etag-compare tag "$TWO/v1/objects/curl/a")" = new
curl -H "$auth" --parallel -T '{body,tag}' "$ONE/v1/objects/curl/"
curl -H "$auth" "$TWO/v1/objects/curl/body" | cmp - body
# Keys with brackets and dot segments.
curl -H "$auth" -g --path-as-is -T body "$ONE/v1/objects/curl/x[1]/../y"
curl -H "$auth" -G --data-urlencode 'key=curl/x[1]/../y' "$TWO/v1/objects" | cmp - body
# A form is refused, with what would be right.
test "$(command curl -sS --noproxy '*' -H "$auth" -X PUT -F f=@body -o refusal -w '%{http_code}' "$ONE/v1/objects/curl/form")" = 415
command curl --version | head -1
