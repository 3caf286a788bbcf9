for p in $(cat /tmp/prof/pids); do kill $p; done
