package store

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

// The policy in the documentation allows all that the store does, and nothing
// else, and the chart's names the same.
func TestPolicy(t *testing.T) {
	page, err := os.ReadFile("../docs/s3.md")
	if err != nil {
		t.Fatal(err)
	}
	chart, err := os.ReadFile("../helm/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "```json\n")
	text, _, _ = strings.Cut(text, "```")
	var policy struct{ Statement []struct{ Action any } }
	if err := json.Unmarshal([]byte(text), &policy); err != nil {
		t.Fatal(err)
	}
	var allowed []string
	for _, statement := range policy.Statement {
		switch action := statement.Action.(type) {
		case string:
			allowed = append(allowed, action)
		case []any:
			for _, one := range action {
				allowed = append(allowed, one.(string))
			}
		}
	}
	needed := actionsOf("put", "not authorized to perform: kms:GenerateDataKey")
	for _, op := range []string{
		"get", "get_range", "head", "put", "delete", "delete_many", "list", "ping", "begin", "part", "complete", "abort", "list_uploads", "list_parts",
	} {
		needed = append(needed, actionsOf(op, "")...)
	}
	slices.Sort(allowed)
	slices.Sort(needed)
	if needed = slices.Compact(needed); !slices.Equal(allowed, needed) {
		t.Errorf("the policy allows %q, the store needs %q", allowed, needed)
	}
	for _, action := range needed {
		if !strings.Contains(string(chart), "`"+action+"`") {
			t.Errorf("helm/README.md does not name %s", action)
		}
	}
}
