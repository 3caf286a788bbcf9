package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// A change of a file is seen before S3 refuses anything. What cannot be read,
// since it is being written, or holds no credentials, does not replace what there was.
func TestCredentialsFileChanges(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	static := func(key string) aws.CredentialsProvider {
		return credentials.NewStaticCredentialsProvider(key, "secret", "")
	}
	next, failing := "", error(nil)
	r := newRenewing(static("first"), func(context.Context) (aws.CredentialsProvider, error) { return static(next), failing })
	for _, step := range []struct {
		text, next string
		err        error
		want       string
	}{
		{"", "unread", nil, "first"},
		{"a", "", errors.New("half a file"), "first"},
		{"ab", "second", nil, "second"},
		{"", "unread", nil, "second"},
		{"abc", "third", nil, "third"},
		{"an empty file", "", nil, "third"},
		{"whole again", "fourth", nil, "fourth"},
	} {
		next, failing = step.next, step.err
		if step.text != "" {
			if err := os.WriteFile(file, []byte(step.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r.looked = time.Time{} // a second has passed
		if got, err := r.Retrieve(t.Context()); err != nil || got.AccessKeyID != step.want {
			t.Errorf("after %q: %s, %v, want %s", step.text, got.AccessKeyID, err, step.want)
		}
	}
}
