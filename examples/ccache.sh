#!/bin/sh
# Compiles a file twice on "two machines", whose own caches are empty: the second
# finds what the first has stored in Larder. Needs ccache 4 and gcc.
#
#     examples/ccache.sh http://127.0.0.1:8080
#
# With tokens, set LARDER_TOKEN.
set -eu
node=${1:?give the URL of a node, for example http://127.0.0.1:8080}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"

# A program that nobody has compiled before.
printf 'int main(void) { return %d; } /* %s */\n' $(($$ % 256)) "$dir" > main.c

export CCACHE_REMOTE_STORAGE="$node/v1/objects/ccache${LARDER_TOKEN:+|bearer-token=$LARDER_TOKEN}"
for machine in one two; do
  CCACHE_DIR="$dir/$machine" ccache gcc -c main.c -o "$machine.o"
  echo "machine $machine: remote hits $(CCACHE_DIR="$dir/$machine" ccache --print-stats | awk '$1 == "remote_storage_hit" {print $2}')"
done
cmp one.o two.o
