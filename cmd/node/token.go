package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"larder/httpapi/auth"
	"larder/keys"
)

// tokenCmd makes a credential.
type tokenCmd struct {
	Org     string        `required:"" placeholder:"ORG" help:"The organisation whose objects it opens."`
	User    string        `required:"" placeholder:"USER" help:"Who uses it; recorded with what is written."`
	Role    string        `default:"writer" enum:"reader,writer,admin" help:"reader, writer or admin. (${default})"`
	Service []string      `placeholder:"SERVICE" help:"What it is good for, objects or strategies; may be repeated. (all)"`
	Prefix  []string      `sep:"none" placeholder:"PREFIX" help:"The beginning of the keys that it is good for; may be repeated. (all)"`
	Expires time.Duration `placeholder:"TIME" help:"How long it is good, for example 720h. (for ever)"`
}

// Run prints the token to standard output, and its entry to standard error, as
// a piece of YAML that can be appended to a tokens file as it is.
func (c *tokenCmd) Run() error {
	if err := keys.ValidOrg(c.Org); err != nil {
		return fmt.Errorf("--org: %w", err)
	}
	var expires time.Time
	if c.Expires > 0 {
		expires = time.Now().Add(c.Expires).UTC().Truncate(time.Second)
	}
	token, entry, err := auth.Mint(auth.Entry{Org: c.Org, User: c.User, Role: auth.Role(c.Role), Services: c.Service, Prefixes: c.Prefix}, expires)
	if err != nil {
		return err
	}
	line, err := json.Marshal(entry)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "# The token for %s of %s is on standard output, and shown only now.\n# Its entry, for the tokens file:\n- %s\n", c.User, c.Org, line)
	_, err = fmt.Println(token)
	return err
}
