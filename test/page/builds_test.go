package page

import (
	"encoding/json"
	"strings"
	"testing"
)

// A build is followed from its start to its end, in two windows.
func testBuild(t *testing.T, c cluster, b browser) {
	const path = "/v1/builds/objects?key=slow"
	one, two := c.signIn(b, c.rob, "#/builds"), c.signIn(b, c.grace, "#/builds")
	one.shows("#view", "Nothing is being built")
	two.shows("#view", "Nothing is being built")
	status, answer := c.send(t, c.ada, "POST", path, `{"expect": 60}`)
	var granted struct{ Claim string }
	if err := json.Unmarshal(answer, &granted); status != 201 || err != nil {
		t.Fatalf("%d %s", status, answer)
	}
	if status, answer := c.send(t, c.ada, "PUT", path, `{"progress": 0.25, "message": "`+"<b>loading</b>"+`"}`, "Larder-Claim", granted.Claim); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	for _, w := range []*tab{one, two} {
		w.shows(".build", "slow", "ada", "25 %", "<b>loading</b>")
	}
	c.put(t, "objects", "slow", "value", "Larder-Claim", granted.Claim)
	for _, w := range []*tab{one, two} {
		w.shows(".over", "slow", "Built")
		w.shows("#view", "Nothing is being built")
	}
}

// One's own build is passed on, or given up, from the page; another's only by an admin.
func testEndBuild(t *testing.T, c cluster, b browser) {
	const path = "/v1/builds/objects?key=hangs"
	// waits is a request that waits, and so can be given the claim.
	waits := func(who credential, waiter string) (answered chan string) {
		answered = make(chan string, 1)
		go func() {
			_, answer := c.send(t, who, "POST", path, `{"waiter": "`+waiter+`"}`, "Prefer", "wait=60")
			answered <- string(answer)
		}()
		return answered
	}
	if status, answer := c.send(t, c.ada, "POST", path, `{"expect": 60, "waiter": "one"}`); status != 201 {
		t.Fatalf("%d %s", status, answer)
	}
	next := waits(c.grace, "two")
	if status, answer := c.send(t, c.rob, "DELETE", path, ""); status != 403 {
		t.Errorf("a reader ended a build: %d %s", status, answer)
	}
	w := c.signIn(b, c.ada, "#/builds")
	w.shows(".build", "hangs", "ada (you)", "1 caller waits")
	w.press("Pass on …")
	w.shows("dialog", "waited longest")
	w.press("Pass on")
	w.shows(".build", "grace", "nobody waits")
	if answer := <-next; !strings.Contains(answer, "claim") {
		t.Errorf("who waited is told %s", answer)
	}
	if js[bool](w, `document.querySelector(".build").innerText.includes("Give up")`) {
		t.Error("a writer is offered to end another's build")
	}
	_, running := c.send(t, c.ada, "GET", "/v1/builds/objects?prefix=hangs", "")
	var list struct{ Builds []struct{ Since string } }
	if err := json.Unmarshal(running, &list); err != nil || len(list.Builds) != 1 {
		t.Fatalf("%v: %s", err, running)
	}
	if status, answer := c.send(t, c.ada, "DELETE", path, ""); status != 400 || !strings.Contains(string(answer), "since") {
		t.Errorf("a build that was not named was ended: %d %s", status, answer)
	}
	if status, answer := c.send(t, c.ada, "DELETE", path, `{"since": "`+list.Builds[0].Since+`"}`); status != 403 || !strings.Contains(string(answer), "one's own builds") {
		t.Errorf("a writer ended another's build: %d %s", status, answer)
	}
	if status, answer := c.send(t, c.grace, "DELETE", path, `{"since": "2020-01-01T00:00:00Z"}`); status != 409 || !strings.Contains(string(answer), "claim-lost") {
		t.Errorf("another claim than the one that was meant ended: %d %s", status, answer)
	}
	last := waits(c.ada, "three")
	admin := c.signIn(b, c.grace, "#/builds")
	admin.shows(".build", "1 caller waits")
	admin.press("Give up …")
	admin.shows("dialog", "told that the build failed")
	admin.press("Give up")
	admin.shows(".over", "hangs", "Ended without a value")
	if answer := <-last; !strings.Contains(answer, "build-failed") || !strings.Contains(answer, "given up on the page by grace") {
		t.Errorf("who waited is told %s", answer)
	}
}
