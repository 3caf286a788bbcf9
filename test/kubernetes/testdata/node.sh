#!/usr/bin/env bash
# The first process of a node, in namespaces of its own: node.sh NAME DIR. It makes what the kubelet and
# containerd write the node's own, tells that it is ready by a file, and waits.
set -eu
name=$1 dir=$2
mount --make-rprivate / && mount --make-rshared /
hostname "$name"
mkdir -p "$dir/lib" "$dir/log"
mount --bind "$dir/lib" /var/lib
mount --bind "$dir/log" /var/log
mount -t tmpfs tmpfs /run
# The kubelet sets these for the whole machine: it shall write to files instead.
for setting in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
  file=$dir/${setting//\//-}
  cat "/proc/sys/$setting" > "$file"
  mount --bind "$file" "/proc/sys/$setting"
done
echo 1 > /proc/sys/net/ipv4/ip_forward
ip link set lo up
touch "$dir/ready"
exec sleep infinity
