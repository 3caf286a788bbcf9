package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"larder/httpapi/auth"
)

// A token is minted, its entry goes to the tokens file, and a request that bears
// the token is its user's.
func Example() {
	token, entry, err := auth.Mint(auth.Entry{Org: "acme", User: "ada", Role: auth.Writer}, time.Time{})
	if err != nil {
		fmt.Println(err)
		return
	}
	file, _ := json.Marshal([]auth.Entry{entry})

	tokens := auth.New(func(string) error { return nil }) // keys.ValidOrg, in a node
	if err := tokens.Take(file); err != nil {
		fmt.Println(err)
		return
	}
	gate := auth.Gate{Tokens: tokens}
	who, err := gate.Authenticate(context.Background(), auth.Credential{Authorization: "Bearer " + token})
	fmt.Println(who.Org, who.User, who.Role, who.May(auth.Write, "objects", "k"), err)

	_, err = gate.Authenticate(context.Background(), auth.Credential{Authorization: "Bearer of bad news"})
	fmt.Println(errors.Is(err, auth.ErrBadCredential))
	// Output:
	// acme ada writer <nil> <nil>
	// true
}
