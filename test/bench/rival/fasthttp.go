package main

import (
	"github.com/valyala/fasthttp"
)

func runFasthttp(addr string, s source) error {
	server := fasthttp.Server{NoDefaultServerHeader: true, Handler: func(c *fasthttp.RequestCtx) {
		body, err := s.of(string(c.Path()))
		if err != nil {
			c.Error(err.Error(), fasthttp.StatusNotFound)
			return
		}
		c.SetContentType("application/octet-stream")
		c.Response.SetBodyRaw(body)
	}}
	return server.ListenAndServe(addr)
}
