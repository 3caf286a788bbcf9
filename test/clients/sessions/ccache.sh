# ccache: compiled by one, found by the other.
set -eu
echo 'int answer(void) { return 42; }' > answer.c
for node in "$ONE" "$TWO"; do
  export CCACHE_DIR=$PWD/${node##*:} CCACHE_CONFIGPATH=/dev/null
  export CCACHE_REMOTE_STORAGE="$node/v1/objects/ccache|connect-timeout=10000|operation-timeout=20000|bearer-token=$TOKEN"
  ccache gcc -c answer.c -o answer.o
done
ccache --print-stats | grep -q $'remote_storage_hit\t1'
ccache --version | head -1
