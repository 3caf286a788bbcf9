// Package testcluster runs real nodes, and the S3 between them, as processes
// on loopback, and kills, pauses and restarts them: for whole-binary tests and
// for fault harnesses. The tests of all packages wait by its Eventually, Soon and Holds,
// and read what was logged from its Logged.
//
// It guarantees that every process it started has ended when the test has, by
// its own process group, and that the log of each is printed if the test
// failed. A node that raced or panicked fails the test. Only tests import it.
// Methods that take or hold a testing.TB end the test on trouble, so they are
// called from the test's own goroutine; URL, AdminURL and Log may be called
// from any.
package testcluster
