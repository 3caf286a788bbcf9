// Package clients runs the programs and libraries that people have against real nodes,
// unmodified, each as docs/clients.md tells to use it. A session is a script that fails
// when its client does not do what the page says. Sessions need what they test to be
// installed, so the tests are behind the build tag clients: make clients.
package clients
