package embedded_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"larder/store"
	"larder/store/embedded"
)

// listAll pages through everything.
func listAll(t *testing.T, s *store.S3, prefix string, limit int) (names []string) {
	t.Helper()
	after := ""
	for more := true; more; {
		var entries []store.Entry
		var err error
		if entries, more, err = s.List(t.Context(), prefix, after, limit); err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Version == "" || e.Size != int64(len(e.Name)) {
				t.Errorf("the entry is %+v", e)
			}
			names = append(names, e.Name)
			after = e.Name
		}
	}
	return names
}

// TestListingFollowsWrites wants listings right that began before writes and
// deletes, at the same time, and after a start on a folder that holds objects.
func TestListingFollowsWrites(t *testing.T) {
	dir := t.TempDir()
	want := []string{}
	t.Run("first", func(t *testing.T) {
		s := start(t, embedded.Config{Dir: dir})
		put(t, s, "v1/a/early", "v1/a/early")
		var all sync.WaitGroup
		for n := range 8 {
			all.Go(func() {
				for i := range 20 {
					name := fmt.Sprintf("v1/%c/%d %02d", 'a'+n%3, n, i)
					put(t, s, name, name)
					if i%2 == 1 {
						if err := s.Delete(t.Context(), name); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		for range 5 { // the first fills the index while they write
			listAll(t, s, "v1/", 7)
		}
		all.Wait()
		for n := range 8 {
			for i := 0; i < 20; i += 2 {
				want = append(want, fmt.Sprintf("v1/%c/%d %02d", 'a'+n%3, n, i))
			}
		}
		want = append(want, "v1/a/early")
		slices.Sort(want)
		if got := listAll(t, s, "v1/", 7); !slices.Equal(got, want) {
			t.Errorf("listed %q, want %q", got, want)
		}
		if err := os.Remove(filepath.Join(dir, "larder", "v1", "a", "early")); err != nil {
			t.Fatal(err)
		}
		if got := listAll(t, s, "v1/a/e", 7); len(got) != 0 {
			t.Errorf("listed %q, which was removed by other means", got)
		}
	})
	want = slices.DeleteFunc(want, func(name string) bool { return name == "v1/a/early" })
	if got := listAll(t, start(t, embedded.Config{Dir: dir}), "v1/", 1000); !slices.Equal(got, want) {
		t.Errorf("after a start: listed %q, want %q", got, want)
	}
}

// TestListingReadsItsPage wants a page to read no folder: a file that comes into
// it by other means would be seen.
func TestListingReadsItsPage(t *testing.T) {
	dir := t.TempDir()
	s := start(t, embedded.Config{Dir: dir})
	for n := range 5 {
		name := fmt.Sprint("v1/a/", n)
		put(t, s, name, name)
	}
	listAll(t, s, "v1/", 2)
	if err := os.WriteFile(filepath.Join(dir, "larder", "v1", "a", "9"), []byte("v1/a/9"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := listAll(t, s, "v1/", 2); len(got) != 5 {
		t.Errorf("listed %q", got)
	}
}

// TestFolderIsPrivate wants what other users of the machine could read closed to
// them, whether the folder is new or was there.
func TestFolderIsPrivate(t *testing.T) {
	for _, there := range []bool{false, true} {
		dir := t.TempDir()
		bucket := filepath.Join(dir, "larder")
		if there {
			if err := os.Mkdir(bucket, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(bucket, 0o755); err != nil { // whatever the umask
				t.Fatal(err)
			}
		}
		start(t, embedded.Config{Dir: dir})
		info, err := os.Stat(bucket)
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("there %v: %v, %v", there, info.Mode(), err)
		}
	}
}

// TestFilesByOtherMeans wants files that came into the folder by other means told
// apart by an ETag, which stays.
func TestFilesByOtherMeans(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "larder", "v1")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"got", "looked", "listed"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("v1/"+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, embedded.Config{Dir: dir})
	versions := map[string]string{}
	got, _, err := s.Get(t.Context(), "v1/got", 100, nil)
	if err != nil {
		t.Fatal(err)
	}
	looked, err := s.Head(t.Context(), "v1/looked")
	if err != nil {
		t.Fatal(err)
	}
	versions["v1/got"], versions["v1/looked"] = got.Version, looked.Version
	for range 2 {
		entries, _, err := s.List(t.Context(), "v1/", "", 10)
		if err != nil || len(entries) != 3 {
			t.Fatalf("listed %+v, %v", entries, err)
		}
		for _, e := range entries {
			if was, ok := versions[e.Name]; e.Version == "" || ok && was != e.Version {
				t.Errorf("%s has version %q, and had %q", e.Name, e.Version, was)
			}
			versions[e.Name] = e.Version
		}
	}
	if versions["v1/got"] == versions["v1/looked"] || versions["v1/got"] == versions["v1/listed"] {
		t.Errorf("the versions are %q", versions)
	}
}
