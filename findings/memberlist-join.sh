#!/usr/bin/env bash
# memberlist 0.7.0: Join returns 1 and no error three times without anybody having let the node in.
#
# Join counts the addresses that exchanged state, not the members that accepted the node: a node's
# own address counts; a name that a living member has counts, though all others keep sending to
# the first holder; and a node that has called Leave is never taken back by the same Memberlist.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat > main.go <<'EOF'
package main

import (
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/hashicorp/memberlist"
)

func node(name string) *memberlist.Memberlist {
	cfg := memberlist.DefaultLocalConfig()
	cfg.Name, cfg.BindAddr, cfg.BindPort, cfg.LogOutput = name, "127.0.0.1", 0, io.Discard
	list, err := memberlist.Create(cfg)
	if err != nil {
		log.Fatal(err)
	}
	return list
}

func address(list *memberlist.Memberlist) string { return list.LocalNode().Address() }

// sees returns the address that list has for the member of that name, or "nobody".
func sees(list *memberlist.Memberlist, name string) string {
	for _, member := range list.Members() {
		if member.Name == name {
			return member.Address()
		}
	}
	return "nobody"
}

func await(condition func() bool) {
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			log.Fatal("waited in vain")
		}
	}
}

func main() {
	alone, seed, first, second, leaver := node("alone"), node("seed"), node("twin"), node("twin"), node("leaver")
	ownCount, ownErr := alone.Join([]string{address(alone)})
	fmt.Printf("Join(own address):        %d, %v; members: %d\n", ownCount, ownErr, alone.NumMembers())

	first.Join([]string{address(seed)})
	twinCount, twinErr := second.Join([]string{address(seed)})
	leaver.Join([]string{address(seed)})
	await(func() bool { return sees(seed, "twin") != "nobody" && sees(seed, "leaver") != "nobody" })
	left := leaver.Leave(10 * time.Second)
	await(func() bool { return sees(seed, "leaver") == "nobody" })
	backCount, backErr := leaver.Join([]string{address(seed)})
	time.Sleep(3 * time.Second) // several rounds of gossip (100 ms each)
	fmt.Printf("Join under a taken name:  %d, %v; it sees %d members and itself at %s; the seed sees it at %s\n",
		twinCount, twinErr, second.NumMembers(), sees(second, "twin"), sees(seed, "twin"))
	fmt.Printf("Leave, then Join again:   %v; %d, %v; 3 s later the seed sees it at: %s\n",
		left, backCount, backErr, sees(seed, "leaver"))
	same := ownCount == 1 && ownErr == nil && alone.NumMembers() == 1 &&
		twinCount == 1 && twinErr == nil && sees(second, "twin") == address(second) && sees(seed, "twin") == address(first) &&
		left == nil && backCount == 1 && backErr == nil && sees(seed, "leaver") == "nobody"
	if !same {
		fmt.Println("changed: what Join's answer means")
		os.Exit(1)
	}
}
EOF
go mod init finding 2>/dev/null
go get github.com/hashicorp/memberlist@v0.7.0 2>/dev/null
go list -m github.com/hashicorp/memberlist
go build -o finding .
timeout 180 ./finding
