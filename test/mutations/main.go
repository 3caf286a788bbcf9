// Command mutations leaves one rule of docs/protocol.md after the other out of the code,
// and prints which of the nets catch that, and after how long: the unit tests of the
// packages that keep the protocol, the simulation, and the model, whose own mutations are
// named. It fails if a rule's absence is caught by no test of the code, or if a change no
// longer applies. Nothing is changed on disk: go build's -overlay carries the changes.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"larder/test/overlay"
)

// buildLimit bounds each build.
const buildLimit = 10 * time.Minute

// uncaught is how the answer of a net begins that has found nothing.
const uncaught = "no"

var (
	errUncaught = errors.New("not caught")
	failedTest  = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)
	modelled    = regexp.MustCompile(`(?m)^\s+(\w+)\s+bool // rule (\d+):`)
)

// options say what is tried.
type options struct {
	only  string
	net   string
	check bool
	limit time.Duration
	seeds int
	base  string
}

func main() {
	var o options
	flag.StringVar(&o.only, "only", "", "the numbers of the rules, with commas between them; all if empty")
	flag.StringVar(&o.net, "net", "", "unit or simulation; both if empty")
	flag.BoolVar(&o.check, "check", false, "only see whether every change applies and compiles")
	flag.DurationVar(&o.limit, "limit", time.Minute, "how long each net may look; a busy machine needs more")
	flag.IntVar(&o.seeds, "seeds", 1000, "how many seeds the simulation may try")
	flag.StringVar(&o.base, "overlay", "", "an overlay to build under as well, such as that of test/simulation/runtime")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(o options) error {
	model, err := modelNames()
	if err != nil {
		return err
	}
	chosen := slices.DeleteFunc(mutations(), func(m mutation) bool {
		return o.only != "" && !slices.Contains(strings.Split(o.only, ","), m.name)
	})
	if o.check {
		return checkAll(chosen)
	}
	var missed []string
	fmt.Println("| rule | left out | unit tests | simulation | model |\n|---|---|---|---|---|")
	for _, m := range chosen {
		unit, simulated, err := m.try(o)
		if err != nil && !errors.Is(err, errUncaught) {
			return m.failed(err)
		}
		fmt.Printf("| %s | %s | %s | %s | %s |\n", m.name, m.what, unit, simulated, strings.Join(model[m.name], ", "))
		if err != nil {
			missed = append(missed, m.what)
		}
	}
	if len(missed) > 0 {
		return fmt.Errorf("%w: %s", errUncaught, strings.Join(missed, "; "))
	}
	return nil
}

// modelNames are the mutations of the models, by rule.
func modelNames() (map[string][]string, error) {
	names := map[string][]string{}
	for _, config := range []string{"test/model/config.go", "test/model/claims/config.go"} {
		b, err := os.ReadFile(config)
		if err != nil {
			return nil, fmt.Errorf("run it in the root: %w", err)
		}
		for _, m := range modelled.FindAllStringSubmatch(string(b), -1) {
			names[m[2]] = append(names[m[2]], m[1])
		}
	}
	return names, nil
}

// try has the nets look for a mutation, and returns what each of them found.
func (m mutation) try(o options) (unit, simulated string, err error) {
	dir, err := os.MkdirTemp("", "mutation-")
	if err != nil {
		return "", "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	root, err := filepath.Abs(".")
	if err != nil {
		return "", "", err
	}
	list, err := overlay.Write(dir, root, m.code)
	if err == nil && o.base != "" {
		err = overlay.Merge(list, o.base)
	}
	if err != nil {
		return "", "", err
	}
	unit, simulated = uncaught, uncaught
	for _, p := range m.packages() {
		if !strings.HasPrefix(unit, uncaught) || o.net == "simulation" {
			break
		}
		if unit, err = o.look(list, dir, p, "-test.failfast", "-test.count=1"); err != nil {
			return "", "", err
		}
	}
	if o.net != "unit" {
		simulated, err = o.look(list, dir, "test/simulation", fmt.Sprint("-seeds=", o.seeds), "-test.v", "-reduce=false", "-failures=1")
	}
	if err == nil && strings.HasPrefix(unit, uncaught) && strings.HasPrefix(simulated, uncaught) {
		err = errUncaught
	}
	return unit, simulated, err
}

// failed says which mutation could not be tried.
func (m mutation) failed(err error) error { return fmt.Errorf("rule %s, %s: %w", m.name, m.what, err) }

// packages are those that keep the protocol, the one that is changed first.
func (m mutation) packages() []string {
	changed := filepath.Dir(m.code[0][0])
	return append([]string{changed}, slices.DeleteFunc([]string{"heads", "fill", "writepath"}, func(p string) bool { return p == changed })...)
}

// look builds the tests of a package under the overlay, runs them, and returns which
// failed and after how long, or that none did.
func (o options) look(list, dir, p string, flags ...string) (string, error) {
	test := filepath.Join(dir, filepath.Base(p))
	if out, err := command(".", buildLimit, "go", "test", "-overlay", list, "-vet=off", "-c", "-o", test, "./"+p); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", p, err, out)
	}
	began := time.Now()
	out, err := command(p, o.limit, test, flags...)
	took := time.Since(began)
	switch {
	case err == nil:
		return uncaught, nil
	case took >= o.limit && !strings.Contains(out, "SEED="):
		return fmt.Sprintf("%s, cut by time in seed %d", uncaught, strings.Count(out, "=== CONT ")), nil
	}
	return fmt.Sprintf("%s %s, %.1f s", p, found(out), took.Seconds()), nil
}

// found is the test or the seed that failed.
func found(out string) string {
	if _, rest, ok := strings.Cut(out, "SEED="); ok {
		return "seed " + strings.Fields(rest)[0]
	}
	if t := failedTest.FindStringSubmatch(out); t != nil {
		return t[1]
	}
	return "panic or time"
}

func command(dir string, most time.Duration, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}
