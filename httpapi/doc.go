// Package httpapi is Larder's HTTP interface for researchers and their tools:
// it finds out who asks (auth) and what for, calls the read path (fill) and the
// write path (writepath), and turns every error into a status in one place.
//
// It guarantees that a body is complete or visibly broken off, that a refusal
// says what to do, and that the org of a request comes from its credential and
// from nowhere else. It must never speak to the store but to list. An API is
// an http.Handler and safe for concurrent use.
package httpapi
