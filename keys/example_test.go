package keys_test

import (
	"fmt"

	"larder/keys"
)

// A key has one place in the bucket, and the place leads back to the key.
func ExampleKey_Place() {
	k, err := keys.New("acme", keys.Objects, "prices/2022 #1")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(k.Place())
	back, _ := keys.FromPlace(k.Place())
	fmt.Println(back == k)
	// Output:
	// v1/acme/objects/prices%2F2022 %231
	// true
}

// An error says what is wrong with a name, and what would be right.
func ExampleNew() {
	_, err := keys.New("acme", keys.Objects, "")
	fmt.Println(err)
	// Output:
	// bad key: it is empty, want 1 to 512 bytes
}

// The member with the heaviest weight for a key owns it, whatever the order of
// the members.
func ExampleHeaviest() {
	k, _ := keys.New("acme", keys.Objects, "prices")
	names := []string{"node-0", "node-1", "node-2"}
	var members []uint64
	for _, name := range names {
		members = append(members, keys.HashMember(name))
	}
	owner := names[keys.Heaviest(members, k.Hash())]
	members[0], members[2] = members[2], members[0]
	names[0], names[2] = names[2], names[0]
	fmt.Println(owner == names[keys.Heaviest(members, k.Hash())])
	// Output: true
}
