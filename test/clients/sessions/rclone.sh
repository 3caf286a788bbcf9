# rclone's http backend: lists and copies a folder.
set -eu
for name in a b c/d; do
  echo "$name" | curl -sS --fail-with-body --noproxy '*' -H "Authorization: Bearer $TOKEN" -T - "$ONE/v1/objects/rclone/$name"
done
rclone() { command rclone --config /dev/null --http-url "$TWO/v1/objects/" --http-headers "Authorization,Bearer $TOKEN,Accept,text/html" "$@"; }
rclone lsf -R :http:rclone | sort > listed
printf 'a\nb\nc/\nc/d\n' | cmp - listed
rclone copy :http:rclone copied
test "$(cat copied/c/d)" = c/d
command rclone version | head -1
