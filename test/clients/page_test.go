package clients

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestPage holds that the page names the sessions that there are, and the versions that
// are installed for them.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, m := range regexp.MustCompile("`([a-z0-9]+\\.(?:sh|py|mjs|java|R))`[,| ]").FindAllStringSubmatch(string(page), -1) {
		named = append(named, m[1])
	}
	sessions, err := filepath.Glob("sessions/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sessions {
		if !slices.Contains(named, filepath.Base(s)) {
			t.Errorf("docs/clients.md does not name %s", s)
		}
	}
	for _, n := range named {
		if !slices.Contains(sessions, "sessions/"+n) {
			t.Errorf("docs/clients.md names %s, which there is not", n)
		}
	}
	pins, err := os.ReadFile("requirements.txt")
	if err != nil {
		t.Fatal(err)
	}
	for pin := range strings.Lines(string(pins)) {
		if want := strings.Replace(strings.TrimSpace(pin), "==", " ", 1); !strings.Contains(string(page), want) {
			t.Errorf("docs/clients.md does not say %s", want)
		}
	}
}
